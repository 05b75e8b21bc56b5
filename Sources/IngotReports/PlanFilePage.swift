import IngotModels
import IngotSystem
import IngotTensors

/// The page of a plan that was made from a sensitivity: `ingot plan --sensitivity … --html` and `ingot plan --plan … --html`.
public struct PlanFilePage {
  private let figures: Figures

  /// - Parameter report: the plan as its file has it under `file`, with `model`, `parts`, `expertBits`, `expertErrors` and
  ///   `layerErrors` beside it; `errors` is left out of the plan, since those have its figures.
  public init(_ report: JSON) { figures = Figures(report: report) }

  public var html: String {
    var page = Page(
      title: printable(figures.string("file.name")), subtitle: ModelLine(figures: figures).markup,
      report: figures.report)
    page.add("summary", "Summary", "Summary", tiles)
    if !figures.list("file.curve").isEmpty || !figures.list("file.uniform").isEmpty {
      page.add(
        "curve", "Curve", "Size and quality",
        note: """
          Predicted KL divergence of the best plan of each size, and of models of one encoding everywhere. The interval \
          is of 90 %, on text like that which was measured.
          """,
        .element("div", ["class": "pair"], curve, uniform.markup), best.folded)
    }
    page.add("bytes", "Bytes", "Where the bytes go", ByteShares(figures: figures, key: "parts").markup)
    page.add(
      "experts", "Experts", "Expert by expert",
      note:
        "Bits per weight of an expert's three projections, and its expected share of the mean KL divergence.",
      .element(
        "div", ["class": "pair maps"], ExpertBits(figures: figures, key: "expertBits").markup, expertErrors))
    if !figures.list("layerErrors").isEmpty {
      page.add(
        "layers", "Layers", "Layer by layer", note: "Where the expected divergence comes from.",
        .element("div", ["class": "pair"], layerErrors), layers.folded)
    }
    if !figures.list("droppedExperts").isEmpty {
      page.add(
        "dropped", "Left out", "Experts left out",
        note: "By the original's numbers. The others are numbered anew in the artifact, in their order.",
        dropped.markup)
    }
    if let facts = facts { page.add("origin", "Origin", "How it was planned", facts) }
    return page.html
  }

  private var hasPrediction: Bool { figures.number("file.predicted.klDivergence.mean") != nil }

  private var tiles: Markup {
    let predicted = "file.predicted."
    var tiles: [Tile] = []
    if hasPrediction {
      tiles.append(
        Tile(
          "Predicted KL divergence", figures(predicted + "klDivergence.mean", .significant(3)),
          figures(predicted + "klDivergence.low", .significant(3)) + " to "
            + figures(predicted + "klDivergence.high", .significant(3)) + " nats"))
    }
    tiles += [
      Tile("Size", figures(predicted + "bytes", .bytes), figures(predicted + "bytes", .count) + " bytes"),
      Tile("Bits per weight", figures(predicted + "bitsPerWeight", .fixed(3)), "over all tensors"),
      Tile("Format", figures.name("file.format"), "source " + figures("model.bytes", .bytes)),
    ]
    if figures.number(predicted + "gap") != nil {
      tiles.append(
        Tile("Gap to the best", figures(predicted + "gap", .percent(3)), "at most, by the solver's bound"))
    }
    return Tile.list(tiles)
  }

  // MARK: The curve

  private func points(_ key: String) -> [CurveChart.Point] {
    figures.list(key).enumerated().compactMap { index, value in
      guard let bits = value["bitsPerWeight"]?.double, let divergence = value["klDivergence"]?.double else {
        return nil
      }
      let name = value["encoding"]?.string.map { printable($0) + ", " } ?? ""
      return CurveChart.Point(
        bits: bits, divergence: divergence, bitsKey: "\(key).\(index).bitsPerWeight",
        divergenceKey: "\(key).\(index).klDivergence",
        title: "\(name)\(fixed(bits, 3)) bits: \(Figures.text(divergence, .significant(3)))")
    }
  }

