import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Reads modules of codes in tiles: `trellis`, scales of inputs and outputs, and the mark of a codebook.
struct EXL3Reader {
  /// What a codebook multiplies states by, which is also what its mark holds.
  static let marks: [(part: String, codebook: TileCodebook, multiplier: UInt32)] = [
    ("mul1", .mul1, 0x83DC_D12D), ("mcg", .mcg, 0xCBAC_1FED),
  ]

  private let files: SafeTensorsFiles
  private let family: Family
  private let blueprint: Blueprint

  /// Whether the config says that the embedding is the head, which has codes of its own all the same.
  private let isUntied: Bool

  init(_ path: String) throws(FormatError) {
    var files = try SafeTensorsFiles(path)
    isUntied = files.stored["lm_head.trellis"] != nil && files.config["tie_word_embeddings"] != false
    if isUntied { files.config = files.config.replacing(["tie_word_embeddings": false]) }
    self.files = files
    family = try Family.any(files.config).placed(among: files.stored.keys)
    blueprint = try family.blueprint(files.config)
  }

  func read(keepUnknown: Bool) throws(FormatError) -> Model {
    let beside = ["suh", "svh", "su", "sv"] + EXL3Reader.marks.map(\.part)
    var model = try PackedModules(files: files, main: "trellis", beside: Set(beside))
      .model(Format.exl3.name, keepUnknown: keepUnknown, tensor: tensor)
    if isUntied, let index = model.sideFiles.firstIndex(where: { $0.name == "config.json" }) {
      let text = JSON.object(files.config.object).text(indented: true)
      model.sideFiles[index].bytes = Bytes(Array(text.utf8))
    }
    return model
  }

  private func tensor(_ module: PackedModules.Module) throws(FormatError) -> Tensor {
    let stored = module.main
    guard stored.dtype == .i16, stored.shape.count == 3,
      stored.shape.dropLast().allSatisfy({ $0 % 8 == 0 && (8...1 << 20).contains($0) }),
      stored.shape[2] % 16 == 0,
      let scheme = Tiles(bits: stored.shape[2] / 16, codebook: try codebook(module))
    else {
      throw module.error(
        "trellis",
        "I16 of (inputs / 16, outputs / 16, 16 · bits), inputs and outputs multiples of 128, 1 to 8 bits",
        found: "\(stored.dtype.rawValue) \(stored.shape)")
    }
    let (columns, rows) = (stored.shape[0] * 16, stored.shape[1] * 16)
    let planes = [
      stored.bytes, try scales(module, "suh", "su", columns), try scales(module, "svh", "sv", rows),
    ]
    var shape = [rows, columns]
    // What is padded by zeros for a multiple of 128 is no part of the matrix.
    if let spec = blueprint.isKnown ? blueprint.spec(of: module.role)?.shape : nil, spec.count == 2,
      TileShape.padded(spec[0]) == rows, TileShape.padded(spec[1]) == columns
    {
      shape = spec
    }
    return Tensor(
      name: module.weight, role: module.role, shape: shape, encoding: .tiles(scheme), path: stored.path,
      offset: stored.offset, planes: planes)
  }

  /// The codebook whose mark a module has; the oldest one has none.
  private func codebook(_ module: PackedModules.Module) throws(FormatError) -> TileCodebook {
    let present = EXL3Reader.marks.filter { module[$0.part] != nil }
    guard let mark = present.first else { return .sum }
    guard present.count == 1 else {
      throw module.error("mcg", "the mark of one codebook", found: "mul1 beside it")
    }
    var stored = module[mark.part]!
    if stored.bytes.count <= 8 { stored.bytes = try stored.bytes.resident() }
    guard stored.dtype == .i32, elementCount(stored.shape) == 1,
      stored.bytes.span.littleEndian(UInt32.self, at: 0) == mark.multiplier
    else {
      throw module.error(
        mark.part, "I32 of one value, the multiplier \(mark.multiplier)",
        found: stored.dtype == .i32 && elementCount(stored.shape) == 1
          ? "\(stored.bytes.span.littleEndian(UInt32.self, at: 0))"
          : "\(stored.dtype.rawValue) \(stored.shape)")
    }
    return mark.codebook
  }

  /// F16 scales with signs, or signs alone, a bit each, as older files have them.
  private func scales(_ module: PackedModules.Module, _ part: String, _ packed: String, _ count: Int)
    throws(FormatError) -> Bytes
  {
    guard module[part] == nil, module[packed] != nil else {
      return try module.part(part, [.f16], [count]).bytes
    }
    let signs = try module.part(packed, [.i16], [count / 16]).bytes.resident()
    return Bytes(count: 2 * count) { output in
      let input = signs.span
      for index in 0..<count {
        let byte = input.littleEndian(UInt8.self, at: index / 8)
        let isMinus = byte >> UInt8(index % 8) & 1 == 1
        output.storeBytes(
          of: UInt16(isMinus ? 0xBC00 : 0x3C00).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
      }
    }
  }
}
