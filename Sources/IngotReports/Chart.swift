import IngotModels

/// What charts have in common: a titled drawing of 400 units across, which is about as wide as a phone.
enum Chart {
  static let width = 400.0

  /// A drawing with a title and a description for those who do not see it.
  static func figure(
    _ title: String, _ description: String, height: Double, legend: [String] = [],
    isLogarithmic: Bool = false, _ content: [Markup]
  ) -> Markup {
    let drawing = Markup.element(
      "svg",
      [
        "xmlns": "http://www.w3.org/2000/svg", "viewBox": "0 0 \(coordinate(width)) \(coordinate(height))",
        "role": "img", "class": "chart", "data-axis": isLogarithmic ? "logarithmic" : nil,
      ],
      [.element("title", [:], Markup(title)), .element("desc", [:], Markup(description))] + content)
    return .element(
      "figure", [:], .element("figcaption", [:], Markup(title)), drawing, Chart.legend(legend))
  }

  /// Names of series in the order of their colours; nothing for one series.
  static func legend(_ names: [String]) -> Markup {
    guard names.count > 1 else { return .nothing }
    return .element(
      "ul", ["class": "legend"],
      names.enumerated().map { index, name in
        .element("li", [:], .element("i", ["class": "swatch f\(index % colours)"]), Markup(name))
      })
  }

  /// Colours of series, which the style sheet has as `f0` (filled) and `s0` (stroked) and so on.
  static let colours = 8

  static func text(
    _ x: Double, _ y: Double, _ content: Markup, anchor: String = "start", style: String? = nil
  ) -> Markup {
    .element(
      "text",
      [
        "x": coordinate(x), "y": coordinate(y), "text-anchor": anchor == "start" ? nil : anchor,
        "class": style,
      ], content)
  }

  static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) -> Markup {
    .element(
      "line",
      [
        "x1": coordinate(x1), "y1": coordinate(y1), "x2": coordinate(x2), "y2": coordinate(y2),
        "class": style,
      ])
  }

  /// A rectangle, which tells what it is when pointed at; `key` is the place of the value that its size shows.
  static func rect(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, title: String? = nil,
    key: String? = nil
  ) -> Markup {
    .element(
      "rect",
      [
        "x": coordinate(x), "y": coordinate(y), "width": coordinate(max(width, 0)),
        "height": coordinate(max(height, 0)), "class": style, "data-mark": key,
      ], title.map { .element("title", [:], Markup($0)) } ?? .nothing)
  }

  /// Lines and numbers of an upright axis.
  static func uprightAxis(_ scale: Scale, from left: Double, to right: Double, _ text: (Double) -> String)
    -> [Markup]
  {
    scale.ticks(4).flatMap { value in
      [
        line(left, scale(value), right, scale(value), value == scale.domain.lowerBound ? "axis" : "grid"),
        Chart.text(left - 6, scale(value) + 4, Markup(text(value)), anchor: "end", style: "tick"),
      ]
    }
  }

  /// A value of an axis without needless digits.
  static func tick(_ value: Double) -> String {
    var text = significant(value, 3)
    if text.contains("."), !text.contains("e") {
      while text.hasSuffix("0") { text.removeLast() }
      if text.hasSuffix(".") { text.removeLast() }
    }
    return text.hasPrefix("-") ? "−" + text.dropFirst() : text
  }

  static func percentTick(_ value: Double) -> String { tick(100 * value) + "\u{A0}%" }
}
