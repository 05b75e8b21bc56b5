import IngotModels
import IngotTensors

/// What a format says of rows that an encoding's groups do not divide.
public struct RowRules: Sendable {
  /// Which matrices have one encoding, so that what does not fit one of them fits none.
  public enum Alike: Sendable {
    /// Matrices that read the same input, which have the same columns: nothing more than their rows.
    case inputs
    /// These, and all experts.
    case experts
    /// These, and everything that is quantized has one scheme.
    case model
  }

  /// Whether the format holds a matrix of `rows` × `columns` in an encoding, short groups and all.
  public var holds: @Sendable (_ encoding: Encoding, _ rows: Int, _ columns: Int) -> Bool
  public var alike: Alike
  /// Whether experts must be quantized where anything is: transformers loads no dense experts beside modules of
  /// compressed-tensors.
  public var needsExperts: Bool

  public init(
    alike: Alike = .inputs, needsExperts: Bool = false,
    holds: @escaping @Sendable (_ encoding: Encoding, _ rows: Int, _ columns: Int) -> Bool = {
      $0.planes([$1, $2]) != nil
    }
  ) {
    self.holds = holds
    self.alike = alike
    self.needsExperts = needsExperts
  }

  /// Whole groups only.
  static func wholeGroups(_ encoding: Encoding, _ rows: Int, _ columns: Int) -> Bool {
    switch encoding {
    case .affine(let scheme): columns % (scheme.group ?? 32) == 0
    case .microScaled(let scheme): columns % scheme.group == 0
    default: encoding.planes([rows, columns]) != nil
    }
  }

  /// Codes that fill words across the rows, and whole groups.
  static func columnPacked(_ layout: ColumnPacked.Layout) -> RowRules {
    RowRules(alike: .model) { encoding, rows, columns in
      guard case .affine(let scheme) = encoding,
        let packed = ColumnPacked(
          layout: layout, bits: scheme.bits, group: scheme.group, offset: scheme.offset, scale: scheme.scale)
      else { return encoding.planes([rows, columns]) != nil }
      return packed.stored(rows: rows, columns: columns) != nil
    }
  }
}
