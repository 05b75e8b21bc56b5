extension Encoding {
  /// What takes this encoding's place where the columns of a matrix are not a whole number of its blocks or groups, best
  /// first; the last one has no blocks. Empty for dense values.
  ///
  /// Of ggml's types these are what llama.cpp's quantizer takes: for blocks of 256 the nearest type with blocks of 32, for
  /// these F16 (src/llama-quant.cpp, tensor_type_fallback). Affine groups get shorter, then values stay in BF16.
  public var rowFallbacks: [Encoding] {
    switch self {
    case .ggml(let type): (type.legacy.map { [.ggml($0)] } ?? []) + [.dense(.f16)]
    case .affine(let scheme):
      [64, 32].filter { $0 < scheme.group ?? .max }.compactMap { group in
        Affine(bits: scheme.bits, group: group, offset: scheme.offset, scale: scheme.scale).map {
          .affine($0)
        }
      } + [.dense(.bf16)]
    case .microScaled: [.dense(.bf16)]
    case .dense, .blockScaled, .columnPacked, .trellis, .tiles: []
    }
  }
}

extension GGMLType {
  /// The type with blocks of 32 that takes the place of one with blocks of 256; nil for others.
  fileprivate var legacy: GGMLType? {
    switch self {
    case .q2K, .q3K, .tq10, .tq20: .q40
    case .q4K: .q50
    case .q5K: .q51
    case .q6K: .q80
    case .iq1S, .iq1M, .iq2XXS, .iq2XS, .iq2S, .iq3XXS, .iq3S, .iq4XS: .iq4NL
    case .q40, .q41, .q50, .q51, .q80, .iq4NL, .mxfp4, .nvfp4, .q10, .q20: nil
    }
  }
}
