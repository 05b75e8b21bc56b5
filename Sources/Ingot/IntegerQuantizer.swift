import IngotModels
import IngotQuantization
import IngotTensors

/// A quantizer of your own for encodings of integers (`int2` to `int8` in recipes): it chooses codes, scales and zeros; reading, packing,
/// writing, resuming and verifying stay as they are.
public protocol IntegerQuantizer: Sendable {
  /// What artifacts say of it. Change it when the codes change: an unfinished output resumes with the same name only.
  var name: String { get }

  /// Chooses the codes of some rows of a tensor. Called from any task; the same rows must give the same codes.
  func quantize(_ rows: WeightRows) throws -> QuantizedRows
}

/// Rows of a matrix that are to be quantized.
public struct WeightRows: Sendable {
  /// The tensor that they are of.
  public let tensor: String
  /// (rows, columns), finite.
  public let values: [Float]
  /// How many there are.
  public let rowCount: Int
  /// Inputs of the layer.
  public let columnCount: Int
  /// (columns): how much errors in each count; nil where that is not known.
  public let importance: [Float]?
  /// Bits of a code.
  public let bits: Int
  /// Columns that share a scale; the last group of a row may be short.
  public let groupSize: Int
  /// Whether groups have zeros; without, zero is 2^(bits − 1).
  public let hasZeros: Bool

  /// Groups of a row.
  public var groupCount: Int { (columnCount + groupSize - 1) / groupSize }
}

/// Codes, and what turns them back into weights: scale · (code − zero).
public struct QuantizedRows: Sendable {
  /// (rows, columns), each below 2^bits.
  public var codes: [UInt8]
  /// (rows, groups); stored as the encoding says, in F16 mostly.
  public var scales: [Float]
  /// (rows, groups), or empty without zeros.
  public var zeros: [UInt8]

  public init(codes: [UInt8], scales: [Float], zeros: [UInt8] = []) {
    (self.codes, self.scales, self.zeros) = (codes, scales, zeros)
  }
}

extension CustomCodes {
  init(_ quantizer: any IntegerQuantizer) {
    self.init(name: quantizer.name) { tensor, values, rows, importance, scheme in
      let made = try quantizer.quantize(
        WeightRows(
          tensor: tensor.name, values: values, rowCount: rows, columnCount: tensor.columns,
          importance: importance, bits: scheme.bits, groupSize: scheme.group ?? max(tensor.columns, 1),
          hasZeros: scheme.offset == .zeroPoint))
      return IntegerCodes(codes: made.codes, scales: made.scales, zeros: made.zeros)
    }
  }
}
