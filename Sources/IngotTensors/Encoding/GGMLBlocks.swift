import IngotKernels
import IngotSystem

/// A block type of GGML, as GGUF files hold them; the raw value is its number there.
///
/// A row is a run of blocks of `blockWeights` weights, each with its own scale; the types whose names end in K, and
/// IQ4_XS, cut a block of 256 into sub-blocks with small integer multiples of that scale. IQ4 and MXFP4 codes stand
/// for the values of a table. Codes of IQ1, IQ2 and IQ3 number points of a lattice, of eight or four weights each. TQ1_0,
/// TQ2_0, Q1_0, Q2_0 and NVFP4 are read and carried, not made.
///
/// One plane: `blocks` (rows, columns / blockWeights), `blockBytes` each.
public enum GGMLType: UInt8, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  case q40 = 2
  case q41 = 3
  case q50 = 6
  case q51 = 7
  case q80 = 8
  case q2K = 10
  case q3K = 11
  case q4K = 12
  case q5K = 13
  case q6K = 14
  case iq2XXS = 16
  case iq2XS = 17
  case iq3XXS = 18
  case iq1S = 19
  case iq4NL = 20
  case iq3S = 21
  case iq2S = 22
  case iq4XS = 23
  case iq1M = 29
  case tq10 = 34
  case tq20 = 35
  case mxfp4 = 39
  case nvfp4 = 40
  case q10 = 41
  case q20 = 42

  /// Whether blocks can be made of weights, and not only read.
  public var isWritable: Bool {
    switch self {
    case .q40, .q41, .q50, .q51, .q80, .q2K, .q3K, .q4K, .q5K, .q6K, .iq4NL, .iq4XS, .mxfp4: true
    case .iq2XXS, .iq2XS, .iq3XXS, .iq1S, .iq3S, .iq2S, .iq1M: true
    case .tq10, .tq20, .nvfp4, .q10, .q20: false
    }
  }

  /// Whether codes number points of a lattice.
  public var isLattice: Bool {
    switch self {
    case .iq2XXS, .iq2XS, .iq3XXS, .iq1S, .iq3S, .iq2S, .iq1M: true
    default: false
    }
  }

  /// Whether llama.cpp refuses to make it without an importance matrix.
  public var wantsImportance: Bool { isLattice && self != .iq3S }

  /// Weights of a block; columns must be a multiple of this.
  public var blockWeights: Int { block.weights }

  /// Bytes of a block.
  public var blockBytes: Int { block.bytes }

  public var bitsPerWeight: Double { Double(8 * blockBytes) / Double(blockWeights) }

  /// The name that recipes and reports use: `q4_k`, `q8_0`, `iq4_xs`, `mxfp4`.
  public var description: String {
    switch self {
    case .q40: "q4_0"
    case .q41: "q4_1"
    case .q50: "q5_0"
    case .q51: "q5_1"
    case .q80: "q8_0"
    case .q2K: "q2_k"
    case .q3K: "q3_k"
    case .q4K: "q4_k"
    case .q5K: "q5_k"
    case .q6K: "q6_k"
    case .iq4NL: "iq4_nl"
    case .iq4XS: "iq4_xs"
    case .mxfp4: "mxfp4"
    case .iq2XXS: "iq2_xxs"
    case .iq2XS: "iq2_xs"
    case .iq3XXS: "iq3_xxs"
    case .iq1S: "iq1_s"
    case .iq3S: "iq3_s"
    case .iq2S: "iq2_s"
    case .iq1M: "iq1_m"
    case .tq10: "tq1_0"
    case .tq20: "tq2_0"
    case .nvfp4: "nvfp4"
    case .q10: "q1_0"
    case .q20: "q2_0"
    }
  }

  /// - Returns: nil when `name` is none that `description` gives, in capitals or not.
  public init?(name: String) {
    guard let type = GGMLType.allCases.first(where: { $0.description == name.lowercased() }) else {
      return nil
    }
    self = type
  }

  private var block: (weights: Int, bytes: Int) {
    guard let block = ggmlBlock(type: Int(rawValue)) else { preconditionFailure("the kernels lack \(self)") }
    return block
  }

  func planes(_ matrix: Matrix) -> [Plane]? {
    let block = block
    guard matrix.columns % block.weights == 0 else { return nil }
    return Plane(
      "blocks", .u8, rows: matrix.rows, columns: matrix.columns / block.weights, bits: 8 * block.bytes
    )
    .map { [$0] }
  }

  func decode(_ planes: [Bytes], into out: inout MutableSpan<Float>) {
    let blocks = planes[0]
    decodeGGML(type: Int(rawValue), blocks.span, into: &out)
  }
}
