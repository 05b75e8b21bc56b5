import IngotModels
import IngotSystem
import IngotTensors

/// The page of `ingot verify --html`, out of the object that `ingot verify --json` prints.
public struct VerificationPage {
  private let figures: Figures

  public init(_ report: JSON) { figures = Figures(report: report) }

  public var html: String {
    let names = (figures.string("candidate.name"), figures.string("original.name"))
    var page = Page(
      title: "\(names.0) against \(names.1)", subtitle: subtitle, report: figures.report)
    page.add("summary", "Summary", "Summary", tiles, verdict)
    page.add(
      "divergence", "Predictions", "How far predictions are apart",
      note: """
        KL divergence of the candidate's distribution over the next token from the original's, in nats, for every \
        prediction that was scored.
        """,
      .element("div", ["class": "pair"], histogram, textBars), quantiles.markup, texts.markup)
    let conversations = ConversationTables(figures: figures)
    if !conversations.isEmpty {
      page.add(
        "conversations", "Conversations", "Part by part of conversations",
        note: """
          What tokens are in their conversation. A call of a tool is reproduced where each of its tokens is the one that the \
          model finds most probable behind those before it, as greedy decoding writes it.
          """,
        conversations.markup)
    }
    let answers = AnswerTables(figures: figures)
    if !answers.isEmpty {
      page.add(
        "answers", "Answers", "Answers to prompts with tools",
        note: """
          Both models answered the same prompts, each token the most probable one; shares of the prompts with their standard \
          errors. A call is the same where the tool is and its arguments are equal as JSON.
          """,
        answers.markup)
    }
    page.add(
      "layers", "Layers", "Layer by layer",
      note: """
        Hidden-state error: length of the difference of the hidden states after a layer, as a share of the original's. \
        The candidate's router sees the candidate's own states.
        """,
      .element("div", ["class": "pair"], hiddenStateError, routerDrift), layers.folded)
    if !figures.list("worst").isEmpty {
      page.add(
        "worst", "Worst tokens", "The worst tokens in context",
        note: """
          Where the candidate is furthest from the original. What both models had read, with the token that comes next \
          in the text marked, and what each expected there.
          """,
        WorstTokens(figures: figures).markup)
    }
    page.add(
      "bytes", "Bytes", "Where the bytes go", ByteShares(figures: figures, key: "candidate.parts").markup)
    page.add(
      "experts", "Experts", "Expert by expert",
      note: """
        Bits per weight of each expert's three projections, scales included; the length of the difference of its \
        outputs as a share of the original's, where both get the original's inputs; and the share of the tokens that \
        the original sends to it which the candidate sends elsewhere.
        """,
      .element("div", ["class": "pair maps"], expertBits, expertErrors),
      .element("div", ["class": "pair maps"], expertDrift), worstExperts)
    page.add("run", "Run", "How it was run", RunFacts(figures: figures).markup)
    return page.html
  }

  private var subtitle: Markup {
    figures.name("candidate.format") + ", " + figures("candidate.bytes", .bytes) + ", "
      + figures("candidate.bitsPerWeight", .fixed(3)) + " bits per weight; "
      + figures("tokens", .count) + " predictions scored in " + figures("contexts", .count) + " contexts"
  }

  // MARK: Summary

  private var tiles: Markup {
    var tiles = [
      Tile(
        "KL divergence", figures("klDivergence.mean", .significant(4)),
        figures.error("klDivergence.standardError", .significant(2)) + " nats"),
      Tile(
        "Perplexity ratio", figures("perplexity.ratio", .fixed(4)),
        figures.error("perplexity.standardErrors.ratio", .fixed(4))),
      Tile(
        "Perplexity", figures("perplexity.candidate", .significant(5)),
        "original " + figures("perplexity.original", .significant(5))),
      Tile(
        "Same top token", figures("sameTop", .percent(2)), "of " + figures("tokens", .count) + " predictions"),
      Tile(
        "Δp, RMS", figures("deltaP.rms", .percent(2)),
        "of the next token, mean " + figures("deltaP.mean", .percent(3))),
      Tile("Size", figures("candidate.bytes", .bytes), "original " + figures("original.bytes", .bytes)),
    ]
    if figures.number("plan.klDivergence.predicted") != nil {
      tiles.append(
        Tile(
          "Predicted KL divergence", figures("plan.klDivergence.predicted", .significant(4)),
          figures("plan.klDivergence.low", .significant(3)) + " to "
            + figures("plan.klDivergence.high", .significant(3))))
    }
    return Tile.list(tiles)
  }

