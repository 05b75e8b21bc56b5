import Foundation
import IngotServing
import IngotSystem
import IngotToolCalls
import IngotWorkflows
import Testing

/// Requests from their bytes to the bytes of their answers.
@Suite struct ServiceTests {
  private static func chat(_ text: String, _ members: JSONObject = [:]) -> JSON {
    var request: JSONObject = [
      "model": "nano", "messages": [["role": "user", "content": .string(text)]], "temperature": 0,
      "max_tokens": 12,
    ]
    for (key, value) in members { request[key] = value }
    return .object(request)
  }

  /// As long as the context: the token that ends answers is not chosen.
  private static func endless(_ members: JSONObject) -> JSON {
    var members = members
    (members["max_tokens"], members["logit_bias"]) = (4000, ["2042": -100])
    return chat("Count.", members)
  }

  private static func message(_ text: String) -> JSON {
    text.json["choices"]?.array?.first?["message"] ?? .null
  }

  /// What the parts of a stream make together.
  private static func joined(_ events: [JSON], _ member: String) -> String {
    events.compactMap { $0["choices"]?.array?.first?["delta"]?[member]?.string }.joined()
  }

  /// Many at once, of different lengths, by both APIs, greedily and by chance: each is answered as alone.
  @Test func togetherAsAlone() async throws {
    let requests: [(String, JSON)] = (0..<10).map { number in
      let text = String(repeating: "The tool returned \(number). ", count: 1 + number * 7)
      let length = JSON(3 + 5 * number)
      switch number % 3 {
      case 0: return ("/v1/chat/completions", Self.chat(text, ["max_tokens": length]))
      case 1:
        return (
          "/v1/chat/completions",
          Self.chat(text, ["max_tokens": length, "temperature": JSON(0.9), "seed": JSON(number), "top_k": 0])
        )
      default:
        return (
          "/v1/completions", ["prompt": .string(text), "max_tokens": length, "temperature": 0, "logprobs": 2]
        )
      }
    }
    let service = try Nano.service { $0.limits.parallel = 4 }
    var alone: [JSON] = []
    for (path, json) in requests {
      let answer = await service.post(path, json)
      #expect(answer.status == 200, "\(answer.text)")
      alone.append(answer.text.json["choices"] ?? .null)
    }
    let together = await withTaskGroup(of: (Int, JSON).self) { group in
      for (index, (path, json)) in requests.enumerated() {
        group.addTask { (index, await service.post(path, json).text.json["choices"] ?? .null) }
      }
      var answers = [JSON](repeating: .null, count: requests.count)
      for await (index, answer) in group { answers[index] = answer }
      return answers
    }
    for index in requests.indices { #expect(together[index] == alone[index], "request \(index)") }
    // They did share passes.
    let counts = service.metrics.text.split(separator: "\n").reduce(into: [String: Double]()) {
      counts, line in
      let words = line.split(separator: " ")
      if words.count == 2, let value = Double(words[1]) { counts[String(words[0])] = value }
    }
    #expect(counts["ingot_pass_sequences_total"]! > counts["ingot_passes_total"]! * 1.2)
    #expect(counts["ingot_answers_total{outcome=\"finished\"}"] == 20 && counts["ingot_active_answers"] == 0)
  }

  @Test func streamsAreTheWhole() async throws {
    let service = try Nano.service()
    let request = Self.chat("Read the file.", ["max_tokens": 40])
    let whole = await service.post("/v1/chat/completions", request)
    #expect(whole.status == 200)
    let stream = await service.post(
      "/v1/chat/completions",
      Self.chat(
        "Read the file.", ["max_tokens": 40, "stream": true, "stream_options": ["include_usage": true]]))
    let events = stream.text.events
    #expect(stream.text.hasSuffix("data: [DONE]\n\n"))
    #expect(Self.joined(events, "content") == Self.message(whole.text)["content"]?.string ?? "")
    #expect(
      Self.joined(events, "reasoning_content") == Self.message(whole.text)["reasoning_content"]?.string ?? "")
    for member in ["prompt_tokens", "completion_tokens", "total_tokens"] {
      #expect(
        events.last?["usage"]?[member] == whole.text.json["usage"]?[member] && events.last?["usage"] != nil)
    }
    #expect(events.first?["choices"]?.array?.first?["delta"]?["role"] == "assistant")
    let anthropic: JSONObject = [
      "max_tokens": 40, "messages": [["role": "user", "content": "Read the file."]], "temperature": 0,
    ]
    let message = await service.post("/v1/messages", .object(anthropic)).text.json
    var streaming = anthropic
    streaming["stream"] = true
    let parts = await service.post("/v1/messages", .object(streaming)).text.events
    #expect(parts.first?["type"] == "message_start" && parts.last?["type"] == "message_stop")
    let blocks = message["content"]?.array ?? []
    #expect(!blocks.isEmpty)
    for (index, block) in blocks.enumerated() {
      let text = parts.filter { $0["index"]?.int == index }.compactMap {
        $0["delta"]?["text"]?.string ?? $0["delta"]?["thinking"]?.string
      }.joined()
      #expect(text == block["text"]?.string ?? block["thinking"]?.string)
      #expect(block["type"] != "thinking" || block["signature"]?.string?.isEmpty == false)
    }
    #expect(message["usage"]?["output_tokens"] == whole.text.json["usage"]?["completion_tokens"])
    let count = await service.post("/v1/messages/count_tokens", ["messages": anthropic["messages"]!])
    let usage = message["usage"]
    #expect(
      count.text.json["input_tokens"]?.int
        == usage!["input_tokens"]!.int! + usage!["cache_read_input_tokens"]!.int!)
  }

  @Test func probabilitiesAndStops() async throws {
    let service = try Nano.service()
    let answer = await service.post(
      "/v1/completions",
      ["prompt": "The tool returned an error because", "max_tokens": 8, "temperature": 0, "logprobs": 3])
    let choice = answer.text.json["choices"]?.array?.first ?? .null
    let logprobs = choice["logprobs"]?["token_logprobs"]?.array?.compactMap(\.double) ?? []
    #expect(logprobs.count == 8 && logprobs.allSatisfy { $0 <= 0 })
    let tokens = choice["logprobs"]?["tokens"]?.array?.compactMap(\.string) ?? []
    #expect(tokens.joined() == choice["text"]?.string)
    for (index, top) in (choice["logprobs"]?["top_logprobs"]?.array ?? []).enumerated() {
      // Greedy: the token is the likeliest.
      #expect(top[tokens[index]]?.double == logprobs[index])
    }
    let text = choice["text"]?.string ?? ""
    let stop = String(text.dropFirst(4).prefix(3))
    let cut = await service.post(
      "/v1/completions",
      [
        "prompt": "The tool returned an error because", "max_tokens": 8, "temperature": 0,
        "stop": .string(stop),
      ])
    let end = try #require(text.range(of: stop))
    #expect(cut.text.json["choices"]?.array?.first?["text"]?.string == String(text[..<end.lowerBound]))
    #expect(cut.text.json["choices"]?.array?.first?["finish_reason"] == "stop")
    let banned = await service.post(
      "/v1/completions",
      [
        "prompt": "The tool returned an error because", "max_tokens": 1, "temperature": 0, "logit_bias": [:],
        "echo": true,
      ])
    #expect(
      banned.text.json["choices"]?.array?.first?["text"]?.string?.hasPrefix("The tool returned") == true)
  }

  @Test func refusals() async throws {
    let service = try Nano.service()
    func status(_ path: String, _ json: JSON) async -> (Int, String) {
      let answer = await service.post(path, json)
      return (answer.status, answer.text.json["error"]?["message"]?.string ?? "")
    }
    let long = String(repeating: "many words ", count: 4000)
    for (path, json, expected) in [
      ("/v1/chat/completions", Self.chat(long), "room for 1024"),
      ("/v1/completions", ["prompt": .string(long)], "room for 1024"),
      ("/v1/completions", ["prompt": [1, 99_999]], "tokens from 0"),
      (
        "/v1/messages", ["max_tokens": 1, "messages": [["role": "user", "content": .string(long)]]],
        "room for 1024"
      ),
    ] as [(String, JSON, String)] {
      let (code, message) = await status(path, json)
      #expect(code == 400 && message.contains(expected), "\(path): \(message)")
    }
    let bad = await service.post("/v1/chat/completions", Array("{\"messages\": ".utf8))
    #expect(bad.status == 400 && bad.text.json["error"]?["type"] == "invalid_request_error")
    let deep = await service.post("/v1/messages", Array(String(repeating: "[", count: 100_000).utf8))
    #expect(deep.status == 400 && deep.text.json["type"] == "error")
    for (method, path, code) in [
      ("GET", "/v1/chat/completions", 405), ("POST", "/v1/nothing", 404), ("GET", "/v1/models/other", 404),
      ("GET", "/v1/models/nano", 200), ("GET", "/v1/models", 200), ("GET", "/health", 200),
      ("GET", "/metrics", 200),
    ] {
      let response = service.respond(before: ServiceHead(method: method, path: path, headers: [:]))
      #expect(response?.status == code, "\(method) \(path)")
    }
    // A model without a place for tools.
    let plain = ServingService(try Nano.model(tools: false))
    let tools = await plain.post(
      "/v1/chat/completions",
      Self.chat("Hi", ["tools": [["type": "function", "function": ["name": "f"]]]]))
    #expect(tools.status == 400 && tools.text.json["error"]?["param"] == "tools")
  }

  @Test func keysAndOrigins() async throws {
    let service = try Nano.service { ($0.keys, $0.origins) = (["right"], ["https://page"]) }
    func respond(_ headers: [String: String], _ method: String = "GET", _ path: String = "/v1/models")
      -> ServiceResponse?
    { service.respond(before: ServiceHead(method: method, path: path, headers: headers)) }
    #expect(respond([:])?.status == 401 && respond(["authorization": "Bearer wrong"])?.status == 401)
    #expect(respond(["authorization": "Bearer rightx"])?.status == 401)
    #expect(
      respond(["authorization": "Bearer right"])?.status == 200
        && respond(["x-api-key": "right"])?.status == 200)
    #expect(respond([:], "GET", "/health")?.status == 200 && respond([:], "GET", "/metrics")?.status == 401)
    let origin = respond(["origin": "https://page", "x-api-key": "right"])?.headers.first {
      $0.name.hasSuffix("origin")
    }
    #expect(origin?.value == "https://page")
    #expect(respond(["origin": "https://other", "x-api-key": "right"])?.headers.isEmpty == true)
    #expect(respond(["origin": "https://page"], "OPTIONS", "/v1/messages")?.status == 204)
    #expect(respond(["origin": "https://other"], "OPTIONS", "/v1/messages")?.status == 405)
    let anthropic = respond(["anthropic-version": "2023-06-01"])
    guard case .whole(let text)? = anthropic?.body else { return }
    #expect(text.json["error"]?["type"] == "authentication_error")
  }

  @Test func moreThanMayWaitAreRefused() async throws {
    let service = try Nano.service { ($0.limits.parallel, $0.limits.queue) = (1, 1) }
    let statuses = await withTaskGroup(of: Int.self) { group in
      for number in 0..<6 {
        group.addTask {
          await service.post("/v1/chat/completions", Self.chat("Count \(number).", ["max_tokens": 60])).status
        }
      }
      return await group.reduce(into: [Int]()) { $0.append($1) }
    }
    #expect(statuses.filter { $0 == 200 }.count >= 2 && statuses.contains(503))
    #expect(statuses.allSatisfy { $0 == 200 || $0 == 503 })
    // It answers on.
    #expect(await service.post("/v1/chat/completions", Self.chat("Hi")).status == 200)
  }

  @Test func lateAnswersAreEnded() async throws {
    let service = try Nano.service { $0.limits.timeout = .milliseconds(1) }
    let answer = await service.post(
      "/v1/messages",
      [
        "max_tokens": 500, "messages": [["role": "user", "content": "Count."]],
      ])
    #expect(answer.status == 504 && answer.text.json["error"]?["type"] == "timeout_error")
    let stream = await service.post("/v1/chat/completions", Self.endless(["stream": true]))
    #expect(stream.status == 200 && stream.text.events.last?["error"]?["code"] == "timeout")
  }

  /// The next turn of a conversation needs only what is new, and is answered as anew.
  @Test func promptsThatBeginAlike() async throws {
    let service = try Nano.service { $0.limits.parallel = 2 }
    var history: [JSON] = [["role": "user", "content": "Read the file."]]
    for turn in 0..<3 {
      let request: JSON = ["messages": .array(history), "temperature": 0, "max_tokens": 12]
      let answer = await service.post("/v1/chat/completions", request).text.json
      let fresh = await (try Nano.service()).post("/v1/chat/completions", request).text.json
      #expect(answer["choices"] == fresh["choices"])
      let cached = answer["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int ?? -1
      #expect(turn == 0 ? cached == 0 : cached > 10, "\(cached)")
      #expect(fresh["usage"]?["prompt_tokens_details"]?["cached_tokens"] == 0)
      history += [
        ["role": "assistant", "content": "It is read."],
        ["role": "user", "content": .string("And file \(turn)?")],
      ]
    }
  }

  /// Clients that go are no longer worked for, and others do not notice.
  @Test func cancelledAnswersEnd() async throws {
    let service = ServingService(try Nano.model(4096))
    let request = Self.chat("Read the file.", ["max_tokens": 30])
    let alone = await service.post("/v1/chat/completions", request).text.json["choices"]
    // Two that would take thousands of passes: a stream that nobody reads, and an answer that nobody waits for.
    #expect(await unreadStream(service) == 200)
    let task = Task { await service.post("/v1/chat/completions", Self.endless([:])) }
    task.cancel()
    #expect(await service.post("/v1/chat/completions", request).text.json["choices"] == alone)
    _ = await task.value
    // Nothing is left to do.
    await service.drain(.seconds(60))
    let metrics = service.metrics.text
    #expect(
      metrics.contains("ingot_active_answers 0") && metrics.contains("outcome=\"finished\"} 2"), "\(metrics)")
    #expect(metrics.contains("outcome=\"cancelled\"} 2"), "\(metrics)")
    #expect(await service.post("/v1/chat/completions", request).status == 503)
  }

  /// The status of a stream that is let go of.
  private func unreadStream(_ service: ServingService) async -> Int {
    await service.respond(
      ServiceHead(method: "POST", path: "/v1/chat/completions", headers: [:]),
      Array(Self.endless(["stream": true]).text().utf8)
    ).status
  }

  /// Thinking and calls of earlier turns are in the prompt as the template writes them.
  @Test func historyIsWrittenByTheTemplate() async throws {
    let service = try Nano.service()
    let history: [JSON] = [
      ["role": "user", "content": "Weather?"],
      [
        "role": "assistant", "content": "", "reasoning_content": "To look.",
        "tool_calls": [
          ["id": "1", "type": "function", "function": ["name": "f", "arguments": "{\"a\": 1}"]]
        ],
      ],
      ["role": "tool", "tool_call_id": "1", "content": "42"],
    ]
    let tools: [JSON] = [["type": "function", "function": ["name": "f", "parameters": ["type": "object"]]]]
    let chat = await service.post(
      "/v1/chat/completions",
      ["messages": .array(history), "tools": .array(tools), "max_tokens": 2, "temperature": 0])
    let message = await service.post(
      "/v1/messages/count_tokens",
      [
        "tools": [["name": "f", "input_schema": ["type": "object"]]],
        "messages": [
          ["role": "user", "content": "Weather?"],
          [
            "role": "assistant",
            "content": [
              ["type": "thinking", "thinking": "To look.", "signature": "x"],
              ["type": "tool_use", "id": "1", "name": "f", "input": ["a": 1]],
            ],
          ],
          ["role": "user", "content": [["type": "tool_result", "tool_use_id": "1", "content": "42"]]],
        ],
      ])
    #expect(chat.status == 200, "\(chat.text)")
    // The same conversation by both APIs: the same tokens.
    #expect(chat.text.json["usage"]?["prompt_tokens"] == message.text.json["input_tokens"])
    let without = await service.post(
      "/v1/messages/count_tokens", ["messages": [["role": "user", "content": "Weather?"]]])
    #expect(message.text.json["input_tokens"]!.int! > without.text.json["input_tokens"]!.int! + 20)
    // Templates have other names for thinking.
    let source = try String(contentsOfFile: Nano.template, encoding: .utf8)
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).jinja").path()
    try source.replacing("reasoning_content", with: "thinking").write(
      toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let other = ServingService(try ServedModel(Nano.folder, context: 1024, chatTemplate: path))
    let again = await other.post(
      "/v1/chat/completions",
      ["messages": .array(history), "tools": .array(tools), "max_tokens": 2, "temperature": 0])
    #expect(again.text.json["usage"]?["prompt_tokens"] == chat.text.json["usage"]?["prompt_tokens"])
  }
}