  private var curve: Markup {
    let key = "file.predicted."
    var plan: (CurveChart.Point, Double, Double)?
    if let bits = figures.number(key + "bitsPerWeight"), let mean = figures.number(key + "klDivergence.mean"),
      let low = figures.number(key + "klDivergence.low"), let high = figures.number(key + "klDivergence.high")
    {
      plan = (
        CurveChart.Point(
          bits: bits, divergence: mean, bitsKey: key + "bitsPerWeight",
          divergenceKey: key + "klDivergence.mean",
          title: "this plan, \(fixed(bits, 3)) bits: \(Figures.text(mean, .significant(3)))"), low, high
      )
    }
    return CurveChart(
      title: "Predicted KL divergence by size (nats)",
      description:
        "KL divergence on a logarithmic axis over bits per weight: best plans, uniform encodings, this plan.",
      best: points("file.curve"), uniform: points("file.uniform"), plan: plan
    ).markup
  }

  private func table(_ title: String, _ key: String, named: Bool) -> DataTable {
    var table = DataTable(
      title, (named ? ["encoding"] : []) + ["bits", "bytes of tensors", "KL divergence"],
      left: named ? [0] : [])
    for index in figures.list(key).indices {
      let row = "\(key).\(index)."
      table.add(
        (named ? [figures.name(row + "encoding")] : []) + [
          figures(row + "bitsPerWeight", .fixed(3)), figures(row + "tensorBytes", .count),
          figures(row + "klDivergence", .significant(3)),
        ])
    }
    return table
  }

  private var uniform: DataTable { table("One encoding everywhere", "file.uniform", named: true) }
  private var best: DataTable { table("Best plan of each size", "file.curve", named: false) }

  // MARK: Experts left out

  private var dropped: DataTable {
    var table = DataTable("Experts left out of every layer", ["layer", "experts"], left: [0, 1])
    for index in figures.list("droppedExperts").indices {
      table.add([Markup("\(index)"), figures.name("droppedExperts.\(index)")])
    }
    return table
  }

  // MARK: Errors

  private var expertErrors: Markup {
    let cells = figures.list("expertErrors").map { ($0.array ?? []).map(\.double) }
    guard !cells.isEmpty else { return .nothing }
    return HeatMap(
      title: "Expected error",
      description: "Each expert's expected share of the mean KL divergence, in nats.",
      cells: cells, key: "expertErrors", style: .significant(2), unit: " nats"
    ).markup
  }

  private var series: [String] {
    let hasDropped = figures.list("layerErrors").first?["dropped"] != nil
    return ["experts", "attention"] + (hasDropped ? ["dropped"] : [])
  }

  private var layerErrors: Markup {
    LineChart(
      title: "Expected error by layer (nats)",
      description:
        "Expected share of the mean KL divergence of a layer's experts, of its attention and of experts left out, in nats.",
      unit: "layer", places: Array(figures.list("layerErrors").indices),
      series: series.map { name in
        .init(
          name: name, key: "layerErrors.*.\(name)",
          values: figures.list("layerErrors").map { $0[name]?.double ?? 0 })
      }, style: .significant(3), tick: Chart.tick
    ).markup
  }

  private var layers: DataTable {
    var table = DataTable("Expected error of every layer", ["layer"] + series.map { Markup($0) })
    for index in figures.list("layerErrors").indices {
      table.add(
        [Markup("\(index)")]
          + series.map { figures("layerErrors.\(index).\($0)", .significant(3)) })
    }
    return table
  }

  // MARK: Origin

  private var facts: Markup? {
    var facts: [Markup] = []
    func add(_ name: String, _ value: Markup) {
      facts.append(.element("dt", [:], Markup(name)))
      facts.append(.element("dd", [:], value))
    }
    if figures["file.budget.asked"].string != nil { add("asked for", figures.name("file.budget.asked")) }
    if figures["file.sensitivity.name"].string != nil {
      add(
        "sensitivity",
        figures.name("file.sensitivity.name") + ", " + figures("file.sensitivity.tokens", .count)
          + " tokens, quantizer " + figures.name("file.sensitivity.quantizer"))
      let texts = figures.list("file.sensitivity.texts").indices.map {
        figures.name("file.sensitivity.texts.\($0)")
      }
      if let first = texts.first { add("texts", texts.dropFirst().reduce(first) { $0 + ", " + $1 }) }
    }
    let other = "file.predicted.klDivergence.otherText."
    if figures.number(other + "low") != nil {
      add(
        "KL divergence on text of another kind",
        figures(other + "low", .significant(3)) + " to " + figures(other + "high", .significant(3))
          + " nats, if the model is as sure of it")
    }
    if figures["file.predicted.checksum"].string != nil {
      add("checksum of the tensors", .element("code", [:], figures.name("file.predicted.checksum")))
    }
    return facts.isEmpty ? nil : .element("dl", ["class": "facts"], facts)
  }
}
