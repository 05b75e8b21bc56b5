/// Which rows of a matrix another matrix consists of, in order. A few numbers describe any count of rows, so that a selection
/// from a large tensor costs nothing.
public struct RowSelection: Hashable, Sendable {
  /// Rows at equal distances: `count` of them, `step` apart.
  private struct Loop: Hashable, Sendable {
    var step: Int
    var count: Int
  }

  /// Nested loops over rows, the outermost first; never without one.
  private struct Piece: Hashable, Sendable {
    var start: Int
    var loops: [Loop]
    var count: Int { loops.reduce(1) { $0 * $1.count } }
  }

  /// Selected rows at equal distances in the source.
  struct Run: Hashable, Sendable {
    /// Row of the new matrix.
    var row: Int
    /// Row of the source.
    var start: Int
    var step: Int
    var count: Int

    /// The last row of the source.
    var last: Int { start + (count - 1) * step }
  }

  private var pieces: [Piece] = []
  /// Rows of the new matrix up to the end of each piece.
  private var ends: [Int] = []

  /// Rows of the new matrix.
  public var count: Int { ends.last ?? 0 }

  private init(_ pieces: [Piece]) {
    for piece in pieces { append(piece) }
  }

  /// Rows that follow one another.
  public static func range(_ range: Range<Int>) -> RowSelection {
    strided(from: range.lowerBound, by: 1, count: range.count)
  }

  /// `count` rows, each `step` after the one before: with a step of 2, one half of two interleaved matrices.
  public static func strided(from start: Int, by step: Int, count: Int) -> RowSelection {
    precondition(start >= 0 && step > 0 && count >= 0, "rows from \(start) by \(step), \(count) of them")
    return RowSelection([Piece(start: start, loops: [Loop(step: step, count: count)])])
  }

  /// Single rows in any order, also repeated.
  public static func entries(_ rows: [Int]) -> RowSelection {
    precondition(rows.allSatisfy { $0 >= 0 }, "rows from 0")
    return RowSelection(rows.map { Piece(start: $0, loops: [Loop(step: 1, count: 1)]) })
  }

  /// The rows of each selection, one selection after the other.
  public static func concatenating(_ selections: [RowSelection]) -> RowSelection {
    RowSelection(selections.flatMap(\.pieces))
  }

  /// The order of those rows of a query's or key's head that rotary embedding rotates, two by two.
  public enum RotaryOrder: Hashable, Sendable {
    /// Row i and row i + r/2 are a pair: Hugging Face's checkpoints, for most families.
    case halves
    /// Rows 2i and 2i + 1 are a pair: llama.cpp, for some families.
    case interleaved
  }

  /// Puts the rotated rows of every head into `order` from the other one.
  ///
  /// To `interleaved`, row 2i + s of a head is its row i + s·r/2, for s 0 and 1: `LlamaModel.permute` of llama.cpp's
  /// convert_hf_to_gguf.py. Rows from r on stay.
  ///
  /// - Parameters:
  ///   - headRows: rows of a head.
  ///   - rotated: r, even and at most `headRows`.
  public static func heads(_ heads: Int, headRows: Int, rotated: Int, to order: RotaryOrder) -> RowSelection {
    precondition(
      heads >= 0 && rotated >= 0 && rotated <= headRows && rotated % 2 == 0, "\(rotated) of \(headRows)")
    let (pair, pairs) = (Loop(step: rotated / 2, count: 2), Loop(step: 1, count: rotated / 2))
    let permuted: [Loop] =
      switch order {
      case .interleaved: [pairs, pair]
      case .halves: [Loop(step: 1, count: 2), Loop(step: 2, count: rotated / 2)]
      }
    if rotated == headRows {
      return RowSelection([Piece(start: 0, loops: [Loop(step: headRows, count: heads)] + permuted)])
    }
    return RowSelection(
      (0..<heads).flatMap { head in
        [
          Piece(start: head * headRows, loops: permuted),
          Piece(start: head * headRows + rotated, loops: [Loop(step: 1, count: headRows - rotated)]),
        ]
      })
  }

  private mutating func append(_ piece: Piece) {
    guard piece.count > 0 else { return }
    var loops: [Loop] = []
    for loop in piece.loops where loop.count > 1 {
      if let outer = loops.last, outer.step == loop.step * loop.count {
        loops[loops.count - 1] = Loop(step: loop.step, count: outer.count * loop.count)
      } else {
        loops.append(loop)
      }
    }
    if loops.isEmpty { loops = [Loop(step: 1, count: 1)] }
    let rows = loops.reduce(1) { $0 * $1.count }
    if let last = pieces.last, last.loops.count == 1, loops.count == 1, last.loops[0].step == 1,
      loops[0].step == 1, last.start + last.loops[0].count == piece.start
    {
      pieces[pieces.count - 1].loops[0].count += rows
      ends[ends.count - 1] += rows
    } else {
      ends.append(count + rows)
      pieces.append(Piece(start: piece.start, loops: loops))
    }
  }

  /// All rows of the source that are selected lie below this.
  var bound: Int {
    pieces.reduce(0) { bound, piece in
      let last = piece.loops.reduce(piece.start) { last, loop in
        let (span, overflow) = loop.step.multipliedReportingOverflow(by: loop.count - 1)
        let (sum, tooLarge) = last.addingReportingOverflow(span)
        return overflow || tooLarge ? Int.max : sum
      }
      return max(bound, last == Int.max ? last : last + 1)
    }
  }

  /// The rows as a range; nil when they do not follow one another.
  var contiguous: Range<Int>? {
    guard let piece = pieces.first else { return 0..<0 }
    guard pieces.count == 1, piece.loops.count == 1, piece.loops[0].step == 1 else { return nil }
    return piece.start..<piece.start + piece.loops[0].count
  }

  /// The selection from a matrix that has `unit` rows for each of this one's source.
  func scaled(by unit: Int) -> RowSelection {
    guard unit != 1 else { return self }
    return RowSelection(
      pieces.map { piece in
        Piece(
          start: piece.start * unit,
          loops: piece.loops.map { Loop(step: $0.step * unit, count: $0.count) } + [
            Loop(step: 1, count: unit)
          ])
      })
  }

  /// The selected rows `rows` as few runs.
  func runs(_ rows: Range<Int>) -> [Run] {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= count, "rows \(rows) of \(count)")
    var runs: [Run] = []
    var row = rows.lowerBound
    var index = row < rows.upperBound ? piece(of: row) : 0
    while row < rows.upperBound {
      let piece = pieces[index]
      let first = index == 0 ? 0 : ends[index - 1]
      let inner = piece.loops[piece.loops.count - 1]
      let end = min(ends[index], rows.upperBound)
      while row < end {
        let skipped = (row - first) % inner.count
        let count = min(inner.count - skipped, end - row)
        runs.append(Run(row: row, start: source(row - first, of: piece), step: inner.step, count: count))
        row += count
      }
      index += 1
    }
    return runs
  }

  /// The source's row that is row `row` of the new matrix.
  public subscript(row: Int) -> Int {
    precondition(row >= 0 && row < count, "row \(row) of \(count)")
    let index = piece(of: row)
    return source(row - (index == 0 ? 0 : ends[index - 1]), of: pieces[index])
  }

  private func source(_ row: Int, of piece: Piece) -> Int {
    var (rest, source) = (row, piece.start)
    for loop in piece.loops.reversed() {
      source += rest % loop.count * loop.step
      rest /= loop.count
    }
    return source
  }

  /// The piece that row `row` of the new matrix belongs to.
  private func piece(of row: Int) -> Int {
    var (low, high) = (0, ends.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if ends[middle] > row { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