  private var verdict: Markup {
    let violations = figures.list("violations")
    guard !violations.isEmpty else { return .nothing }
    return .element(
      "div", ["class": "verdict bad", "role": "note"], "Outside of what was asked for:",
      .element(
        "ul", [:], violations.indices.map { .element("li", [:], figures.name("violations.\($0)")) }))
  }

  // MARK: Divergence

  private var histogram: Markup {
    let values = { (key: String) in figures.list("klDivergence.histogram." + key).compactMap(\.double) }
    let marks = [
      ("median", "median"), ("mean", "mean"), ("99 %", "p99"), ("99.9 %", "p999"),
    ].compactMap { name, key in figures.number("klDivergence." + key).map { (name: name, value: $0) } }
    return HistogramChart(
      title: "Distribution of KL divergence",
      description:
        "Share of predictions by KL divergence, five bins to a factor of ten, with the median, the mean and percentiles.",
      unit: "KL divergence (nats)", key: "klDivergence.histogram.counts", edges: values("edges"),
      counts: figures.list("klDivergence.histogram.counts").compactMap(\.int),
      below: figures.int("klDivergence.histogram.below") ?? 0, marks: marks
    ).markup
  }

  private var textBars: Markup {
    let bars = figures.list("texts").indices.map { index in
      let key = "texts.\(index)."
      let value = figures.text(key + "klDivergence.mean", .significant(3))
      let error = figures.number(key + "klDivergence.standardError")
      let shown = figures.span(key + "klDivergence.mean", .significant(3))
      return BarChart.Bar(
        name: printable(figures.string(key + "text")),
        value: error == nil
          ? shown : shown + " ± " + figures.span(key + "klDivergence.standardError", .significant(2)),
        parts: [
          .init(
            value: max(figures.number(key + "klDivergence.mean") ?? 0, 0), title: value,
            key: key + "klDivergence.mean")
        ], error: error)
    }
    return BarChart(
      title: "Mean KL divergence by text", description: "One bar a text, with its standard error.", bars: bars
    ).markup
  }

  private var quantiles: DataTable {
    let columns = [
      ("median", "median"), ("90 %", "p90"), ("95 %", "p95"), ("99 %", "p99"), ("99.9 %", "p999"),
      ("max", "maximum"),
    ]
    var table = DataTable("Percentiles", ["KL divergence"] + columns.map { Markup($0.0) })
    table.add(
      ["over predictions"] + columns.map { figures("klDivergence." + $0.1, .significant(4)) })
    return table
  }

  private var texts: DataTable {
    var table = DataTable(
      "By text",
      ["text", "tokens", "ppl original", "ppl candidate", "ratio", "KL divergence", "±", "same top"])
    for index in figures.list("texts").indices {
      table.add(row("texts.\(index).", figures.name("texts.\(index).text")))
    }
    table.add(row("", "all"))
    table.totals = 1
    return table
  }

  private func row(_ key: String, _ name: Markup) -> [Markup] {
    [
      name, figures(key + "tokens", .count), figures(key + "perplexity.original", .fixed(4)),
      figures(key + "perplexity.candidate", .fixed(4)), figures(key + "perplexity.ratio", .fixed(4)),
      figures(key + "klDivergence.mean", .significant(4)),
      figures(key + "klDivergence.standardError", .significant(2)), figures(key + "sameTop", .percent(3)),
    ]
  }

