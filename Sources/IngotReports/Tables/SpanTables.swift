import IngotInference
import IngotModels
import IngotTensors

extension VerificationReport {
  /// What is measured of conversations alone; empty for other texts.
  var conversationTables: String {
    guard !spans.isEmpty else { return "" }
    var kinds = Table(["part of conversations", "tokens", "KL divergence", "", "same top", ""])
    for span in spans {
      kinds.add([
        span.kind.title, grouped(span.tokens), significant(span.divergence.value),
        error(span.divergence) { significant($0) }, percent(span.sameTop.value), error(span.sameTop, percent),
      ])
    }
    guard let toolCalls else { return kinds.text + "\nno call of a tool is scored whole\n\n" }
    var calls = Table([
      "calls reproduced by greedy decoding", "original", "candidate", "of the original's", "",
    ])
    for (title, part) in [
      ("name", toolCalls.name), ("arguments", toolCalls.arguments), ("whole call", toolCalls.whole),
    ] {
      calls.add([
        title, percent(part.original.value), percent(part.candidate.value),
        part.kept.map { percent($0.value) } ?? "–", part.kept.map { error($0, percent) } ?? "",
      ])
    }
    return """
      \(kinds.text)

      \(calls.text)
      \(grouped(toolCalls.count)) calls are scored whole


      """
  }

  private func percent(_ share: Double) -> String { fixed(100 * share, 2) + " %" }

  private func error(_ estimate: Estimate, _ text: (Double) -> String) -> String {
    estimate.standardError.map { "± " + text($0) } ?? ""
  }
}
