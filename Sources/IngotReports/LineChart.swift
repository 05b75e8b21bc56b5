/// Values by layer, one line for each series.
struct LineChart {
  struct Series {
    var name: String
    /// Where a value stands in the report, `*` for the place in the list; `1-` before it for what is left to 1.
    var key: String
    var values: [Double]
  }

  var title: String
  var description: String
  /// What stands along the axis: `layer`.
  var unit: String
  var places: [Int]
  var series: [Series]
  var style: Figures.Style = .percent(2)
  /// Writes a value of the upright axis.
  var tick: (Double) -> String = Chart.percentTick

  private static let (left, right, top, bottom) = (48.0, 10.0, 12.0, 34.0)
  private static let height = 220.0

  var markup: Markup {
    let (left, right) = (LineChart.left, Chart.width - LineChart.right)
    let base = LineChart.height - LineChart.bottom
    let largest = series.flatMap(\.values).max() ?? 0
    let y = Scale(domain: 0...Scale.roundUp(largest), range: (base, LineChart.top))
    let x = Scale(
      domain: Double(places.first ?? 0)...Double(max(places.last ?? 0, (places.first ?? 0) + 1)),
      range: (left + 6, right - 6))
    var content = Chart.uprightAxis(y, from: left, to: right, tick)
    for value in ticks {
      content.append(
        Chart.text(x(Double(value)), base + 15, Markup("\(value)"), anchor: "middle", style: "tick"))
    }
    content.append(
      Chart.text((left + right) / 2, LineChart.height - 4, Markup(unit), anchor: "middle", style: "label"))
    for (index, one) in series.enumerated() {
      let path = zip(places, one.values).enumerated().map { step, point in
        (step == 0 ? "M" : "L") + coordinate(x(Double(point.0))) + " " + coordinate(y(point.1))
      }.joined()
      content.append(.element("path", ["d": path, "class": "line s\(index)"]))
      for (step, (place, value)) in zip(places, one.values).enumerated() {
        content.append(
          .element(
            "circle",
            [
              "cx": coordinate(x(Double(place))), "cy": coordinate(y(value)),
              "r": places.count > 40 ? "1.6" : "2.6", "class": "f\(index)",
              "data-mark": one.key.replacing("*", with: "\(step)"),
            ],
            .element(
              "title", [:], Markup("\(unit) \(place): \(one.name) \(Figures.text(value, style))"))))
      }
    }
    return Chart.figure(title, description, height: LineChart.height, legend: series.map(\.name), content)
  }

  /// Whole places to name on the axis, not too many.
  private var ticks: [Int] {
    guard let first = places.first, let last = places.last else { return [] }
    let step = [1, 2, 5, 10, 20, 50, 100].first { (last - first) / $0 <= 13 } ?? 200
    return places.filter { $0 % step == 0 }
  }
}
