import IngotModels
import IngotSystem
import IngotTensors

/// Weights stored as codes under their own names, with scales beside them: FP8 and INT8 with one scale per tensor, per row or per
/// block, MXFP8, and FP4 as ModelOpt writes it. Types and shapes of the stored tensors decide; the config is asked for the size
/// of blocks alone.
///
/// `X` stands for the weight's name. FP8 (rows, columns): `X_scale_inv` or `X_scale`, F32, BF16, F16 or E8M0, of one value, of
/// (rows) or (rows, 1), or of (rows, columns) in blocks; value = code · scale. INT8: `X_scale` likewise by row or group, perhaps
/// `X_zero_point`. FP4: U8 (rows, columns / 2), the first code in the low nibble, with `X_scale` F8_E4M3 (rows, columns / 16) and
/// `X_scale_2` F32 (1), value = code · (scale · scale_2); or with E8M0 (rows, columns / 32).
struct ScaledWeights {
  let files: SafeTensorsFiles
  /// Sizes of blocks that the config names.
  let blocks: [Block]

  struct Block: Hashable {
    var rows: Int
    var columns: Int
  }

  private static let inverse = "_scale_inv"
  private static let scale = "_scale"
  private static let second = "_scale_2"
  private static let zero = "_zero_point"

  /// The weight that a stored tensor belongs to by its name; nil for one of its own.
  ///
  /// - Throws: FormatError for scales whose weight is not there.
  func owner(_ name: String) throws(FormatError) -> String? {
    for suffix in [Self.inverse, Self.second, Self.scale, Self.zero] where name.hasSuffix(suffix) {
      let weight = String(name.dropLast(suffix.count))
      if files.stored[weight] != nil { return weight }
      guard suffix == Self.inverse || weight.hasSuffix(".weight") else { return nil }
      throw files.error(name, "scales beside a tensor '\(weight)'", found: "no such tensor")
    }
    return nil
  }

  /// A stored tensor with what belongs to it; nil for one that has no scales beside it and needs none.
  func tensor(_ name: String, _ codes: SafeTensorsFiles.Stored, _ role: Role) throws(FormatError)
    -> Tensor?
  {
    let scaleName =
      files.stored[name + Self.inverse] != nil ? name + Self.inverse : name + Self.scale
    guard let scales = files.stored[scaleName] else {
      // Of integers only what is called a weight: a model may carry others.
      let isCoded =
        switch codes.dtype {
        case .f8e4m3, .f8e5m2: true
        case .i8, .u8: name.hasSuffix(".weight")
        default: false
        }
      // What goes with scales says that they are missing, of a tensor of any type.
      let beside = [Self.second, Self.zero].first { files.stored[name + $0] != nil }
      guard beside != nil || isCoded && files.config["quantization_config"] != nil else { return nil }
      throw files.error(
        name,
        "scales '\(name)\(Self.inverse)' or '\(name)\(Self.scale)' for \(codes.dtype.rawValue) values",
        found: "none of these names")
    }
    let stored = Scaled(name: name, role: role, codes: codes, scaleName: scaleName, scales: scales)
    switch codes.dtype {
    case .f8e4m3, .f8e5m2: return try float8(stored)
    case .i8: return try int8(stored)
    case .u8: return try float4(stored)
    default:
      throw files.error(
        name, "FP8 values beside scales '\(scaleName)'", found: codes.dtype.rawValue)
    }
  }

  /// Codes and their scales.
  private struct Scaled {
    var name: String
    var role: Role
    var codes: SafeTensorsFiles.Stored
    var scaleName: String
    var scales: SafeTensorsFiles.Stored

    var matrix: Matrix { Matrix(codes.shape)! }
    var arePowers: Bool { scales.dtype == .u8 || scales.dtype == .f8e8m0 }

    /// Rows that each scale stands for, where it stands for whole rows: one scale for all, for each matrix of a stack, or for each
    /// row; nil for other shapes.
    var span: Int? {
      let count = elementCount(scales.shape)!
      if count == 1 { return max(matrix.rows, 1) }
      var extents = scales.shape
      while extents.last == 1 { extents.removeLast() }
      let leading = Array(codes.shape.dropLast())
      if extents == leading { return 1 }
      if leading.count == 2, extents == [leading[0]] { return leading[1] }
      return nil
    }

    func tensor(_ shape: [Int], _ encoding: Encoding, _ planes: [StoredPlane]) -> Tensor {
      Tensor(
        name: name, role: role, shape: shape, encoding: encoding, path: codes.path,
        offset: codes.offset,
        stored: planes)
    }
  }

  // MARK: FP8

