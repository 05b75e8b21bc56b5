import IngotModels
import IngotSystem
import IngotTensors

/// Joins stored tensors that are one logical tensor: FP8 `X` and its block scales `X_scale_inv`; FP4 `X_blocks` in groups of
/// 32 and their scales `X_scales` (gpt-oss).
struct Pairing {
  static let scaleSuffix = "_scale_inv"

  private let files: SafeTensorsFiles
  /// Rows and columns of a block, when the config says that weights are FP8 in blocks.
  private let block: (rows: Int, columns: Int)?

  init(_ files: SafeTensorsFiles) throws(FormatError) {
    self.files = files
    let config = files.config
    guard let quantization = config["quantization_config"] else {
      block = nil
      return
    }
    if quantization["quant_method"] == "mxfp4" {
      block = nil
      return
    }
    guard quantization["quant_method"] == "fp8" || quantization["quant_method"] == "mxfp8" else {
      throw config.error(
        "quantization_config", "quant_method \"fp8\", \"mxfp8\" or \"mxfp4\"",
        found: (quantization["quant_method"] ?? .null).kind)
    }
    guard let sizes = quantization["weight_block_size"]?.array, sizes.count == 2, let rows = sizes[0].int,
      let columns = sizes[1].int, (1...1 << 20).contains(rows), (1...1 << 20).contains(columns)
    else {
      throw config.error(
        "quantization_config", "weight_block_size of two positive integers",
        found: (quantization["weight_block_size"] ?? .null).kind)
    }
    block = (rows, columns)
  }

  /// The logical tensors.
  ///
  /// - Parameter logical: those that a stored tensor holds; nil for a name that nobody knows, which is an error.
  func tensors(logical: (Tensor) throws(FormatError) -> [Tensor]?) throws(FormatError) -> [Tensor] {
    var tensors: [Tensor] = []
    tensors.reserveCapacity(files.stored.count)
    for (name, stored) in files.ordered where !Family.isDerived(name) {
      if name.hasSuffix(Pairing.scaleSuffix) {
        try requireWeight(ofScales: name)
        continue
      }
      if name.hasSuffix(Pairing.groupScales), stored.dtype == .u8 {
        let blocks = String(name.dropLast(Pairing.groupScales.count)) + Pairing.blocks
        guard files.stored[blocks] != nil else {
          throw files.error(name, "codes '\(blocks)' beside scales", found: "no such tensor")
        }
        continue
      }
      guard let found = try logical(try tensor(name, stored)) else {
        throw files.error(
          name, "a tensor of \(files.config["model_type"]?.string ?? "this family")",
          found: "a name it does not know", remedy: .keepUnknown)
      }
      for tensor in found {
        let isExempt = tensor.role.isOutsideBlocks
        let isBareFP8 = tensor.encoding == .dense(.f8e4m3) || tensor.encoding == .dense(.f8e5m2)
        guard tensor.encoding.isDecodable && !isBareFP8 || isExempt else {
          throw files.error(
            name,
            isBareFP8 ? "quantization_config with weight_block_size for FP8 values" : "a floating-point type",
            found: stored.dtype.rawValue)
        }
        tensors.append(tensor)
      }
    }
    return tensors
  }

  /// A stored tensor with its scales, of a role that its name will tell.
  private func tensor(_ name: String, _ stored: SafeTensorsFiles.Stored) throws(FormatError) -> Tensor {
    let role = Role(.unknown, name: name)
    if name.hasSuffix(Pairing.blocks), stored.dtype == .u8 { return try microScaled(name, stored, role) }
    let fp8 = stored.dtype == .f8e4m3 || stored.dtype == .f8e5m2
    if let block, fp8 { return try blockScaled(name, stored, role, block) }
    guard files.stored[name + Pairing.scaleSuffix] == nil else {
      throw files.error(
        name, "FP8 values beside scales '\(name)\(Pairing.scaleSuffix)'", found: stored.dtype.rawValue)
    }
    return try files.dense(name, stored, role)
  }

