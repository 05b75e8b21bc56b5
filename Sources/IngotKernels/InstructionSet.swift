import CIngotKernels

/// A set of vector instructions that a kernel can be run with. Every set gives the same bits.
public enum InstructionSet: String, CaseIterable, Sendable {
  /// The reference: plain loops.
  case scalar
  /// AVX2 with F16C and BMI2.
  case avx2
  /// AVX-512 F, BW, DQ, VL and VBMI.
  case avx512
  /// Arm's Advanced SIMD.
  case neon

  /// The sets this processor has, slowest first.
  public static let supported: [InstructionSet] = allCases.filter { ingot_isa_supported($0.native) }

  /// The fastest supported set. The environment variable `INGOT_ISA` may name a slower supported one;
  /// other values are ignored, since no result depends on it.
  public static let best: InstructionSet = {
    let native = ingot_isa_best()
    return supported.last { $0.native == native } ?? .scalar
  }()

  var native: ingot_isa {
    switch self {
    case .scalar: INGOT_SCALAR
    case .avx2: INGOT_AVX2
    case .avx512: INGOT_AVX512
    case .neon: INGOT_NEON
    }
  }

  /// `native`, after a check that the processor can run it.
  var checked: ingot_isa {
    precondition(ingot_isa_supported(native), "this processor does not have \(rawValue)")
    return native
  }
}
