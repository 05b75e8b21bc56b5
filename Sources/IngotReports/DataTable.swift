/// A table that can be copied, in a box of its own that scrolls when it is wider than the page.
struct DataTable {
  var caption: String
  var header: [Markup]
  /// Columns that hold text and stand to the left.
  var left: Set<Int> = [0]
  var rows: [[Cell]] = []
  /// Rows at the end that sum up.
  var totals = 0

  struct Cell {
    var content: Markup
    /// Class of the cell, such as a colour of a scale.
    var style: String?

    init(_ content: Markup, style: String? = nil) {
      self.content = content
      self.style = style
    }
  }

  init(_ caption: String, _ header: [Markup], left: Set<Int> = [0]) {
    self.caption = caption
    self.header = header
    self.left = left
  }

  mutating func add(_ cells: [Markup]) { rows.append(cells.map { Cell($0) }) }
  mutating func add(cells: [Cell]) { rows.append(cells) }

  var markup: Markup {
    let head = Markup.element(
      "tr", [:],
      header.enumerated().map { column, cell in
        .element("th", ["scope": "col", "class": left.contains(column) ? "text" : nil], cell)
      })
    let body = rows.enumerated().map { index, row in
      Markup.element(
        "tr", ["class": index >= rows.count - totals ? "total" : nil],
        row.enumerated().map { column, cell in
          let classes = [left.contains(column) ? "text" : nil, cell.style].compactMap { $0 }
          let style = classes.isEmpty ? nil : classes.joined(separator: " ")
          return column == 0
            ? .element("th", ["scope": "row", "class": style], cell.content)
            : .element("td", ["class": style], cell.content)
        })
    }
    return .element(
      "div", ["class": "table"],
      .element(
        "div", ["class": "bar"], .element("span", ["class": "caption"], Markup(caption)),
        .element("button", ["type": "button", "class": "copy", "hidden": ""], "Copy")),
      .element(
        "div", ["class": "scroll", "tabindex": "0", "role": "region", "aria-label": caption],
        .element("table", [:], .element("thead", [:], head), .element("tbody", [:], body))))
  }

  /// The table behind a line that opens it.
  var folded: Markup {
    .element("details", [:], .element("summary", [:], Markup(caption)), markup)
  }
}
