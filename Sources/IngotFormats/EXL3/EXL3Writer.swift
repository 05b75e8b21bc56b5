import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Lays a model out for ExLlamaV3: codes, scales and the codebook's mark of every quantized module, and the config that names
/// the format. The loader takes bits from shapes.
struct EXL3Writer {
  /// The release whose layout this is.
  static let version = "1.4.1"

  let model: Model

  /// - Throws: FormatError naming a tensor that the loader has no place for.
  init(_ model: Model) throws(FormatError) {
    self.model = model
    for tensor in model.tensors {
      guard case .tiles = tensor.encoding else { continue }
      let name = model.family.name(of: tensor.role)
      guard name.hasSuffix(".weight"), tensor.shape.count == 2, tensor.count > 0,
        tensor.role != Role(.embedding)
      else {
        throw tensor.error(
          "a linear layer of two extents for codes in tiles (a first rule with its name and 'encoding: bf16' in a recipe "
            + "leaves it dense)", found: "shape \(tensor.shape)")
      }
    }
    try requireAlikeExperts()
  }

  /// Refuses experts of a layer that differ in bits within a kind: its kernels take all gates of a layer, all ups and all downs
  /// at once.
  private func requireAlikeExperts() throws(FormatError) {
    struct Stack: Hashable {
      var kind: TensorKind
      var layer: Int?
    }
    var first: [Stack: Tensor] = [:]
    for tensor in model.tensors where tensor.role.expert != nil {
      let stack = Stack(kind: tensor.role.kind, layer: tensor.role.layer)
      guard let other = first[stack] else {
        first[stack] = tensor
        continue
      }
      guard other.encoding == tensor.encoding else {
        throw tensor.error(
          "one encoding for \(tensor.role.kind.rawValue) of all experts of a layer (a recipe without 'experts:' gives that)",
          found: "\(tensor.encoding) beside \(other.encoding) of '\(other.name)'")
      }
    }
  }

  func output(_ path: String, _ options: WriteOptions) throws(FormatError) -> SafeTensorsOutput {
    let config = quantizationConfig
    let card = ModelCard(
      model: model, options: options, library: "exllamav3",
      use: "For ExLlamaV3, and for what serves its models.")
    return SafeTensorsOutput(
      model: model, path: path, options: options,
      items: model.tensors.enumerated().map { items($0, $1) },
      sideFiles: card.added(to: try model.sideFiles { $0["quantization_config"] = config }))
  }

  /// The stored tensors of one logical tensor.
  private func items(_ index: Int, _ tensor: Tensor) -> [SafeTensorsOutput.Item] {
    let name = model.family.name(of: tensor.role)
    switch tensor.encoding {
    case .dense(let type):
      return [.init(name: name, dtype: type, shape: tensor.shape, parts: [(index, 0)])]
    case .tiles(let scheme):
      let module = name.dropLast("weight".count)
      let extents = scheme.codeExtents(rows: tensor.rows, columns: tensor.columns)
      var items: [SafeTensorsOutput.Item] = [
        .init(name: module + "trellis", dtype: .i16, shape: extents, parts: [(index, 0)]),
        .init(name: module + "suh", dtype: .f16, shape: [extents[0] * 16], parts: [(index, 1)]),
        .init(name: module + "svh", dtype: .f16, shape: [extents[1] * 16], parts: [(index, 2)]),
      ]
      if let mark = EXL3Reader.marks.first(where: { $0.codebook == scheme.shape.codebook }) {
        var bytes = ByteWriter()
        bytes.put(mark.multiplier)
        items.append(
          .init(name: module + mark.part, dtype: .i32, shape: [], parts: [], constant: Bytes(bytes.bytes)))
      }
      return items
    default: preconditionFailure("\(tensor.encoding) is refused before")
    }
  }

  /// `quantization_config` of config.json: bits of layers as their mean, those of the head, and the codebook. As its own
  /// converter does, padding is not counted.
  private var quantizationConfig: JSON {
    var (bits, weights) = (0, 0)
    var codebooks: Set<String> = []
    for tensor in model.tensors {
      guard case .tiles(let scheme) = tensor.encoding else { continue }
      codebooks.insert(scheme.shape.codebook.rawValue)
      if tensor.role.kind == .head { continue }
      bits += scheme.shape.bits * tensor.count
      weights += tensor.count
    }
    var config: JSONObject = [
      "quant_method": .string(Format.exl3.name), "version": .string(EXL3Writer.version),
      "bits": weights == 0 ? 16 : JSON(Double(bits) / Double(weights)), "head_bits": JSON(headBits),
      "out_scales": "always",
    ]
    if codebooks.count == 1 { config["codebook"] = .string(codebooks.first!) }
    return .object(config)
  }

  /// 16 for a head that is dense, or the embedding.
  private var headBits: Int {
    guard let head = model[Role(.head)], case .tiles(let scheme) = head.encoding else { return 16 }
    return scheme.shape.bits
  }
}
