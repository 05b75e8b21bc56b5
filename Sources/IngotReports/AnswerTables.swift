import IngotSystem

/// How the original and the candidate answered the same prompts with tools.
struct AnswerTables {
  let figures: Figures

  var isEmpty: Bool { figures.int("answers.prompts") == nil }

  var markup: Markup {
    var each = DataTable("Answers of each model", ["prompts", "original", "candidate"])
    for (title, key) in [
      ("calls a tool", "called"), ("calls valid by their schemas", "valid"),
      ("tool as in the text", "expectedTool"), ("arguments too", "expectedCall"),
      ("thinking closed, where it thinks", "thinkingClosed"), ("cut off", "cutOff"),
    ] {
      each.add([
        Markup(title), share("answers.original.\(key)"), share("answers.candidate.\(key)"),
      ])
    }
    var both = DataTable("The candidate beside the original", ["prompts", "share", "of"])
    for (title, key) in [
      ("same tool, where the original calls one", "sameTool"), ("same arguments too", "sameCall"),
      ("same script", "sameScript"), ("the same answer", "sameAnswer"),
    ] {
      both.add([Markup(title), share("answers.\(key)"), figures("answers.\(key).of", .count)])
    }
    return .element("div", ["class": "pair"], each.markup, both.markup)
  }

  private func share(_ key: String) -> Markup {
    guard let total = figures.int(key + ".of"), total > 0 else { return "–" }
    return figures(key + ".share", .percent(1)) + " ± " + figures(key + ".standardError", .percent(1))
  }
}
