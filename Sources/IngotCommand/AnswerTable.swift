import ArgumentParser
import IngotModels
import IngotReports
import IngotServing
import IngotSystem
import IngotWorkflows

/// Answers that both models make to prompts with tools.
struct AnswerOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Also let both models answer this many prompts with tools, and compare their calls: the conversations among the texts, "
        + "up to the first message that calls a tool.", valueName: "n"))
  var generate: Int?

  @Option(
    name: .long, help: ArgumentHelp("With --generate: tokens of an answer, at most.", valueName: "n"))
  var maxTokens: Int = 256

  @Option(
    name: .long,
    help: ArgumentHelp(
      "With --generate: minimum share of the original's calls that the candidate makes too, with the same arguments, in "
        + "percent.", valueName: "x"))
  var minSameCalls: Double?

  func validate() throws {
    guard generate.map({ (1...1_000_000).contains($0) }) ?? true else {
      throw ValidationError("--generate must be 1 to 1000000.")
    }
    guard (1...1 << 20).contains(maxTokens) else {
      throw ValidationError("--max-tokens must be 1 to 1048576.")
    }
    guard minSameCalls == nil || generate != nil else {
      throw ValidationError("--min-same-calls needs --generate.")
    }
    guard minSameCalls.map({ (0...100).contains($0) }) ?? true else {
      throw ValidationError("--min-same-calls must be 0 to 100.")
    }
  }

  /// What is outside the tolerance.
  func violations(_ answers: AnswerComparison?) -> [String] {
    guard let minSameCalls, let answers, 100 * answers.sameCall.value < minSameCalls else { return [] }
    return [
      "\(fixed(100 * answers.sameCall.value, 2)) % of the original's calls made by the candidate, at least \(minSameCalls) % asked for"
    ]
  }
}

extension AnswerComparison {
  var text: String {
    func cell(_ share: Share) -> String {
      guard share.total > 0 else { return "–" }
      return "\(fixed(100 * share.value, 1)) % ± \(fixed(100 * (share.standardError ?? 0), 1))"
    }
    var table = Table(["\(grouped(prompts)) prompts with tools", "original", "candidate"], left: [0])
    let rows: [(String, KeyPath<Model, Share>)] = [
      ("calls a tool", \.called), ("calls valid by their schemas", \.valid),
      ("tool as in the text", \.expectedTool), ("arguments too", \.expectedCall),
      ("thinking closed, where it thinks", \.thinkingClosed),
      ("cut off at \(grouped(maximum)) tokens", \.cutOff),
    ]
    for (name, path) in rows {
      table.add([name, cell(original[keyPath: path]), cell(candidate[keyPath: path])])
    }
    var same = Table(["candidate beside the original", "", ""], left: [0])
    for (name, share) in [
      ("same tool, where the original calls one", sameTool), ("same arguments too", sameCall),
      ("same script", sameScript), ("the same answer", sameAnswer),
    ] {
      same.add([name, cell(share), "of \(grouped(share.total))"])
    }
    return table.text + "\n\n" + same.text
  }
}
