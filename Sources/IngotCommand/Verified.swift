import IngotInference
import IngotReports
import IngotServing
import IngotSystem
import IngotWorkflows

/// What was found of one candidate.
struct Verified {
  let candidate: String
  let result: VerifyResult
  let violations: [String]
  private let answers: AnswerComparison?

  init(_ candidate: String, _ result: VerifyResult, _ answers: AnswerComparison?, _ violations: [String]) {
    self.candidate = candidate
    self.result = result
    self.answers = answers
    self.violations = result.violations + violations
  }

  var text: String {
    let plan = result.outcome.map { "\n\n" + $0.text } ?? ""
    let fast = result.fast.map { "\n\ncandidate: " + $0.text } ?? ""
    let more = answers.map { "\n\n" + $0.text } ?? ""
    return result.report.table + fast + plan + more + "\n\n" + result.report.verdict
  }

  var json: JSON {
    var object = result.json.object ?? [:]
    if let answers {
      object["answers"] = answers.json
      object["violations"] = .array(violations.map { .string($0) })
    }
    return .object(object)
  }
}

/// Several candidates of one original.
struct CandidateComparison {
  private let results: [Verified]

  init(_ results: [Verified]) { self.results = results }

  private func bits(_ result: Verified) -> Double {
    result.json["candidate"]?["bitsPerWeight"]?.double ?? 0
  }

  var table: String {
    var table = CandidateTable()
    for result in results { table.add(result.candidate, bitsPerWeight: bits(result), result.result.report) }
    return table.text
  }

  /// Each report as it is of one candidate, and the row of the table before it.
  var json: JSON {
    [
      "candidates": .array(
        results.map { result in
          [
            "candidate": .string(result.candidate),
            "verdict": .string(result.result.report.drift.rawValue), "report": result.json,
          ]
        })
    ]
  }
}
