import IngotKernels
import IngotSystem
import IngotToolCalls

/// Answers of `/v1/messages`: blocks of content, one after the other.
struct MessagesEncoder: AnswerEncoder {
  private enum Kind { case text, thinking }

  let name: AnswerName
  /// Blocks that are complete.
  private var blocks: [JSON] = []
  private var count = 0
  /// The block at hand, which is text or thinking.
  private var open: (kind: Kind, text: String)?
  private var hasCalls = false

  init(_ name: AnswerName) { self.name = name }

  // ---- a stream -------------------------------------------------------------------------------------------------------

  mutating func begin(_ usage: AnswerUsage) -> String {
    event(
      "message_start", ["message": message([], nil, AnswerUsage(prompt: usage.prompt, cached: usage.cached))])
      + event("ping", [:])
  }

  mutating func add(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability]) -> String {
    var events = ""
    for piece in pieces {
      switch piece {
      case .content(let text): events += add(text, to: .text)
      case .reasoning(let text): events += add(text, to: .thinking)
      case .call(let call):
        events += close()
        var block = Self.block(call)
        let input = block["input"] ?? [:]
        block["input"] = [:]
        events += event("content_block_start", ["index": JSON(count), "content_block": .object(block)])
        events += event(
          "content_block_delta",
          [
            "index": JSON(count),
            "delta": ["type": "input_json_delta", "partial_json": .string(input.text())],
          ])
        events += stop()
        hasCalls = true
      }
    }
    return events
  }

  mutating func end(_ finish: AnswerFinish, _ usage: AnswerUsage) -> String {
    let events = close()
    return events
      + event(
        "message_delta",
        ["delta": .object(reason(finish)), "usage": usage.anthropic])
      + event("message_stop", [:])
  }

  func failure(_ error: ServingError) -> String {
    serverSentEvent(ServingAPI.anthropic.body(error), name: "error")
  }

  private mutating func add(_ text: String, to kind: Kind) -> String {
    var events = ""
    if open?.kind != kind {
      events = close()
      open = (kind, "")
      let block: JSON =
        kind == .text
        ? ["type": "text", "text": ""] : ["type": "thinking", "thinking": "", "signature": ""]
      events += event("content_block_start", ["index": JSON(count), "content_block": block])
    }
    open!.text += text
    return events
      + event(
        "content_block_delta",
        [
          "index": JSON(count),
          "delta": kind == .text
            ? ["type": "text_delta", "text": .string(text)]
            : ["type": "thinking_delta", "thinking": .string(text)],
        ])
  }

  private mutating func close() -> String {
    guard let block = open else { return "" }
    open = nil
    var events = ""
    if block.kind == .thinking {
      events = event(
        "content_block_delta",
        [
          "index": JSON(count),
          "delta": ["type": "signature_delta", "signature": .string(Self.signature(block.text))],
        ])
    }
    return events + stop()
  }

  private mutating func stop() -> String {
    defer { count += 1 }
    return event("content_block_stop", ["index": JSON(count)])
  }

  private func event(_ type: String, _ members: JSONObject) -> String {
    var object: JSONObject = ["type": .string(type)]
    for (key, value) in members { object[key] = value }
    return serverSentEvent(.object(object), name: type)
  }

  // ---- one object -----------------------------------------------------------------------------------------------------

  mutating func keep(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability]) {
    for piece in pieces {
      switch piece {
      case .content(let text): keep(text, .text)
      case .reasoning(let text): keep(text, .thinking)
      case .call(let call):
        finishBlock()
        blocks.append(.object(Self.block(call)))
        hasCalls = true
      }
    }
  }

  func whole(_ finish: AnswerFinish, _ usage: AnswerUsage) -> JSON {
    var copy = self
    copy.finishBlock()
    return copy.message(copy.blocks, finish, usage)
  }

  private mutating func keep(_ text: String, _ kind: Kind) {
    if open?.kind != kind {
      finishBlock()
      open = (kind, "")
    }
    open!.text += text
  }

  private mutating func finishBlock() {
    guard let block = open else { return }
    open = nil
    blocks.append(
      block.kind == .text
        ? ["type": "text", "text": .string(block.text)]
        : [
          "type": "thinking", "thinking": .string(block.text),
          "signature": .string(Self.signature(block.text)),
        ])
  }

  private func message(_ blocks: [JSON], _ finish: AnswerFinish?, _ usage: AnswerUsage) -> JSON {
    var message: JSONObject = [
      "id": .string("msg_\(name.token)"), "type": "message", "role": "assistant",
      "model": .string(name.model), "content": .array(blocks),
    ]
    let reason: JSONObject = finish.map(reason) ?? ["stop_reason": .null, "stop_sequence": .null]
    for (key, value) in reason { message[key] = value }
    message["usage"] = usage.anthropic
    return .object(message)
  }

  private func reason(_ finish: AnswerFinish) -> JSONObject {
    switch finish {
    case .length: ["stop_reason": "max_tokens", "stop_sequence": .null]
    case .stop(let text): ["stop_reason": "stop_sequence", "stop_sequence": .string(text)]
    case .end: ["stop_reason": hasCalls ? "tool_use" : "end_turn", "stop_sequence": .null]
    }
  }

  private static func block(_ call: ToolCall) -> JSONObject {
    [
      "type": "tool_use", "id": .string(call.id ?? "toolu_\(AnswerName.random(digits: 24))"),
      "name": .string(call.name), "input": .object(call.arguments),
    ]
  }

  /// Clients hand signatures back with the thinking that they belong to, and refuse thinking without one. There is nothing here to
  /// keep from them, so it is a sum of the text.
  private static func signature(_ text: String) -> String {
    let bytes = Bytes(Array(text.utf8))
    return "ingot-" + hexDigits(XXH3.hash(bytes.span))
  }
}

extension AnswerUsage {
  var anthropic: JSON {
    [
      "input_tokens": JSON(prompt - cached), "cache_creation_input_tokens": 0,
      "cache_read_input_tokens": JSON(cached), "output_tokens": JSON(answer),
    ]
  }
}
