import IngotModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Values of layers × experts in colours. All cells of one colour are one path, neighbours in a row one rectangle of it,
/// so that 62 × 256 cells stay light.
struct HeatMap {
  var title: String
  var description: String
  /// Rows of columns, nil where nothing was measured.
  var cells: [[Double?]]
  /// Where the cells stand in the report, `*` for the row.
  var key: String
  /// Writes a value in full.
  var style: Figures.Style
  /// What follows a value: ` bits`.
  var unit = ""

  /// Colours from little to much, which the style sheet has as `h0` to `h6`; `hx` is for no value.
  static let colours = 7

  /// A colour's values.
  private struct Step {
    var bounds: ClosedRange<Double>
    var name: String
  }

  var markup: Markup {
    let steps = steps
    let (rows, columns) = (cells.count, cells.map(\.count).max() ?? 0)
    guard rows > 0, columns > 0 else { return .nothing }
    let width = max(3, min(36, (720 / Double(columns)).rounded(.down)))
    let height = max(7, min(26, (420 / Double(rows)).rounded(.down)))
    let (left, top) = (rows > 10 ? 44.0 : 34.0, 4.0)
    let right = left + width * Double(columns)
    let base = top + height * Double(rows)
    var content: [Markup] = [
      .element("title", [:], Markup(title)), .element("desc", [:], Markup(description)),
    ]
    var paths = [String](repeating: "", count: HeatMap.colours + 1)
    for (row, values) in cells.enumerated() {
      var start = 0
      while start < values.count {
        let colour = colour(values[start], steps)
        var end = start + 1
        while end < values.count, self.colour(values[end], steps) == colour { end += 1 }
        let length = Int(width) * (end - start)
        paths[colour] +=
          "M\(Int(left) + Int(width) * start) \(Int(top) + Int(height) * row)h\(length)v\(Int(height))h-\(length)z"
        start = end
      }
    }
    for (colour, path) in paths.enumerated() where !path.isEmpty {
      content.append(.element("path", ["d": path, "class": colour == HeatMap.colours ? "hx" : "h\(colour)"]))
    }
    for row in HeatMap.ticks(rows, space: 14 / height) {
      content.append(
        Chart.text(
          left - 5, top + height * (Double(row) + 0.5) + 4, Markup("\(row)"), anchor: "end", style: "tick"))
    }
    for column in HeatMap.ticks(columns, space: 28 / width) {
      content.append(
        Chart.text(
          left + width * (Double(column) + 0.5), base + 14, Markup("\(column)"), anchor: "middle",
          style: "tick"))
    }
    content.append(Chart.text((left + right) / 2, base + 30, "expert", anchor: "middle", style: "label"))
    let middle = (top + base) / 2
    content.append(
      .element(
        "text",
        [
          "x": "10", "y": coordinate(middle), "text-anchor": "middle", "class": "label",
          "transform": "rotate(-90 10 \(coordinate(middle)))",
        ], "layer"))
    let (total, full) = (base + 34, right + 4)
    let drawing = Markup.element(
      "svg",
      [
        "xmlns": "http://www.w3.org/2000/svg", "viewBox": "0 0 \(coordinate(full)) \(coordinate(total))",
        "width": coordinate(full), "height": coordinate(total), "role": "img", "class": "heat",
        "data-heat": key, "data-unit": unit, "data-scale": isPercent ? "100" : "1",
        "data-grid": "\(Int(left)) \(Int(top)) \(Int(width)) \(Int(height)) \(columns) \(rows)",
      ], content)
    return .element(
      "figure", ["class": full > 480 ? "wide full" : "wide"], .element("figcaption", [:], Markup(title)),
      .element(
        "div", ["class": "scroll", "tabindex": "0", "role": "region", "aria-label": title], drawing),
      legend(steps), .element("output", ["class": "readout"], "Point at a cell to read it."))
  }

  private var isPercent: Bool { if case .percent = style { true } else { false } }

  private func text(_ value: Double) -> String { Figures.text(value, style) + (isPercent ? "" : unit) }

  /// Each value its own colour when there are few; else ranges between the least and the most, equal on a logarithmic
  /// scale when values are positive and far apart.
  private var steps: [Step] {
    let values = Set(cells.joined().compactMap { $0 }).sorted()
    guard let least = values.first, let most = values.last else { return [] }
    if values.count <= HeatMap.colours { return values.map { Step(bounds: $0...$0, name: text($0)) } }
    let positive = values.first { $0 > 0 } ?? most
    let isWide = least >= 0 && most > 30 * positive
    let bounds = (0...HeatMap.colours).map { index -> Double in
      let share = Double(index) / Double(HeatMap.colours)
      if index == HeatMap.colours { return most }
      return isWide ? positive * pow(most / positive, share) : least + share * (most - least)
    }
    return (0..<HeatMap.colours).map { index in
      // Zeros have no place on a logarithmic scale: they are with the least.
      let (low, high) = (index == 0 ? least : bounds[index], bounds[index + 1])
      let start = Figures.text(low, style).replacing("\u{A0}%", with: "")
      return Step(bounds: low...high, name: "\(start)–\(text(high))")
    }
  }

  /// Colours are spread over the scale when there are less values than colours.
  private func colour(_ value: Double?, _ steps: [Step]) -> Int {
    guard let value, let index = steps.firstIndex(where: { value <= $0.bounds.upperBound }) else {
      return value == nil ? HeatMap.colours : HeatMap.colours - 1
    }
    return HeatMap.spread(index, steps.count)
  }

  private static func spread(_ index: Int, _ count: Int) -> Int {
    count < 2 ? colours / 2 : index * (colours - 1) / (count - 1)
  }

  private func legend(_ steps: [Step]) -> Markup {
    var entries = steps.enumerated().map { index, step in
      Markup.element(
        "li", [:], .element("i", ["class": "swatch h\(HeatMap.spread(index, steps.count))"]),
        Markup(step.name))
    }
    if cells.joined().contains(where: { $0 == nil }) {
      entries.append(.element("li", [:], .element("i", ["class": "swatch hx"]), "nothing measured"))
    }
    return .element("ul", ["class": "legend"], entries)
  }

  /// Numbers of rows or columns to write, so that there is space for each.
  private static func ticks(_ count: Int, space: Double) -> [Int] {
    let step = [1, 2, 4, 5, 8, 10, 16, 20, 32, 64, 128].first { Double($0) >= space } ?? 256
    return Array(stride(from: 0, to: count, by: step))
  }
}
