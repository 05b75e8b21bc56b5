import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension Model {
  /// The model as GGUF stores it, where that changes no number: norms, biases and the router as F32, which is what
  /// llama.cpp computes with, and affine codes repacked as the ggml type that decodes to the same values.
  func adaptedToGGUF() throws(FormatError) -> Model {
    let graph = try GGUFFamily.of(family, path: path)
    let model = try mapTensors { tensor throws(FormatError) in
      var stored = try graph.adapted(tensor, blueprint)
      stored.origin = tensor.origin
      return stored
    }
    // What llama.cpp's graph of the text model has no place for is left out, whatever its encoding. A GGUF file's own layers of
    // multi-token prediction are as they should be.
    let carries = graph.graph.prediction != nil
    var kept = model.tensors.filter {
      $0.role.kind != .auxiliary || carries && GGUFFamily.template($0.name).1 != nil
    }
    if let prediction = GGUFPrediction(self, graph) { kept += try prediction.stored(beside: model) }
    let rotations = blueprint.layers.lazy.compactMap { ($0.mixer as? GroupedQueryAttention)?.rotary }
    guard let factors = rotations.compactMap(GGUFFrequencies.stored).first else {
      return try replacingTensors(kept)
    }
    let bytes = Bytes(count: 4 * factors.count) { encode(.f32, factors.span, into: &$0) }
    let tensor = Tensor(
      name: GGUFFamily.frequencyFactors, role: Role(.unknown, name: GGUFFamily.frequencyFactors),
      shape: [factors.count], encoding: .dense(.f32), path: path, planes: [bytes])
    kept.append(tensor)
    return try replacingTensors(kept)
  }

  /// Names of tensors of multi-token prediction, which a file holds under other names, experts of a layer in one.
  func predictionInGGUF() -> Set<String> {
    GGUFFamily(family).flatMap { GGUFPrediction(self, $0) }?.names ?? []
  }

  /// The same model with other tensors.
  func replacingTensors(_ tensors: [Tensor]) throws(FormatError) -> Model {
    try Model(
      family: family, blueprint: blueprint, tensors: tensors, sideFiles: sideFiles, path: path,
      format: format, weightFiles: weightFiles, provenance: provenance)
  }
}

extension GGUFFamily {
  /// A tensor of a layer as a file stores it, but for what a `GGUFForm` stores otherwise.
  func adapted(_ tensor: Tensor, _ blueprint: Blueprint) throws(FormatError) -> Tensor {
    // Quantized, they would be multiplied with inputs of 8 bits, which chooses other blocks.
    if graph.indexers == .blocks, GGUFFamily.exactIndexers.contains(tensor.role.kind) {
      return (tensor.origin ?? tensor).decoded()
    }
    var stored =
      blueprint.isLinear(tensor.role)
        || TensorKind.tables.contains(tensor.role.kind)
      ? tensor.repackedAsGGML() ?? tensor : storedNorm(tensor.widened(), blueprint)
    if let (heads, _, rotated) = permutation(of: tensor.role, blueprint) {
      stored = try stored.permutingHeads(to: .interleaved, heads: heads, rotated: rotated)
    }
    if let rows = interleavedRows(of: tensor.role, blueprint) { stored = try stored.selectingRows(rows) }
    return stored
  }
}

extension Tensor {
  /// BF16 and F16 values as F32, which holds each of them exactly; other encodings as they are.
  fileprivate func widened() -> Tensor {
    guard case .dense(let type) = encoding, type == .bf16 || type == .f16 else { return self }
    return mapped(to: .dense(.f32)) { [encoding, columns] rows, planes in
      var values = [Float](repeating: 0, count: rows.count * columns)
      var span = values.mutableSpan
      encoding.decode(planes, rows: rows.count, columns: columns, into: &span)
      return [Bytes(count: values.count * 4) { encode(.f32, values.span, into: &$0) }]
    }
  }

