import IngotModels
import IngotSystem
import IngotTensors

/// Joins stored tensors that are one logical tensor: codes and their scales (`ScaledWeights`); FP4 `X_blocks` in groups of 32 and
/// their scales `X_scales` (gpt-oss).
struct Pairing {
  static let scaleSuffix = "_scale_inv"

  private let files: SafeTensorsFiles
  private let scaled: ScaledWeights

  /// Ways to quantize whose tensors are read by what they are.
  private static let methods: Set<String> = [
    "fp8", "mxfp8", "mxfp4", "fbgemm_fp8", "modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed",
  ]

  init(_ files: SafeTensorsFiles) throws(FormatError) {
    self.files = files
    let config = files.config
    guard let quantization = config["quantization_config"] else {
      scaled = ScaledWeights(files: files, blocks: [])
      return
    }
    guard let method = quantization["quant_method"]?.string, Pairing.methods.contains(method) else {
      throw config.error(
        "quantization_config",
        "quant_method " + Pairing.methods.sorted().map { "\"\($0)\"" }.joined(separator: ", "),
        found: (quantization["quant_method"] ?? .null).kind)
    }
    guard let size = quantization["weight_block_size"], !size.isNull else {
      scaled = ScaledWeights(files: files, blocks: [])
      return
    }
    guard let sizes = size.array, sizes.count == 2, let rows = sizes[0].int, let columns = sizes[1].int,
      (1...1 << 20).contains(rows), (1...1 << 20).contains(columns)
    else {
      throw config.error(
        "quantization_config", "weight_block_size of two positive integers", found: size.kind)
    }
    scaled = ScaledWeights(files: files, blocks: [.init(rows: rows, columns: columns)])
  }

  /// The logical tensors.
  ///
  /// - Parameter logical: those that a stored tensor holds; nil for a name that nobody knows, which is an error.
  func tensors(logical: (Tensor) throws(FormatError) -> [Tensor]?) throws(FormatError) -> [Tensor] {
    var tensors: [Tensor] = []
    tensors.reserveCapacity(files.stored.count)
    for (name, stored) in files.ordered where !Family.isDerived(name) {
      if Family.isActivationScale(name) {
        tensors.append(try files.dense(name, stored, Role(.activationScale, name: name)))
        continue
      }
      if try scaled.owner(name) != nil { continue }
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
            isBareFP8 ? "scales beside FP8 values, and a quantization_config" : "a floating-point type",
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
    if let tensor = try scaled.tensor(name, stored, role) { return tensor }
    return try files.dense(name, stored, role)
  }
}

extension Pairing {
  static let blocks = "_blocks"
  static let groupScales = "_scales"

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