  // MARK: Layers

  private var places: [Int] { figures.list("layers").compactMap { $0["layer"]?.int } }

  private func values(_ figure: (JSON) -> JSON?) -> [Double] {
    figures.list("layers").map { figure($0)?.double ?? 0 }
  }

  private var hiddenStateError: Markup {
    LineChart(
      title: "Error of the hidden state", description: "Relative error after each layer.", unit: "layer",
      places: places,
      series: [
        .init(name: "hidden-state error", key: "layers.*.hiddenError", values: values { $0["hiddenError"] })
      ]
    ).markup
  }

  private var routerDrift: Markup {
    func router(_ key: String) -> [Double] { values { $0["router"]?[key] } }
    return LineChart(
      title: "Drift of the router",
      description:
        "For each layer the share of tokens whose set of experts changed, the share of experts exchanged, and the routing weight that moved.",
      unit: "layer", places: places,
      series: [
        .init(name: "expert sets changed", key: "layers.*.router.changed", values: router("changed")),
        .init(
          name: "experts exchanged", key: "1-layers.*.router.overlap",
          values: router("overlap").map { 1 - $0 }),
        .init(
          name: "routing-weight shift", key: "layers.*.router.gateMassMoved", values: router("gateMassMoved")),
      ]
    ).markup
  }

  private var layers: DataTable {
    var table = DataTable(
      "Figures of every layer",
      ["layer", "hidden-state error", "expert-set overlap", "expert sets changed", "routing-weight shift"])
    for index in figures.list("layers").indices {
      let key = "layers.\(index)."
      table.add([
        figures(key + "layer", .count), figures(key + "hiddenError", .percent(3)),
        figures(key + "router.overlap", .percent(3)), figures(key + "router.changed", .percent(3)),
        figures(key + "router.gateMassMoved", .percent(3)),
      ])
    }
    return table
  }

  // MARK: Experts

  private var expertBits: Markup { ExpertBits(figures: figures, key: "candidate.expertBits").markup }

  private var expertErrors: Markup {
    HeatMap(
      title: "Error of the outputs",
      description: "Relative error of each expert's outputs on the original's inputs.",
      cells: figures.list("layers").map { ($0["expertErrors"]?.array ?? []).map(\.double) },
      key: "layers.*.expertErrors", style: .percent(2), unit: "\u{A0}%"
    ).markup
  }

  /// The experts whose outputs are furthest off, the worst first.
  private var worstExperts: Markup {
    let columns = ["layer", "expert", "error of outputs", "bits", "tokens", "sent elsewhere"]
    var table = DataTable("Experts furthest off", columns.map { Markup($0) })
    var all: [(error: Double, layer: Int, expert: Int)] = []
    for (layer, record) in figures.list("layers").enumerated() {
      for (expert, error) in (record["expertErrors"]?.array ?? []).enumerated() {
        if let error = error.double, error > 0 { all.append((error, layer, expert)) }
      }
    }
    for (_, layer, expert) in all.sorted(by: { $0.error > $1.error }).prefix(10) {
      let key = "layers.\(layer)."
      table.add([
        figures(key + "layer", .count), Markup("\(expert)"),
        figures(key + "expertErrors.\(expert)", .percent(2)),
        figures("candidate.expertBits.\(layer).\(expert)", .fixed(2)),
        figures(key + "router.experts.original.\(expert)", .count),
        figures(key + "router.experts.moved.\(expert)", .percent(1)),
      ])
    }
    return all.isEmpty ? .nothing : table.markup
  }

  private var expertDrift: Markup {
    HeatMap(
      title: "Tokens sent elsewhere",
      description:
        "Of the tokens that the original sends to an expert, the share that the candidate does not.",
      cells: figures.list("layers").map {
        ($0["router"]?["experts"]?["moved"]?.array ?? []).map(\.double)
      },
      key: "layers.*.router.experts.moved", style: .percent(1), unit: "\u{A0}%"
    ).markup
  }
}
