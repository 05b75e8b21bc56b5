import IngotSystem
import IngotToolCalls

/// Answers of `/v1/completions`.
struct CompletionsEncoder: AnswerEncoder {
  let name: AnswerName
  let streamsUsage: Bool
  let tellsProbabilities: Bool
  /// What comes before the answer: the prompt, where it is asked for.
  let echo: String
  private var text = ""
  private var probabilities: [TokenProbability] = []
  /// Characters of the tokens so far.
  private var offset = 0

  init(_ name: AnswerName, streamsUsage: Bool, tellsProbabilities: Bool, echo: String) {
    self.name = name
    self.streamsUsage = streamsUsage
    self.tellsProbabilities = tellsProbabilities
    self.echo = echo
  }

  mutating func begin(_ usage: AnswerUsage) -> String { echo.isEmpty ? "" : chunk(echo) }

  mutating func add(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability]) -> String {
    let text = Self.text(pieces)
    guard !text.isEmpty || !probabilities.isEmpty else { return "" }
    defer { offset += probabilities.reduce(0) { $0 + $1.text.count } }
    return chunk(text, probabilities: probabilities)
  }

  mutating func end(_ finish: AnswerFinish, _ usage: AnswerUsage) -> String {
    var events = chunk("", finish: reason(finish))
    if streamsUsage { events += serverSentEvent(object([], usage)) }
    return events + "data: [DONE]\n\n"
  }

  func failure(_ error: ServingError) -> String { serverSentEvent(ServingAPI.openAI.body(error)) }

  mutating func keep(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability]) {
    text += Self.text(pieces)
    self.probabilities += probabilities
  }

  func whole(_ finish: AnswerFinish, _ usage: AnswerUsage) -> JSON {
    object([choice(echo + text, probabilities, from: 0, reason(finish))], usage)
  }

  private static func text(_ pieces: [AnswerPiece]) -> String {
    pieces.reduce(into: "") { text, piece in
      if case .content(let part) = piece { text += part }
    }
  }

  private func chunk(_ text: String, finish: String? = nil, probabilities: [TokenProbability] = []) -> String
  {
    serverSentEvent(object([choice(text, probabilities, from: offset, finish)], nil))
  }

  private func choice(_ text: String, _ probabilities: [TokenProbability], from start: Int, _ finish: String?)
    -> JSON
  {
    [
      "text": .string(text), "index": 0, "logprobs": logprobs(probabilities, from: start),
      "finish_reason": JSON(finish),
    ]
  }

  private func object(_ choices: JSON, _ usage: AnswerUsage?) -> JSON {
    var object: JSONObject = [
      "id": .string("cmpl-\(name.token)"), "object": "text_completion", "created": JSON(name.created),
      "model": .string(name.model), "choices": choices,
    ]
    if let usage { object["usage"] = usage.openAI }
    return .object(object)
  }

  private func reason(_ finish: AnswerFinish) -> String { finish == .length ? "length" : "stop" }

  private func logprobs(_ probabilities: [TokenProbability], from start: Int) -> JSON {
    guard tellsProbabilities, !probabilities.isEmpty else { return .null }
    var offsets: [JSON] = []
    var offset = start
    for probability in probabilities {
      offsets.append(JSON(offset))
      offset += probability.text.count
    }
    return [
      "tokens": .array(probabilities.map { .string($0.text) }),
      "token_logprobs": .array(probabilities.map { JSON($0.logprob) }),
      "top_logprobs": .array(
        probabilities.map { probability in
          var top = JSONObject()
          for entry in probability.top { top[entry.text] = top[entry.text] ?? JSON(entry.logprob) }
          return .object(top)
        }),
      "text_offset": .array(offsets),
    ]
  }
}
