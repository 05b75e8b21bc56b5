import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Reads compressed-tensors: what the stored tensors say, held against the config.
struct CompressedTensorsReader {
  private let files: SafeTensorsFiles
  /// `weights` of every group of the config.
  private let schemes: [JSON]
  private let shapes = Shapes()

  /// Reads what is a few bytes for each of very many modules with a call each: pages of a mapping would stay in memory.
  private final class Shapes {
    private var file: File?

    func bytes(_ stored: SafeTensorsFiles.Stored) throws(FormatError) -> Bytes {
      if file?.path != stored.path {
        file = try File(reading: stored.path)
        file?.expectPieces()
      }
      return try file!.read(stored.bytes.count, at: Int(stored.offset))
    }
  }

  init(_ path: String) throws(FormatError) {
    files = try SafeTensorsFiles(path)
    let config = files.config
    guard let groups = config["quantization_config"]?["config_groups"]?.object else {
      throw config.error("quantization_config", "config_groups", found: "none")
    }
    let status = config["quantization_config"]?["quantization_status"] ?? "compressed"
    guard status == "compressed" else {
      throw config.error("quantization_config", "quantization_status \"compressed\"", found: status.kind)
    }
    schemes = groups.compactMap { $0.value["weights"] }
  }

  func read(keepUnknown: Bool) throws(FormatError) -> Model {
    let beside = ["scale", "shape", "zero_point", "global_scale", "g_idx"].map { "weight_\($0)" }
    let scaled = ScaledWeights(files: files, blocks: schemes.compactMap(CompressedTensorsReader.block))
    let modules = PackedModules(
      files: files, main: "weight_packed", beside: Set(beside), scaled: scaled)
    return try modules.model(Format.compressedTensors.name, keepUnknown: keepUnknown) {
      module throws(FormatError) in
      switch module.main.dtype {
      case .i32: return try affine(module)
      case .u8: return try microScaled(module)
      default:
        throw module.error("weight_packed", "I32 or U8 codes", found: module.main.dtype.rawValue)
      }
    }
  }

  /// The blocks of a scheme: two extents, or text such as `128x128`.
  private static func block(_ weights: JSON) -> ScaledWeights.Block? {
    let structure = weights["block_structure"] ?? .null
    let extents =
      structure.array?.map { $0.int }
      ?? structure.string?.split(separator: "x").map { Int($0) }
    guard let extents, extents.count == 2, let rows = extents[0], let columns = extents[1],
      (1...1 << 20).contains(rows), (1...1 << 20).contains(columns)
    else { return nil }
    return .init(rows: rows, columns: columns)
  }

  private func affine(_ module: PackedModules.Module) throws(FormatError) -> Tensor {
    guard module["weight_g_idx"] == nil else {
      throw module.error("weight_g_idx", "groups that follow one another", found: "activation order")
    }
    guard module.main.shape.count == 2 else {
      throw module.error("weight_packed", "two extents", found: "shape \(module.main.shape)")
    }
    let shape = try self.shape(module)
    let (rows, columns, words) = (shape[0], shape[1], module.main.shape[1])
    guard rows == module.main.shape[0], rows > 0, columns > 0, words <= 1 << 24, words * 32 % columns == 0
    else {
      throw module.error(
        "weight_packed", "I32 codes of shape \(shape) that fill their words",
        found: "shape \(module.main.shape)")
    }
    let bits = words * 32 / columns
    guard let groups = module["weight_scale"]?.shape.last, groups > 0, columns % groups == 0 else {
      throw module.error(
        "weight_scale", "scales (rows, groups) of groups that divide \(columns) columns",
        found: module["weight_scale"].map { "shape \($0.shape)" } ?? "none of this name")
    }
    let zeros = module["weight_zero_point"] != nil
    // One scale for the whole tensor.
    let isOne = module["weight_scale"]?.shape == [1] && !zeros
    let weights = try scheme(
      module, bits: bits, symmetric: !zeros, columns: columns, groups: isOne ? nil : groups)
    let scales = try module.part("weight_scale", [.bf16, .f16, .f32], isOne ? [1] : [rows, groups])
    let group = isOne || weights["strategy"] == "channel" ? nil : Int?(columns / groups)
    guard
      let scheme = Affine(
        bits: bits, group: group, offset: zeros ? .zeroPoint : .symmetric, scale: scales.dtype)
    else {
      throw module.error(
        "weight_packed", "2, 3, 4, 5, 6 or 8 bits in groups of 16 to 128 columns",
        found: "\(bits) bits in \(groups) groups of \(columns) columns")
    }
    let main = module.main
    if isOne {
      return Tensor(
        name: module.weight, role: module.role, shape: shape, encoding: .affine(scheme), path: main.path,
        offset: main.offset, stored: [StoredPlane(main.bytes), StoredPlane(scales.bytes, span: rows)])
    }
    guard zeros else {
      return Tensor(
        name: module.weight, role: module.role, shape: shape, encoding: .affine(scheme), path: main.path,
        offset: main.offset, planes: [main.bytes, scales.bytes])
    }
    let zeroWords = (rows * bits + 31) / 32
    let packed = try module.part("weight_zero_point", [.i32], [zeroWords, groups])
    let layout = Encoding.affine(scheme).planes(shape)!
    return Tensor(
      name: module.weight, role: module.role, shape: shape, encoding: .affine(scheme), path: main.path,
      offset: main.offset
    ) { range throws(FormatError) in
      let zeros = CompressedTensorsReader.zeros(
        try packed.bytes.resident(), bits: bits, words: zeroWords, groups: groups, range)
      return [main.bytes[layout[0].range(rows: range)], scales.bytes[layout[1].range(rows: range)], zeros]
    }
  }

