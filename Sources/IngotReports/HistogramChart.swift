import IngotModels

/// Counts in bins of a logarithmic scale, with marks at some values.
struct HistogramChart {
  var title: String
  var description: String
  var unit: String
  /// Where the counts stand in the report.
  var key: String
  var edges: [Double]
  var counts: [Int]
  /// Values that lie before the first bin.
  var below: Int
  var marks: [(name: String, value: Double)]

  private static let (left, right, bottom) = (48.0, 10.0, 34.0)
  private static let row = 14.0

  var markup: Markup {
    let total = Double(max(counts.reduce(below, +), 1))
    guard let first = edges.first, let last = edges.last else {
      return .element("p", [:], "No prediction differs.")
    }
    let (left, right) = (HistogramChart.left, Chart.width - HistogramChart.right)
    let x = Scale(domain: first...last, range: (left, right), isLogarithmic: true)
    let labels = placed(x)
    let rows = (labels.map(\.row).max() ?? -1) + 1
    let top = Double(rows) * HistogramChart.row + 6
    let height = top + 160 + HistogramChart.bottom
    let base = height - HistogramChart.bottom
    let largest = Double(counts.max() ?? 0) / total
    let y = Scale(domain: 0...Scale.roundUp(largest), range: (base, top))
    var content = Chart.uprightAxis(y, from: left, to: right, Chart.percentTick)
    for (index, count) in counts.enumerated() where count > 0 {
      let (start, end) = (x(edges[index]), x(edges[index + 1]))
      let share = Double(count) / total
      content.append(
        Chart.rect(
          start + 0.5, y(share), end - start - 1, base - y(share), "f0",
          title: "\(significant(edges[index], 2)) to \(significant(edges[index + 1], 2)): "
            + "\(grouped(count)) predictions, \(Figures.text(share, .percent(2)))",
          key: "\(key).\(index)"))
    }
    for value in x.ticks(8) {
      content.append(Chart.line(x(value), base, x(value), base + 4, "axis"))
      content.append(
        Chart.text(x(value), base + 15, Markup(HistogramChart.power(value)), anchor: "middle", style: "tick"))
    }
    for label in labels {
      let (place, bottom) = (x(label.value), Double(label.row) * HistogramChart.row + 10)
      content.append(Chart.line(place, bottom + 3, place, base, "mark"))
      content.append(Chart.text(label.start, bottom, Markup(label.name), style: "label"))
    }
    content.append(Chart.text((left + right) / 2, height - 4, Markup(unit), anchor: "middle", style: "label"))
    return Chart.figure(title, description, height: height, content)
  }

  /// Names of marks in rows in which none covers another. About 6 units a letter.
  private func placed(_ x: Scale) -> [(name: String, value: Double, start: Double, row: Int)] {
    var ends: [Double] = []
    return marks.filter { x.domain.contains($0.value) }.sorted { $0.value < $1.value }.map { mark in
      let width = 6.0 * Double(mark.name.count)
      let start = min(max(x(mark.value) - width / 2, 0), Chart.width - width)
      let row = ends.firstIndex { $0 + 6 < start } ?? ends.count
      if row == ends.count { ends.append(0) }
      ends[row] = start + width
      return (mark.name, mark.value, start, row)
    }
  }

  /// `10⁻³`, `0.01`, `1`, of a power of ten.
  private static func power(_ value: Double) -> String {
    guard value < 0.009 else { return Chart.tick(value) }
    let digits = Array("⁰¹²³⁴⁵⁶⁷⁸⁹")
    var exponent = 0
    while value * Double("1e\(exponent)")! < 0.5 { exponent += 1 }
    return "10⁻" + "\(exponent)".compactMap { $0.wholeNumberValue.map { String(digits[$0]) } }.joined()
  }
}
