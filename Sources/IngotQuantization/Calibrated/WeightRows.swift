import IngotSystem
import IngotTensors

/// Weights of a matrix in F32, some rows at a time. Those of an expert are kept, those of larger matrices are made anew for every
/// reader, so that none of them is in memory whole.
struct WeightRows: Sendable {
  typealias Make = @Sendable (Range<Int>) throws(FormatError) -> [Float]

  /// Values of a matrix that is kept, at most.
  private static let most = 1 << 23

  let rows: Int
  let columns: Int
  private let held: [Float]?
  private let make: Make

  /// - Parameters:
  ///   - isHeld: whether they are kept however many there are.
  ///   - make: gives the values of rows, which begin at a multiple of 128: (rows, columns).
  init(rows: Int, columns: Int, isHeld: Bool = false, _ make: @escaping Make) throws(FormatError) {
    self.rows = rows
    self.columns = columns
    self.make = make
    held = isHeld || rows * columns <= WeightRows.most ? try make(0..<rows) : nil
  }

  /// Ranges of rows that are had at once.
  var ranges: [Range<Int>] {
    held == nil ? RowPieces(rows: rows, columns: columns).ranges : [0..<rows]
  }

  /// The values of a range of rows.
  func callAsFunction(_ range: Range<Int>) throws(FormatError) -> [Float] {
    guard let held else { return try make(range) }
    return range == 0..<rows ? held : held.rows(range, columns: columns)
  }
}
