import IngotKernels

/// Decodes a run of dense values. `type.isDecodable` must hold.
func decodeDense(_ type: DType, _ source: RawSpan, into out: inout MutableSpan<Float>) {
  guard let format = type.floatFormat else { preconditionFailure("\(type) has no values in F32") }
  decode(format, source, into: &out)
}

extension DType {
  /// The kernel's name of this type; nil when it is not a real number of at most 32 bits.
  public var floatFormat: FloatFormat? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .f8e4m3: .f8e4m3
    case .f8e5m2: .f8e5m2
    default: nil
    }
  }
}
