import Models
import Tensors

/// Joins stored tensors that are one logical tensor: FP8 `X` and its block scales `X_scale_inv`.
struct Pairing {
  static let scaleSuffix = "_scale_inv"

  private let config: Config
  private let stored: [String: SafeTensorsHeader.Entry]
  /// Rows and columns of a block, when the config says that weights are FP8 in blocks.
  private let block: (rows: Int, columns: Int)?

  init(_ config: Config, _ stored: [String: SafeTensorsHeader.Entry]) throws(FormatError) {
    self.config = config
    self.stored = stored
    guard let quantization = config["quantization_config"] else {
      block = nil
      return
    }
    guard quantization["quant_method"] == "fp8" else {
      throw config.error(
        "quantization_config", "quant_method \"fp8\"", found: (quantization["quant_method"] ?? .null).kind)
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
  /// - Parameters:
  ///   - role: the role of a name; nil for a name that nobody knows, which is an error.
  ///   - bytes: path and bytes of a stored tensor.
  func tensors(role: (String) -> Role?, bytes: (String) -> (path: String, bytes: Bytes)) throws(FormatError)
    -> [Tensor]
  {
    var tensors: [Tensor] = []
    tensors.reserveCapacity(stored.count)
    for (name, entry) in stored.sorted(by: { $0.value.headerOffset < $1.value.headerOffset }) {
      let (path, values) = bytes(name)
      func wrong(_ expected: String, _ found: String) -> FormatError {
        FormatError(
          path: path, tensor: name, offset: entry.headerOffset, expected: expected, found: found)
      }
      if name.hasSuffix(Pairing.scaleSuffix) {
        guard block != nil else {
          throw wrong("quantization_config with weight_block_size in \(config.path) beside scales", "none")
        }
        let weight = String(name.dropLast(Pairing.scaleSuffix.count))
        guard stored[weight] != nil else {
          throw wrong("scales beside a tensor '\(weight)'", "no such tensor")
        }
        continue
      }
      guard let role = role(name) else {
        throw wrong(
          "a tensor of \(config["model_type"]?.string ?? "this family")",
          "a name it does not know (--keep-unknown copies it)")
      }
      let place = UInt64(entry.range.lowerBound)
      let fp8 = entry.dtype == .f8e4m3 || entry.dtype == .f8e5m2
      let scales = stored[name + Pairing.scaleSuffix]
      if fp8, let block {
        guard let scales else {
          throw wrong(
            "scales '\(name)\(Pairing.scaleSuffix)' for \(entry.dtype.rawValue) values", "none of this name")
        }
        let rows = Matrix(entry.shape)!.rows
        let columns = entry.shape.last ?? 1
        let grid = [Matrix.steps(rows, block.rows), Matrix.steps(columns, block.columns)]
        guard
          let scheme = BlockScaled(
            code: entry.dtype, scale: scales.dtype, blockRows: block.rows, blockColumns: block.columns)
        else {
          throw FormatError(
            path: path, tensor: scales.name, offset: scales.headerOffset,
            expected: "scales of F32, BF16 or F16",
            found: scales.dtype.rawValue)
        }
        guard entry.shape.count == 2, scales.shape == grid else {
          throw FormatError(
            path: path, tensor: scales.name, offset: scales.headerOffset,
            expected: "shape \(grid) for \(entry.shape) in blocks of \(block.rows)x\(block.columns)",
            found: "shape \(scales.shape)")
        }
        tensors.append(
          Tensor(
            name: name, role: role, shape: entry.shape, encoding: .blockScaled(scheme), path: path,
            offset: place,
            planes: [values, bytes(scales.name).bytes]))
        continue
      }
      if scales != nil, block != nil {
        throw wrong("FP8 values beside scales '\(name)\(Pairing.scaleSuffix)'", entry.dtype.rawValue)
      }
      guard entry.dtype.isDecodable && !fp8 || role.part == .unknown || role.part == .auxiliary else {
        throw wrong(
          fp8 ? "quantization_config with weight_block_size for FP8 values" : "a floating-point type",
          entry.dtype.rawValue)
      }
      guard Encoding.dense(entry.dtype).planes(entry.shape) != nil else {
        throw wrong("rows that end on a byte", "\(entry.dtype.rawValue) \(entry.shape)")
      }
      tensors.append(
        Tensor(
          name: name, role: role, shape: entry.shape, encoding: .dense(entry.dtype), path: path,
          offset: place,
          planes: [values]))
    }
    return tensors
  }
}
