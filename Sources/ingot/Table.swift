/// Rows of text in columns: the first one to the left, numbers to the right.
struct Table {
  private var rows: [[String]]
  /// Columns that are text and stand to the left.
  private let left: Set<Int>

  init(_ header: [String], left: Set<Int> = [0]) {
    rows = [header]
    self.left = left
  }

  mutating func add(_ row: [String]) { rows.append(row) }

  /// The table; columns are two spaces apart.
  var text: String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        let space = String(repeating: " ", count: widths[column] - cell.count)
        line += (column > 0 ? "  " : "") + (left.contains(column) ? cell + space : space + cell)
      }
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}
