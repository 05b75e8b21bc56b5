import IngotSystem
import IngotTensors

/// How MLX quantizes a module: what stands in config.json for it.
struct MLXScheme: Hashable, CustomStringConvertible {
  enum Mode: String, CaseIterable {
    case affine, mxfp4, mxfp8, nvfp4

    /// Bits and group where none are given.
    var usual: (bits: Int, group: Int) {
      switch self {
      case .affine: (4, 64)
      case .mxfp4: (4, 32)
      case .mxfp8: (8, 32)
      case .nvfp4: (4, 16)
      }
    }
  }

  static let groups = [32, 64, 128]

  var mode: Mode
  var bits: Int
  /// Columns that share a scale.
  var group: Int

  /// - Returns: nil when MLX has no such mode, width or group.
  init?(mode: Mode, bits: Int, group: Int) {
    self.mode = mode
    self.bits = bits
    self.group = group
    switch mode {
    case .affine: guard Affine.widths.contains(bits), MLXScheme.groups.contains(group) else { return nil }
    default:
      let micro = microScaled!
      guard bits == micro.bits, group == micro.group else { return nil }
    }
  }

  /// The scheme of an encoding; nil when MLX has none for it.
  init?(_ encoding: Encoding) {
    switch encoding {
    case .affine(let scheme) where scheme.offset == .bias:
      guard let group = scheme.group else { return nil }
      self.init(mode: .affine, bits: scheme.bits, group: group)
    case .microScaled(let scheme):
      let modes: [MicroScaled: Mode] = [.mxfp4: .mxfp4, .mxfp8: .mxfp8, .nvfp4: .nvfp4]
      guard let mode = modes[scheme] else { return nil }
      self.init(mode: mode, bits: scheme.bits, group: scheme.group)
    default: return nil
    }
  }

  private var microScaled: MicroScaled? {
    switch mode {
    case .affine: nil
    case .mxfp4: .mxfp4
    case .mxfp8: .mxfp8
    case .nvfp4: .nvfp4
    }
  }

  /// The encoding of a module of this scheme.
  ///
  /// - Parameter scale: type of the stored scales.
  /// - Returns: nil when scales of the mode have another type.
  func encoding(scale: DType) -> Encoding? {
    guard let microScaled else {
      return Affine(bits: bits, group: group, offset: .bias, scale: scale).map { .affine($0) }
    }
    return scale == .u8 ? .microScaled(microScaled) : nil
  }

  var json: JSON { ["group_size": JSON(group), "bits": JSON(bits), "mode": .string(mode.rawValue)] }

  var description: String { "\(bits) bits, group_size \(group), mode \(mode.rawValue)" }
}
