/// Size against quality: KL divergence, on a logarithmic axis, over bits per weight.
struct CurveChart {
  struct Point {
    var bits: Double
    var divergence: Double
    /// Where bits and divergence stand in the report.
    var bitsKey: String
    var divergenceKey: String
    var title: String
  }

  var title: String
  var description: String
  /// The best plans, joined by a line.
  var best: [Point]
  /// One encoding everywhere.
  var uniform: [Point]
  /// The plan itself, and its interval.
  var plan: (point: Point, low: Double, high: Double)?

  private static let (left, right, top, bottom) = (54.0, 12.0, 12.0, 36.0)
  private static let height = 280.0

  var markup: Markup {
    let points = (best + uniform + (plan.map { [$0.point] } ?? [])).filter { $0.divergence > 0 }
    let ends = points.map(\.divergence) + (plan.map { [$0.low, $0.high] } ?? []).filter { $0 > 0 }
    guard let least = ends.min(), let most = ends.max(), let first = points.map(\.bits).min(),
      let last = points.map(\.bits).max()
    else { return .nothing }
    let (left, right) = (CurveChart.left, Chart.width - CurveChart.right)
    let base = CurveChart.height - CurveChart.bottom
    let x = Scale(domain: first.rounded(.down)...max(last.rounded(.up), first + 1), range: (left, right))
    let y = Scale(domain: least / 1.3...most * 1.3, range: (base, CurveChart.top), isLogarithmic: true)
    var content: [Markup] = [Chart.line(left, base, right, base, "axis")]
    for value in y.decades {
      content.append(Chart.line(left, y(value), right, y(value), "grid"))
      content.append(
        Chart.text(left - 6, y(value) + 4, Markup(Chart.tick(value)), anchor: "end", style: "tick"))
    }
    for value in x.ticks(7) {
      content.append(Chart.line(x(value), base, x(value), base + 4, "axis"))
      content.append(
        Chart.text(x(value), base + 16, Markup(Chart.tick(value)), anchor: "middle", style: "tick"))
    }
    content.append(
      Chart.text(
        (left + right) / 2, CurveChart.height - 3, "bits per weight", anchor: "middle", style: "label"))
    let line = best.filter { $0.divergence > 0 }.enumerated().map { index, point in
      (index == 0 ? "M" : "L") + coordinate(x(point.bits)) + " " + coordinate(y(point.divergence))
    }.joined()
    if !line.isEmpty { content.append(.element("path", ["d": line, "class": "line s0"])) }
    func dot(_ point: Point, _ style: String, _ radius: String) -> Markup {
      .element(
        "circle",
        [
          "cx": coordinate(x(point.bits)), "cy": coordinate(y(point.divergence)), "r": radius, "class": style,
          "data-mark": point.divergenceKey, "data-mark-x": point.bitsKey,
        ], .element("title", [:], Markup(point.title)))
    }
    content += best.filter { $0.divergence > 0 }.map { dot($0, "f0", "2.4") }
    content += uniform.filter { $0.divergence > 0 }.map { dot($0, "f1", "4") }
    if let plan, plan.point.divergence > 0 {
      let place = x(plan.point.bits)
      content.append(Chart.line(place, y(plan.low), place, y(plan.high), "whisker"))
      for end in [plan.low, plan.high] {
        content.append(Chart.line(place - 4, y(end), place + 4, y(end), "whisker"))
      }
      content.append(dot(plan.point, "f2", "5"))
    }
    var legend = ["best plan of each size"]
    if !uniform.isEmpty { legend.append("one encoding everywhere") }
    if plan != nil {
      if uniform.isEmpty { legend.append("") }
      legend.append("this plan, interval of 90 %")
    }
    return Chart.figure(
      title, description, height: CurveChart.height, legend: legend, isLogarithmic: true, content)
  }
}

extension Scale {
  /// 1, 2 and 5 times powers of ten within a logarithmic domain; powers alone when these are many.
  var decades: [Double] {
    let powers = (-18...18).map { Double("1e\($0)")! }
    let fine = powers.flatMap { power in [1.0, 2, 5].map { $0 * power } }.filter { domain.contains($0) }
    return fine.count <= 8 ? fine : powers.filter { domain.contains($0) }
  }
}