  /// Codes of an affine encoding in the ggml type that decodes to the same values; nil when there is none.
  fileprivate func repackedAsGGML() -> Tensor? {
    if encoding == .microScaled(.mxfp4), columns % GGMLType.mxfp4.blockWeights == 0 {
      return mapped(to: .ggml(.mxfp4)) { [columns] rows, planes in
        defer { for plane in planes { plane.release() } }
        return [MicroScaled.mxfp4Blocks(planes, groups: rows.count * columns / 32)]
      }
    }
    guard case .affine(let scheme) = encoding, let type = scheme.twin, columns % type.blockWeights == 0 else {
      return nil
    }
    return mapped(to: .ggml(type)) { [columns] rows, planes in
      defer { for plane in planes { plane.release() } }
      return [scheme.blocks(planes, type, rows: rows.count, columns: columns)]
    }
  }
}

extension MicroScaled {
  /// Planes of MXFP4 as ggml's blocks: the scale's byte, then codes two a byte, j in the low half and j + 16 in the high one.
  fileprivate static func mxfp4Blocks(_ planes: [Bytes], groups: Int) -> Bytes {
    let (codes, scales) = (planes[0], planes[1])
    let size = GGMLType.mxfp4.blockBytes
    return Bytes(count: groups * size) { output in
      for group in 0..<groups {
        let first = 16 * group
        output.storeBytes(of: scales[group], toByteOffset: group * size, as: UInt8.self)
        for index in 0..<16 {
          // Codes j and j + 16 are in bytes j / 2 and j / 2 + 8, the even ones in the low half.
          let shift = UInt8(4 * (index & 1))
          let low = codes[first + index / 2] >> shift & 15
          let high = codes[first + index / 2 + 8] >> shift & 15
          output.storeBytes(of: low | high << 4, toByteOffset: group * size + 1 + index, as: UInt8.self)
        }
      }
    }
  }
}

extension Affine {
  /// The ggml type whose blocks hold the same codes and scales with the same meaning: groups of 32 with F16 scales.
  /// Symmetric codes are s·(u − 2^(bits−1)) in both, codes with a bias s·u + b.
  var twin: GGMLType? {
    guard group == 32, scale == .f16 else { return nil }
    switch (bits, offset) {
    case (8, .symmetric): return .q80
    case (5, .symmetric): return .q50
    case (5, .bias): return .q51
    case (4, .symmetric): return .q40
    case (4, .bias): return .q41
    default: return nil
    }
  }

  /// Planes of rows as blocks of the twin: scale, bias if there is one, fifth bits, then codes. Codes of 4 bits and
  /// the lower 4 of 5 stand two a byte: j in the low half, j + 16 in the high half; the fifth bits are one word.
  /// Codes of 8 bits are signed.
  fileprivate func blocks(_ planes: [Bytes], _ type: GGMLType, rows: Int, columns: Int) -> Bytes {
    let groups = columns / 32
    let rowBytes = columns * bits / 8
    let codePlane = planes[0]
    var codes = [UInt8](repeating: 0, count: columns)
    return Bytes(count: rows * groups * type.blockBytes) { output in
      var place = 0
      func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ output: inout MutableRawSpan) {
        output.storeBytes(of: value.littleEndian, toByteOffset: place, as: T.self)
        place += T.bitWidth / 8
      }
      for row in 0..<rows {
        var codeSpan = codes.mutableSpan
        unpack(
          bits: bits, codePlane.span.extracting(row * rowBytes..<(row + 1) * rowBytes), into: &codeSpan)
        for group in 0..<groups {
          for plane in planes.dropFirst() {
            put(plane.span.littleEndian(UInt16.self, at: 2 * (row * groups + group)), &output)
          }
          let first = 32 * group
          if bits == 8 {
            for index in first..<first + 32 { put(codes[index] ^ 0x80, &output) }
            continue
          }
          if bits == 5 {
            var high: UInt32 = 0
            for index in 0..<32 { high |= UInt32(codes[first + index] >> 4) << index }
            put(high, &output)
          }
          for index in first..<first + 16 {
            put(codes[index] & 15 | codes[index + 16] << 4, &output)
          }
        }
      }
    }
  }
}
