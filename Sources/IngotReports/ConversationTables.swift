import IngotInference
import IngotSystem

/// What was measured of the parts of conversations, and of calls of tools.
struct ConversationTables {
  let figures: Figures

  var isEmpty: Bool { figures.list("spans").isEmpty }

  var markup: Markup {
    var kinds = DataTable(
      "Parts of conversations", ["part", "tokens", "KL divergence", "standard error", "same top"])
    for index in figures.list("spans").indices {
      let key = "spans.\(index)."
      let kind = SpanKind(rawValue: figures.string(key + "kind"))
      kinds.add([
        Markup(kind?.title ?? figures.string(key + "kind")), figures(key + "tokens", .count),
        figures(key + "klDivergence.mean", .significant(4)),
        figures(key + "klDivergence.standardError", .significant(2)), figures(key + "sameTop", .percent(2)),
      ])
    }
    guard figures.int("toolCalls.count") != nil else { return kinds.markup }
    var calls = DataTable(
      "Calls reproduced by greedy decoding",
      ["", "original", "candidate", "of the original's", "standard error"])
    for (title, part) in [("name", "name"), ("arguments", "arguments"), ("whole call", "whole")] {
      let key = "toolCalls.\(part)."
      calls.add([
        Markup(title), figures(key + "original", .percent(1)), figures(key + "candidate", .percent(1)),
        figures(key + "kept", .percent(1)), figures(key + "standardError", .percent(1)),
      ])
    }
    return .element("div", ["class": "pair"], kinds.markup, calls.markup)
  }
}
