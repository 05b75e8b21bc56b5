/// Rows of text in columns: the first one to the left, numbers to the right.
package struct Table {
  private var rows: [[String]]
  /// Columns that are text and stand to the left.
  private let left: Set<Int>

  package init(_ header: [String], left: Set<Int> = [0]) {
    rows = [header]
    self.left = left
  }

  package mutating func add(_ row: [String]) { rows.append(row) }

  /// The table; columns are two spaces apart.
  package var text: String { text(width: .max) }

  /// The table with the last column, which is text, broken into lines so that none is longer than `width`.
  package func text(width: Int) -> String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    let room = max(width == .max ? .max : width - widths.dropLast().reduce(0) { $0 + $1 + 2 }, 20)
    let indent = widths.dropLast().reduce(0) { $0 + $1 + 2 }
    return rows.map { row in
      var row = row
      var rest: [String] = []
      if row.count == columns, let last = row.last, last.count > room {
        let lines = Table.broken(last, room)
        row[columns - 1] = lines[0]
        rest = lines.dropFirst().map { String(repeating: " ", count: indent) + $0 }
      }
      var line = ""
      for (column, cell) in row.enumerated() {
        let space = String(repeating: " ", count: max(widths[column] - cell.count, 0))
        line += (column > 0 ? "  " : "") + (left.contains(column) ? cell + space : space + cell)
      }
      while line.hasSuffix(" ") { line.removeLast() }
      return ([line] + rest).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  /// Words in lines of at most `room` characters, or of one word.
  private static func broken(_ text: String, _ room: Int) -> [String] {
    var lines = [""]
    for word in text.split(separator: " ") {
      let last = lines[lines.count - 1]
      if last.isEmpty {
        lines[lines.count - 1] = String(word)
      } else if last.count + 1 + word.count <= room {
        lines[lines.count - 1] = last + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }
}
