import IngotModels
import IngotSystem
import IngotTensors

/// The predictions that diverge most, in the text around them.
struct WorstTokens {
  let figures: Figures

  /// So many are shown at once, the others behind a line that opens them.
  private static let shown = 6

  var markup: Markup {
    let cards = figures.list("worst").indices.map { card($0) }
    let rest = cards.dropFirst(WorstTokens.shown)
    return .element("div", ["class": "cards"], Array(cards.prefix(WorstTokens.shown)))
      + (rest.isEmpty
        ? .nothing
        : .element(
          "details", [:], .element("summary", [:], Markup("\(rest.count) more")),
          .element("div", ["class": "cards more"], Array(rest))))
  }

  private func card(_ index: Int) -> Markup {
    let key = "worst.\(index)."
    let next = figures[key + "next.token"]
    var rows: [Markup] = []
    for place in figures.list(key + "expected").indices {
      let token = key + "expected.\(place)."
      let isNext = figures[token + "token"] == next
      rows.append(
        .element(
          "tr", ["class": isNext ? "isnext" : nil],
          .element(
            "th", ["scope": "row", "class": "text"],
            .element(
              "span", ["class": isNext ? "token next" : "token"],
              Markup(WorstTokens.visible(figures.string(token + "text"))))),
          share(token + "original", "f6"), share(token + "candidate", "f0")))
    }
    let origin =
      figures.name(key + "text") + ", context " + figures(key + "context", .count) + ", token "
      + figures(key + "position", .count)
    return .element(
      "article", ["class": "card"],
      .element(
        "div", ["class": "head"],
        .element("h3", [:], Markup("\(index + 1). "), figures(key + "divergence", .significant(4)), " nats"),
        .element("span", ["class": "where"], origin)),
      .element(
        "div", ["class": "context"],
        Markup.lines(figures.string(key + "before.text")),
        .element("mark", [:], Markup(WorstTokens.visible(figures.string(key + "next.text")))),
        .element("span", ["class": "after"], Markup.lines(figures.string(key + "after.text")))),
      .element(
        "div", ["class": "scroll"],
        .element(
          "table", ["class": "expected"],
          .element(
            "thead", [:],
            .element(
              "tr", [:], .element("th", ["scope": "col", "class": "text"], "expected"),
              .element("th", ["scope": "col"], "original"), .element("th", ["scope": "col"], "candidate"))),
          .element("tbody", [:], rows))))
  }

  private func share(_ key: String, _ style: String) -> Markup {
    let value = figures.number(key) ?? 0
    return .element(
      "td", [:], figures(key, .percent(value < 0.001 ? 4 : 2)),
      .element(
        "svg",
        ["viewBox": "0 0 64 8", "class": "share", "preserveAspectRatio": "none", "aria-hidden": "true"],
        Chart.rect(0, 0, 64, 8, "track"), Chart.rect(0, 0, 64 * value, 8, style)))
  }

  /// A token's text with signs for what is not seen; an empty one has a sign too.
  private static func visible(_ text: String) -> String {
    var shown = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { shown.append(signs[scalar] ?? scalar) }
    return text.isEmpty ? "∅" : String(shown)
  }
}

/// What stands for white space that is not seen.
private let signs: [Unicode.Scalar: Unicode.Scalar] = ["\n": "↵", "\t": "⇥", "\r": "␍"]

extension Markup {
  /// Text whose line breaks are kept, and whose tabs and returns are shown as signs. A CR LF is two scalars here.
  static func lines(_ text: String) -> Markup {
    let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
    return Markup(
      lines.enumerated().map { index, line in
        var shown = String.UnicodeScalarView()
        for scalar in line { shown.append(signs[scalar] ?? scalar) }
        return Markup(String(shown)) + (index < lines.count - 1 ? .lineBreak : .nothing)
      })
  }
}