  /// Scales stand beside a weight, and the config says what they are.
  private func requireWeight(ofScales name: String) throws(FormatError) {
    guard block != nil else {
      throw files.error(
        name, "quantization_config with weight_block_size in \(files.config.path) beside scales",
        found: "none")
    }
    let weight = String(name.dropLast(Pairing.scaleSuffix.count))
    guard files.stored[weight] != nil else {
      throw files.error(name, "scales beside a tensor '\(weight)'", found: "no such tensor")
    }
  }

  /// The logical tensor of FP8 codes and their scales.
  private func blockScaled(
    _ name: String, _ codes: SafeTensorsFiles.Stored, _ role: Role, _ block: (rows: Int, columns: Int)
  ) throws(FormatError) -> Tensor {
    let scaleName = name + Pairing.scaleSuffix
    guard let scales = files.stored[scaleName] else {
      throw files.error(
        name, "scales '\(scaleName)' for \(codes.dtype.rawValue) values", found: "none of this name")
    }
    let matrix = Matrix(codes.shape)!
    let grid = [Matrix.steps(matrix.rows, block.rows), Matrix.steps(matrix.columns, block.columns)]
    guard codes.shape.count == 2, scales.shape == grid else {
      throw files.error(
        scaleName, "shape \(grid) for \(codes.shape) in blocks of \(block.rows)x\(block.columns)",
        found: "shape \(scales.shape)")
    }
    let arePowers = scales.dtype == .u8 || scales.dtype == .f8e8m0
    if arePowers, codes.dtype == .f8e4m3, block == (1, 32) {
      return Tensor(
        name: name, role: role, shape: codes.shape, encoding: .microScaled(.mxfp8), path: codes.path,
        offset: codes.offset, planes: [codes.bytes, scales.bytes])
    }
    guard
      let scheme = BlockScaled(
        code: codes.dtype, scale: arePowers ? .f32 : scales.dtype, blockRows: block.rows,
        blockColumns: block.columns)
    else {
      throw files.error(scaleName, "scales of F32, BF16, F16 or F8_E8M0", found: scales.dtype.rawValue)
    }
    if arePowers {
      return Tensor(
        name: name, role: role, shape: codes.shape, scheme, path: codes.path, offset: codes.offset,
        codes: codes.bytes, powers: scales.bytes)
    }
    return Tensor(
      name: name, role: role, shape: codes.shape, encoding: .blockScaled(scheme), path: codes.path,
      offset: codes.offset, planes: [codes.bytes, scales.bytes])
  }
}

extension Pairing {
  private static let blocks = "_blocks"
  private static let groupScales = "_scales"

  /// The logical tensor of FP4 codes (…, groups, 16 bytes) and their scales (…, groups): (…, groups · 32).
  private func microScaled(_ name: String, _ codes: SafeTensorsFiles.Stored, _ role: Role)
    throws(FormatError) -> Tensor
  {
    let weight = String(name.dropLast(Pairing.blocks.count))
    let scaleName = weight + Pairing.groupScales
    guard let scales = files.stored[scaleName] else {
      throw files.error(name, "scales '\(scaleName)' for FP4 codes", found: "none of this name")
    }
    guard codes.shape.count >= 3, codes.shape.last == 16 else {
      throw files.error(name, "U8 codes in groups of 16 bytes", found: "shape \(codes.shape)")
    }
    let grid = Array(codes.shape.dropLast())
    guard scales.shape == grid, scales.dtype == .u8 else {
      throw files.error(scaleName, "U8 \(grid)", found: "\(scales.dtype.rawValue) \(scales.shape)")
    }
    return Tensor(
      name: weight, role: role, shape: grid.dropLast() + [grid.last! * 32], encoding: .microScaled(.mxfp4),
      path: codes.path, offset: codes.offset, planes: [codes.bytes, scales.bytes])
  }
}

extension SafeTensorsFiles {
  /// A stored tensor as it is.
  func dense(_ name: String, _ stored: Stored, _ role: Role) throws(FormatError) -> Tensor {
    guard Encoding.dense(stored.dtype).planes(stored.shape) != nil else {
      throw error(name, "rows that end on a byte", found: "\(stored.dtype.rawValue) \(stored.shape)")
    }
    return Tensor(
      name: name, role: role, shape: stored.shape, encoding: .dense(stored.dtype), path: stored.path,
      offset: stored.offset, planes: [stored.bytes])
  }
}
