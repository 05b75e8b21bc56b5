import IngotModels
import IngotSystem
import IngotTensors

/// The page of `ingot plan MODEL --machine X --html` and `--fit X --html`: what every recipe takes of one machine.
public struct MachinePage {
  private let figures: Figures

  /// - Parameter report: `model`, `machine` (name, title), `context`, `cache`, and `choices` as `--json` prints them.
  public init(_ report: JSON) { figures = Figures(report: report) }

  private static let parts = [
    ("weights", "weights"), ("cache", "cache"), ("buffers", "buffers"),
  ]

  public var html: String {
    var page = Page(
      title: "\(printable(figures.string("model.name"))) on \(printable(figures.string("machine.name")))",
      subtitle: figures.name("machine.title") + ", " + figures("context", .count)
        + " tokens of context, cache at "
        + figures.name("cache"),
      report: figures.report)
    page.add(
      "choices", "Recipes", "What each recipe takes",
      note: """
        Of the device that has the least to spare. What it does not hold of the experts lies in main memory or, beyond \
        that, on the disk. At most: tokens per second by the rates of memory and disk alone. Weights and cache are exact, buffers are \
        estimates by formula.
        """,
      .element("div", [:], bars), table.markup)
    return page.html
  }

  private var bars: Markup {
    let bars = figures.list("choices").enumerated().map { index, choice in
      let key = "choices.\(index)."
      let parts = MachinePage.parts.enumerated().map { series, part in
        let bytes = choice[part.0]?.int ?? 0
        return BarChart.Part(
          series: series, value: Double(bytes), title: "\(part.1): \(decimal(bytes))", key: key + part.0)
      }
      let left = choice["left"]?.int ?? 0
      let note: Markup = left < 0 ? "does not fit" : figures.span(key + "left", .bytes) + " to spare"
      return BarChart.Bar(
        name: printable("\(choice["recipe"]?.string ?? "") · \(choice["engine"]?.string ?? "")"), value: note,
        parts: parts)
    }
    return BarChart(
      title: "Bytes by recipe", description: "One bar a recipe: weights, cache and buffers.", bars: bars,
      legend: MachinePage.parts.map(\.1)
    ).markup
  }

  private var table: DataTable {
    var table = DataTable(
      "Bytes",
      [
        "recipe", "engine", "bits", "weights", "cache", "buffers", "may take", "to spare", "in main memory",
        "on disk", "at most",
      ], left: [0, 1])
    for (index, choice) in figures.list("choices").enumerated() {
      let key = "choices.\(index)."
      table.add(cells: [
        .init(figures.name(key + "recipe")), .init(figures.name(key + "engine")),
        .init(figures(key + "bitsPerWeight", .fixed(2))), .init(figures(key + "weights", .bytes)),
        .init(figures(key + "cache", .bytes)), .init(figures(key + "buffers", .bytes)),
        .init(figures(key + "capacity", .bytes)),
        .init(figures(key + "left", .bytes), style: choice["fits"]?.bool == true ? "fits" : nil),
        .init(choice["inMainMemory"]?.int == 0 ? "–" : figures(key + "inMainMemory", .bytes)),
        .init(choice["onDisk"]?.int == 0 ? "–" : figures(key + "onDisk", .bytes)),
        .init(
          choice["tokensPerSecondBound"]?.double == nil
            ? "–" : figures(key + "tokensPerSecondBound", .significant(2)) + "/s"),
      ])
    }
    return table
  }
}
