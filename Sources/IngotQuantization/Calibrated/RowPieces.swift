import IngotKernels
import IngotSystem
import IngotTensors
import Synchronization

/// A matrix cut by rows for GPTQ, since rows know nothing of each other once the Hessian's factor is there: threads share the
/// pieces, and buffers are those of the pieces at hand, however many rows there are.
///
/// The cut depends on the shape alone, so that sums over pieces are the same for any number of threads.
package struct RowPieces: Sendable {
  /// Values of a piece, about; GPTQ has six buffers of its size.
  package static let values = 1 << 21
  /// What pieces begin at multiples of: rows that blocks of scales of published checkpoints span.
  static let step = 128

  package let rows: Int
  package let columns: Int
  package let ranges: [Range<Int>]

  /// - Parameters:
  ///   - isWhole: whether the encoding's planes serve all rows together.
  ///   - values: of a piece, about.
  package init(rows: Int, columns: Int, isWhole: Bool = false, values: Int = RowPieces.values) {
    self.rows = rows
    self.columns = columns
    let most = isWhole ? max(rows, 1) : max(values / max(columns, 1), RowPieces.step)
    let count = max(Matrix.steps(rows, most), 1)
    let each =
      isWhole ? max(rows, 1) : Matrix.steps(Matrix.steps(rows, count), RowPieces.step) * RowPieces.step
    ranges = rows == 0 ? [0..<0] : stride(from: 0, to: rows, by: each).map { $0..<min($0 + each, rows) }
  }

  /// Pieces that stand for all: at most so many, evenly spread.
  func sample(_ most: Int) -> [Int] { RowPieces.spread(ranges.count, most) }

  /// At most so many of the first numbers, evenly spread.
  static func spread(_ all: Int, _ most: Int) -> [Int] {
    let count = min(all, most)
    return (0..<count).map { (2 * $0 + 1) * all / (2 * count) }
  }

  /// Bytes of the buffers of one piece.
  var buffers: Int { 6 * 4 * (ranges.first?.count ?? 0) * columns }
}

/// Planes of a matrix that come piece by piece, from any thread.
package final class PiecedPlanes: Sendable {
  private struct State {
    /// Rows of those that stand for all (`powerRows`).
    var samples: [Float]
    var results: [(error: Double, power: Double)]
  }
  private let layout: [Plane]
  private let pieces: RowPieces
  private let sampled: [Int]
  private let gathered: [Bytes.Gathering]
  private let state: Mutex<State>

  package init(_ layout: [Plane], _ pieces: RowPieces) {
    self.layout = layout
    self.pieces = pieces
    sampled = powerRows(pieces.rows)
    gathered = layout.map { Bytes.Gathering(count: $0.bytes) }
    state = Mutex(
      State(
        samples: [Float](repeating: 0, count: sampled.count * pieces.columns),
        results: [(Double, Double)](repeating: (0, 0), count: pieces.ranges.count)))
  }

  /// - Parameter values: the weights of the piece: (rows, columns).
  package func put(_ piece: Int, _ planes: [Bytes], _ result: GPTQResult, values: [Float]) {
    let rows = pieces.ranges[piece]
    let columns = pieces.columns
    for (index, plane) in layout.enumerated() {
      gathered[index].put(planes[index], at: plane.range(rows: rows).lowerBound)
    }
    state.withLock { state in
      state.results[piece] = (result.error, result.power)
      for (place, row) in sampled.enumerated() where rows.contains(row) {
        let from = (row - rows.lowerBound) * columns
        state.samples.replaceSubrange(
          place * columns..<(place + 1) * columns, with: values[from..<from + columns])
      }
    }
  }

  /// The planes, what they leave of the outputs, and what these amount to. To be called once.
  package func take(_ hessian: GPTQHessian) -> (planes: [Bytes], error: Double, power: Double) {
    let (results, samples) = state.withLock { ($0.results, $0.samples) }
    let power = results.reduce(0) { $0 + $1.power }
    return (
      gathered.map { $0.take() }, results.reduce(0) { $0 + $1.error },
      power > 0 ? power : outputPower(samples.span, hessian, rows: pieces.rows)
    )
  }
}

extension Encoding {
  /// Whether every row has planes of its own.
  var keepsRowsApart: Bool { rowStep(rows: 2) == 1 }
}

extension [Float] {
  /// Some rows of a matrix.
  func rows(_ range: Range<Int>, columns: Int) -> [Float] {
    Array(self[range.lowerBound * columns..<range.upperBound * columns])
  }
}
