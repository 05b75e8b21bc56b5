import IngotSystem
import IngotToolCalls

/// Answers of `/v1/chat/completions`.
struct ChatEncoder: AnswerEncoder {
  let name: AnswerName
  let streamsUsage: Bool
  let tellsProbabilities: Bool
  private var content = ""
  private var reasoning = ""
  private var calls: [JSON] = []
  private var callCount = 0
  private var probabilities: [TokenProbability] = []

  init(_ name: AnswerName, streamsUsage: Bool, tellsProbabilities: Bool) {
    self.name = name
    self.streamsUsage = streamsUsage
    self.tellsProbabilities = tellsProbabilities
  }

  // ---- a stream -------------------------------------------------------------------------------------------------------

  mutating func begin(_ usage: AnswerUsage) -> String { chunk(["role": "assistant", "content": ""]) }

  mutating func add(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability]) -> String {
    var events = ""
    // Probabilities go with the first of what the tokens gave.
    var rest = probabilities
    for piece in pieces {
      let delta: JSON =
        switch piece {
        case .content(let text): ["content": .string(text)]
        case .reasoning(let text): ["reasoning_content": .string(text)]
        case .call(let call): ["tool_calls": [self.call(call, index: callCount)]]
        }
      if case .call = piece { callCount += 1 }
      events += chunk(delta, probabilities: rest)
      rest = []
    }
    if !rest.isEmpty { events += chunk([:], probabilities: rest) }
    return events
  }

  mutating func end(_ finish: AnswerFinish, _ usage: AnswerUsage) -> String {
    var events = chunk([:], finish: reason(finish, hasCalls: callCount > 0))
    if streamsUsage { events += serverSentEvent(object("chat.completion.chunk", [], usage)) }
    return events + "data: [DONE]\n\n"
  }

  func failure(_ error: ServingError) -> String { serverSentEvent(ServingAPI.openAI.body(error)) }

  private func chunk(_ delta: JSON, finish: String? = nil, probabilities: [TokenProbability] = []) -> String {
    serverSentEvent(
      object(
        "chat.completion.chunk",
        [
          [
            "index": 0, "delta": delta, "logprobs": logprobs(probabilities),
            "finish_reason": JSON(finish),
          ]
        ], nil))
  }

  // ---- one object -----------------------------------------------------------------------------------------------------

  mutating func keep(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability]) {
    for piece in pieces {
      switch piece {
      case .content(let text): content += text
      case .reasoning(let text): reasoning += text
      case .call(let call): calls.append(self.call(call, index: nil))
      }
    }
    self.probabilities += probabilities
  }

  func whole(_ finish: AnswerFinish, _ usage: AnswerUsage) -> JSON {
    var message: JSONObject = [
      "role": "assistant", "content": content.isEmpty && !calls.isEmpty ? .null : .string(content),
    ]
    if !reasoning.isEmpty { message["reasoning_content"] = .string(reasoning) }
    if !calls.isEmpty { message["tool_calls"] = .array(calls) }
    return object(
      "chat.completion",
      [
        [
          "index": 0, "message": .object(message), "logprobs": logprobs(probabilities),
          "finish_reason": .string(reason(finish, hasCalls: !calls.isEmpty)),
        ]
      ], usage)
  }

  private func object(_ kind: String, _ choices: JSON, _ usage: AnswerUsage?) -> JSON {
    var object: JSONObject = [
      "id": .string("chatcmpl-\(name.token)"), "object": .string(kind), "created": JSON(name.created),
      "model": .string(name.model), "choices": choices,
    ]
    if let usage { object["usage"] = usage.openAI }
    return .object(object)
  }

  private func call(_ call: ToolCall, index: Int?) -> JSON {
    var object: JSONObject = [:]
    if let index { object["index"] = JSON(index) }
    object["id"] = .string(call.id ?? "call_\(AnswerName.random(digits: 24))")
    object["type"] = "function"
    object["function"] = [
      "name": .string(call.name), "arguments": .string(JSON.object(call.arguments).text()),
    ]
    return .object(object)
  }

  private func reason(_ finish: AnswerFinish, hasCalls: Bool) -> String {
    switch finish {
    case .length: "length"
    case .end, .stop: hasCalls ? "tool_calls" : "stop"
    }
  }

  private func logprobs(_ probabilities: [TokenProbability]) -> JSON {
    guard tellsProbabilities, !probabilities.isEmpty else { return .null }
    func entry(_ text: String, _ logprob: Double) -> JSONObject {
      [
        "token": .string(text), "logprob": JSON(logprob),
        "bytes": .array(text.utf8.map { JSON(Int($0)) }),
      ]
    }
    return [
      "content": .array(
        probabilities.map { probability in
          var object = entry(probability.text, probability.logprob)
          object["top_logprobs"] = .array(probability.top.map { .object(entry($0.text, $0.logprob)) })
          return .object(object)
        })
    ]
  }
}

extension AnswerUsage {
  var openAI: JSON {
    [
      "prompt_tokens": JSON(prompt), "completion_tokens": JSON(answer), "total_tokens": JSON(prompt + answer),
      "prompt_tokens_details": ["cached_tokens": JSON(cached)],
    ]
  }
}