  /// E2M1 codes: MXFP4, or NVFP4 when a global scale stands beside them.
  private func microScaled(_ module: PackedModules.Module) throws(FormatError) -> Tensor {
    let main = module.main
    guard main.shape.count == 2, main.shape.allSatisfy({ (1...1 << 24).contains($0) }) else {
      throw module.error("weight_packed", "U8 of two extents", found: "shape \(main.shape)")
    }
    let shape = [main.shape[0], 2 * main.shape[1]]
    // Scales of F8_E4M3 are NVFP4's, and need a global one.
    let global = module["weight_global_scale"] != nil || module["weight_scale"]?.dtype == .f8e4m3
    let scheme = global ? MicroScaled.nvfp4Global : .mxfp4
    guard shape[1] % scheme.group == 0 else {
      throw module.error("weight_packed", "groups of \(scheme.group) columns", found: "\(shape[1]) columns")
    }
    let strategy: JSON = global ? "tensor_group" : "group"
    guard
      schemes.contains(where: {
        $0["num_bits"] == 4 && $0["type"] == "float" && $0["group_size"]?.int == scheme.group
          && ($0["strategy"] ?? strategy) == strategy
      })
    else {
      throw module.error(
        "weight_packed", "a scheme that a config group of quantization_config describes",
        found: schemes.contains { $0["num_bits"] == 6 && $0["type"] == "float" }
          ? "MXFP6, whose codes of 6 bits are not read"
          : "float codes of 4 bits in groups of \(scheme.group)")
    }
    let scales = try module.part(
      "weight_scale", global ? [.f8e4m3] : [.u8, .f8e8m0], [shape[0], shape[1] / scheme.group])
    var planes = [main.bytes, scales.bytes]
    if global { planes.append(try module.part("weight_global_scale", [.f32], [1]).bytes) }
    return Tensor(
      name: module.weight, role: module.role, shape: shape, encoding: .microScaled(scheme), path: main.path,
      offset: main.offset, planes: planes)
  }

  /// The logical shape, which stands beside the codes.
  private func shape(_ module: PackedModules.Module) throws(FormatError) -> [Int] {
    let stored = try module.part("weight_shape", [.i64, .i32], [2])
    let width = stored.dtype.bits / 8
    let bytes = try shapes.bytes(stored)
    let extents = (0..<2).map { index in
      width == 8
        ? Int(bytes.span.littleEndian(Int64.self, at: 8 * index))
        : Int(bytes.span.littleEndian(Int32.self, at: 4 * index))
    }
    guard extents.allSatisfy({ (1...1 << 24).contains($0) }) else {
      throw module.error(
        "weight_shape", "rows and columns from 1 to \(1 << 24) of the codes \(module.main.shape)",
        found: "\(extents)")
    }
    return extents
  }

  /// The group of the config that says what the stored tensors say. groups: of a row; nil for one scale for all rows.
  private func scheme(
    _ module: PackedModules.Module, bits: Int, symmetric: Bool, columns: Int, groups: Int?
  ) throws(FormatError) -> JSON {
    let found = schemes.first { weights in
      guard weights["num_bits"]?.int == bits, (weights["type"] ?? "int") == "int",
        (weights["symmetric"]?.bool ?? true) == symmetric
      else { return false }
      guard let groups else { return weights["strategy"] == "tensor" }
      if weights["strategy"] == "channel" { return groups == 1 }
      return weights["strategy"] != "tensor" && weights["group_size"]?.int == columns / groups
    }
    guard let found else {
      throw module.error(
        "weight_packed", "a scheme that a config group of quantization_config describes",
        found: "\(symmetric ? "symmetric" : "asymmetric") int\(bits), "
          + (groups.map { "\($0) groups of \(columns) columns" } ?? "one scale for all"))
    }
    return found
  }

  /// Zero points of a range of rows, packed like codes: rows of `groups`. They stand packed along the rows, word k of
  /// group g at (k, g).
  private static func zeros(_ packed: Bytes, bits: Int, words: Int, groups: Int, _ range: Range<Int>) -> Bytes
  {
    let streams = Bytes(count: packed.count) { output in
      transpose(width: 4, packed.span, rows: words, columns: groups, into: &output)
    }
    let count = range.upperBound
    var values = [UInt8](repeating: 0, count: groups * count)
    var span = values.mutableSpan
    for group in 0..<groups {
      let stream = streams.span.extracting(
        group * words * 4..<group * words * 4 + packedByteCount(bits: bits, count: count))
      var target = span._mutatingExtracting(group * count..<(group + 1) * count)
      unpack(bits: bits, stream, into: &target)
    }
    let rowBytes = packedByteCount(bits: bits, count: groups)
    return Bytes(count: range.count * rowBytes) { output in
      var row = [UInt8](repeating: 0, count: groups)
      for (index, number) in range.enumerated() {
        for group in 0..<groups { row[group] = values[group * count + number] }
        var target = output._mutatingExtracting(index * rowBytes..<(index + 1) * rowBytes)
        pack(bits: bits, row.span, into: &target)
      }
    }
  }
}
