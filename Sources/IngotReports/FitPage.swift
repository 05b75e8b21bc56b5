import IngotModels
import IngotSystem
import IngotTensors

/// The page of `ingot plan MODEL --html`: which recipe fits on which machine.
public struct FitPage {
  private let figures: Figures

  /// - Parameter report: what `ingot plan --json` prints.
  public init(_ report: JSON) { figures = Figures(report: report) }

  public var html: String {
    let name = printable(figures.string("model.name"))
    var page = Page(
      title: "What fits where: \(name)",
      subtitle: ModelLine(figures: figures).markup + ", cache at " + figures.name("cache"),
      report: figures.report)
    let engines = self.engines
    for engine in engines {
      page.add(
        FitPage.id(engine), engine, "On \(engine)",
        note: engine == engines.first ? note : .nothing, table(engine))
    }
    page.add(
      "bytes", "Bytes", "Where the bytes go",
      note: "Bytes of tensors by recipe. Each recipe's file holds a little more, its header and side files.",
      .element("div", ["class": "pair"], bars, recipes.markup))
    return page.html
  }

  private static func id(_ engine: String) -> String {
    "on-" + engine.lowercased().map { $0.isLetter && $0.isASCII ? String($0) : "-" }.joined()
  }

  private var note: Markup {
    let what: Markup =
      figures.int("context") == nil
      ? "Cells are the longest context that fits beside the weights, in units of 1024 tokens. "
      : "Cells are the GB to spare with " + figures("context", .count) + " tokens of context. "
    return what
      + """
      A rate: experts that do not fit into main memory are read from the disk, at most that many tokens per second. \
      Weights and cache are exact, buffers are estimates by formula.
      """
  }

  /// Places of the cells of an engine.
  private func cells(_ engine: String) -> [(index: Int, cell: JSON)] {
    figures.list("cells").enumerated().filter { $0.element["engine"]?.string == engine }
      .map { (index: $0.offset, cell: $0.element) }
  }

  private var engines: [String] {
    var names: [String] = []
    for cell in figures.list("cells") {
      if let name = cell["engine"]?.string, !names.contains(name) { names.append(name) }
    }
    return names
  }

  private func table(_ engine: String) -> Markup {
    let cells = cells(engine)
    var recipes: [(name: String, index: Int)] = []
    var machines: [String] = []
    for (index, cell) in cells {
      let (recipe, machine) = (cell["recipe"]?.string ?? "", cell["machine"]?.string ?? "")
      if !recipes.contains(where: { $0.name == recipe }) { recipes.append((recipe, index)) }
      if !machines.contains(machine) { machines.append(machine) }
    }
    var table = DataTable("Machines and recipes", [Markup("machine")] + recipes.map { Markup($0.name) })
    table.add(["bits per weight"] + recipes.map { figures("cells.\($0.index).bitsPerWeight", .fixed(2)) })
    table.add(["weights"] + recipes.map { figures("cells.\($0.index).weights", .bytes) })
    var none: [String] = []
    for machine in machines {
      let mine = cells.filter { $0.cell["machine"]?.string == machine }
      let row = recipes.map { recipe in
        mine.first { $0.cell["recipe"]?.string == recipe.name }.map { cell($0.index, $0.cell) }
          ?? DataTable.Cell("–", style: "none")
      }
      if row.allSatisfy({ $0.style == "none" }) {
        none.append(machine)
      } else {
        table.add(cells: [DataTable.Cell(self.machine(machine))] + row)
      }
    }
    return table.markup
      + (none.isEmpty
        ? .nothing
        : .element("p", ["class": "note after"], Markup("Nothing fits on \(none.joined(separator: ", ")).")))
      + legend
  }

  private func machine(_ name: String) -> Markup {
    let title = figures.list("machines").first { $0["name"]?.string == name }?["title"]?.string
    return .element("span", ["title": title], Markup(name))
  }

  private func cell(_ index: Int, _ cell: JSON) -> DataTable.Cell {
    let key = "cells.\(index)."
    let isFit = (cell["left"]?.int ?? -1) >= 0 && cell["onDisk"]?.int == 0
    if figures.int("context") != nil, isFit {
      return .init(figures(key + "left", .bytes), style: "fits")
    }
    if figures.int("context") == nil, let longest = cell["longestContext"]?.int {
      let isFull = longest == figures.int("model.contextLength")
      return .init(figures(key + "longestContext", .tokens), style: isFull ? "fits" : "partly")
    }
    if cell["diskBound"]?.double != nil {
      return .init(figures(key + "diskBound", .fixed(1)) + "/s", style: "slow")
    }
    return .init("–", style: "none")
  }

  private var legend: Markup {
    let entries: [(String, Markup)] =
      figures.int("context") == nil
      ? [
        ("fits", "the model's whole context"), ("partly", "a shorter one"), ("slow", "experts from the disk"),
      ]
      : [("fits", "fits"), ("slow", "experts from the disk")]
    return .element(
      "ul", ["class": "legend"],
      entries.map { .element("li", [:], .element("i", ["class": "swatch " + $0.0]), $0.1) })
  }

  private var bars: Markup {
    let groups = ["experts", "attention, routers, norms", "embedding", "head"]
    let bars = figures.list("recipes").enumerated().map { index, recipe in
      let key = "recipes.\(index)."
      let parts = (recipe["groups"]?.array ?? []).enumerated().map { place, group in
        let bytes = group["bytes"]?.int ?? 0
        return BarChart.Part(
          series: place, value: Double(bytes), title: "\(group["group"]?.string ?? ""): \(decimal(bytes))",
          key: "\(key)groups.\(place).bytes")
      }
      return BarChart.Bar(
        name: printable(recipe["recipe"]?.string ?? ""), value: figures.span(key + "bytes", .bytes),
        parts: parts)
    }
    return BarChart(
      title: "Bytes by recipe", description: "One bar a recipe: experts and the rest.", bars: bars,
      legend: groups
    ).markup
  }

  private var recipes: DataTable {
    var table = DataTable("Recipes", ["recipe", "format", "bits", "bytes", "of the source"], left: [0, 1])
    for index in figures.list("recipes").indices {
      let key = "recipes.\(index)."
      table.add([
        figures.name(key + "recipe"), figures.name(key + "format"), figures(key + "bitsPerWeight", .fixed(3)),
        figures(key + "bytes", .count), figures(key + "ofSource", .percent(1)),
      ])
    }
    return table
  }
}

/// What a model is, in a line.
struct ModelLine {
  let figures: Figures

  var markup: Markup {
    figures("model.layers", .count) + " layers × " + figures("model.experts", .count) + " experts, "
      + figures("model.parameters", .count) + " parameters, source " + figures("model.bytes", .bytes)
  }
}
