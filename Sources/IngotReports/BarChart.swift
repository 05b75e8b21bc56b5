/// Bars below one another, of one or several parts, each under a line with its name and value: names may be long.
struct BarChart {
  struct Bar {
    var name: String
    /// What stands at the end of the line.
    var value: Markup
    var parts: [Part]
    /// Length of the whisker to both sides of the bar's end.
    var error: Double?
  }

  struct Part {
    var series = 0
    var value: Double
    var title: String
    /// Where the value stands in the report, when it stands there.
    var key: String?
  }

  var title: String
  var description: String
  var bars: [Bar]
  /// Names of the parts' series; one needs none.
  var legend: [String] = []

  private static let row = 34.0

  var markup: Markup {
    let ends = bars.map { bar in bar.parts.reduce(0) { $0 + $1.value } + (bar.error ?? 0) }
    let x = Scale(domain: 0...max(ends.max() ?? 0, .leastNormalMagnitude), range: (1, Chart.width - 1))
    var content: [Markup] = []
    for (index, bar) in bars.enumerated() {
      let top = Double(index) * BarChart.row
      content.append(Chart.text(0, top + 13, Markup(BarChart.shortened(bar.name)), style: "label"))
      content.append(Chart.text(Chart.width, top + 13, bar.value, anchor: "end", style: "value"))
      content.append(Chart.rect(1, top + 18, Chart.width - 2, 10, "track"))
      var sum = 0.0
      for part in bar.parts {
        content.append(
          Chart.rect(
            x(sum), top + 18, x(sum + part.value) - x(sum), 10, "f\(part.series % Chart.colours)",
            title: part.title, key: part.key))
        sum += part.value
      }
      if let error = bar.error {
        content.append(Chart.line(x(max(sum - error, 0)), top + 23, x(sum + error), top + 23, "whisker"))
        for end in [max(sum - error, 0), sum + error] {
          content.append(Chart.line(x(end), top + 19.5, x(end), top + 26.5, "whisker"))
        }
      }
    }
    return Chart.figure(
      title, description, height: Double(bars.count) * BarChart.row, legend: legend, content)
  }

  /// Long names lose their middle.
  private static func shortened(_ name: String) -> String {
    name.count <= 40 ? name : name.prefix(24) + "…" + name.suffix(15)
  }
}
