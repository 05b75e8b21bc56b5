import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Codes of integers, and what turns them back into weights: scale · (code − zero).
public struct IntegerCodes: Sendable {
  /// (rows, columns), each below 2^bits.
  public var codes: [UInt8]
  /// (rows, groups)
  public var scales: [Float]
  /// (rows, groups), or empty where the encoding has none: zero is 2^(bits − 1) then.
  public var zeros: [UInt8]

  public init(codes: [UInt8], scales: [Float], zeros: [UInt8] = []) {
    (self.codes, self.scales, self.zeros) = (codes, scales, zeros)
  }
}

/// A quantizer of a program that uses the library: it chooses codes, scales and zeros of encodings of integers, which are `intN` in
/// recipes, instead of round to nearest and the search.
public struct CustomCodes: Sendable {
  /// What artifacts say of it. An unfinished output is continued by a quantizer of the same name only.
  public var name: String
  /// From any task, for some rows of a tensor: their values, how many there are, and how much each column counts, where that is
  /// known. The same values must give the same codes.
  public var choose:
    @Sendable (_ tensor: Tensor, _ values: [Float], _ rows: Int, _ importance: [Float]?, _ scheme: Affine)
      throws -> IntegerCodes

  public init(
    name: String,
    choose:
      @escaping @Sendable (
        _ tensor: Tensor, _ values: [Float], _ rows: Int, _ importance: [Float]?, _ scheme: Affine
      ) throws -> IntegerCodes
  ) {
    (self.name, self.choose) = (name, choose)
  }

  /// The planes of rows of a tensor.
  ///
  /// - Throws: FormatError where what was chosen does not fit the encoding, and for what `choose` throws.
  func planes(
    _ tensor: Tensor, _ values: [Float], rows: Range<Int>, _ importance: [Float]?, _ scheme: Affine
  ) throws(FormatError) -> [Bytes] {
    let made: IntegerCodes
    do {
      made = try choose(tensor, values, rows.count, importance, scheme)
    } catch {
      throw tensor.error("codes by quantizer '\(name)'", found: "\(error)")
    }
    let groups = rows.count * scheme.groups(tensor.columns)
    let zeros = scheme.offset == .zeroPoint ? groups : 0
    for (what, count, wanted) in [
      ("codes", made.codes.count, values.count), ("scales", made.scales.count, groups),
      ("zeros", made.zeros.count, zeros),
    ] where count != wanted {
      throw tensor.error("\(wanted) \(what) by quantizer '\(name)'", found: "\(count)")
    }
    if let code = (made.codes + made.zeros).first(where: { Int($0) >= 1 << scheme.bits }) {
      throw tensor.error("codes below \(1 << scheme.bits) by quantizer '\(name)'", found: "\(code)")
    }
    if let scale = made.scales.first(where: { !$0.isFinite }) {
      throw tensor.error("finite scales by quantizer '\(name)'", found: "\(scale)")
    }
    let storage = scheme.scale.floatFormat!
    var planes = [
      Quantizer.packed(made.codes, bits: scheme.bits, rows: rows.count),
      Bytes(count: groups * storage.byteCount) { IngotKernels.encode(storage, made.scales.span, into: &$0) },
    ]
    if scheme.offset == .zeroPoint {
      planes.append(Quantizer.packed(made.zeros, bits: scheme.bits, rows: rows.count))
    }
    return planes
  }
}