  private func float8(_ stored: Scaled) throws(FormatError) -> Tensor {
    let (codes, scales, matrix) = (stored.codes, stored.scales, stored.matrix)
    guard codes.shape.count >= 2 else {
      throw files.error(
        stored.name, "FP8 codes of two extents or more", found: "shape \(codes.shape)")
    }
    func grid(_ block: Block) -> [Int] {
      codes.shape.dropLast(2) + [
        Matrix.steps(codes.shape[codes.shape.count - 2], block.rows),
        Matrix.steps(matrix.columns, block.columns),
      ]
    }
    // Blocks do not reach over the matrices of a stack.
    let fitting = blocks.first {
      scales.shape == grid($0)
        && (codes.shape.count == 2 || codes.shape[codes.shape.count - 2] % $0.rows == 0)
    }
    let isMX =
      stored.arePowers && codes.dtype == .f8e4m3
      && scales.shape == codes.shape.dropLast() + [Matrix.steps(matrix.columns, 32)]
    if isMX, fitting.map({ $0 == Block(rows: 1, columns: 32) }) ?? (stored.span == nil) {
      return Tensor(
        name: stored.name, role: stored.role, shape: codes.shape, encoding: .microScaled(.mxfp8),
        path: codes.path, offset: codes.offset, planes: [codes.bytes, scales.bytes])
    }
    let block: Block
    let span: Int
    if let fitting {
      (block, span) = (fitting, fitting.rows)
    } else if let rows = stored.span {
      (block, span) = (Block(rows: 1, columns: max(matrix.columns, 1)), rows)
    } else {
      let sizes = blocks.map { "\(grid($0)) for blocks of \($0.rows)x\($0.columns)" }
      throw files.error(
        stored.scaleName,
        "shape [1], [\(matrix.rows)], [\(matrix.rows), 1]"
          + (sizes.isEmpty
            ? " for \(codes.shape); blocks need weight_block_size in quantization_config"
            : " or \(sizes.joined(separator: " or ")) of \(codes.shape)"),
        found: "shape \(scales.shape)")
    }
    guard
      let scheme = BlockScaled(
        code: codes.dtype, scale: stored.arePowers ? .f32 : scales.dtype, blockRows: block.rows,
        blockColumns: block.columns)
    else {
      throw files.error(
        stored.scaleName, "scales of F32, BF16, F16 or F8_E8M0", found: scales.dtype.rawValue)
    }
    let encoding = Encoding.blockScaled(scheme)
    if span == block.rows, !stored.arePowers {
      return Tensor(
        name: stored.name, role: stored.role, shape: codes.shape, encoding: encoding,
        path: codes.path,
        offset: codes.offset, planes: [codes.bytes, scales.bytes])
    }
    return stored.tensor(
      codes.shape, encoding,
      [
        StoredPlane(codes.bytes),
        StoredPlane(scales.bytes, span: span, stored.arePowers ? .powersOfTwo : .same),
      ])
  }

  // MARK: INT8

  /// value = (code − zero point) · scale.
  private func int8(_ stored: Scaled) throws(FormatError) -> Tensor {
    let (codes, scales, matrix) = (stored.codes, stored.scales, stored.matrix)
    var group: Int?
    var span = stored.span
    if span == nil, codes.shape.count == 2, scales.shape.count == 2, scales.shape[0] == matrix.rows,
      scales.shape[1] > 0, matrix.columns % scales.shape[1] == 0
    {
      (group, span) = (matrix.columns / scales.shape[1], 1)
    }
    let zeros = files.stored[stored.name + Self.zero]
    guard codes.shape.count == 2, let span else {
      throw files.error(
        stored.scaleName,
        "one scale, one of each of \(matrix.rows) rows or groups that divide the columns of "
          + "\(codes.shape)", found: "shape \(scales.shape)")
    }
    if let zeros, zeros.dtype != .i8 || zeros.shape != scales.shape {
      throw files.error(
        stored.name + Self.zero, "I8 \(scales.shape)",
        found: "\(zeros.dtype.rawValue) \(zeros.shape)")
    }
    guard
      let scheme = Affine(
        bits: 8, group: group, offset: zeros == nil ? .symmetric : .zeroPoint, scale: scales.dtype)
    else {
      throw files.error(
        stored.scaleName, "scales of F32, BF16 or F16, in groups of 16 to 128 columns if in groups",
        found: "\(scales.dtype.rawValue) \(scales.shape)")
    }
    var planes = [StoredPlane(codes.bytes, .signed), StoredPlane(scales.bytes, span: span)]
    if let zeros { planes.append(StoredPlane(zeros.bytes, span: span, .signed)) }
    return stored.tensor(codes.shape, .affine(scheme), planes)
  }

  // MARK: FP4

  private func float4(_ stored: Scaled) throws(FormatError) -> Tensor {
    let (codes, scales) = (stored.codes, stored.scales)
    guard codes.shape.count == 2, codes.shape[1] <= 1 << 24 else {
      throw files.error(stored.name, "U8 codes of two extents", found: "shape \(codes.shape)")
    }
    let shape = [codes.shape[0], 2 * codes.shape[1]]
    let scheme = stored.arePowers ? MicroScaled.mxfp4 : .nvfp4Factor
    let grid = [shape[0], shape[1] / scheme.group]
    guard stored.arePowers || scales.dtype == .f8e4m3, scales.shape == grid,
      shape[1] % scheme.group == 0
    else {
      throw files.error(
        stored.scaleName,
        "F8_E4M3 \([shape[0], shape[1] / 16]) or F8_E8M0 \([shape[0], shape[1] / 32]) beside FP4 codes",
        found: "\(scales.dtype.rawValue) \(scales.shape)")
    }
    var planes = [StoredPlane(codes.bytes), StoredPlane(scales.bytes)]
    if scheme.hasGlobal {
      let name = stored.name + Self.second
      guard let global = files.stored[name] else {
        throw files.error(stored.name, "the tensor's scale '\(name)'", found: "none of this name")
      }
      guard global.dtype == .f32, elementCount(global.shape) == 1 else {
        throw files.error(name, "one F32", found: "\(global.dtype.rawValue) \(global.shape)")
      }
      // A tensor without values has no such plane.
      planes.append(
        StoredPlane(
          elementCount(shape) == 0 ? global.bytes[0..<0] : global.bytes, span: max(shape[0], 1)))
    }
    return stored.tensor(shape, .microScaled(scheme), planes)
  }
}
