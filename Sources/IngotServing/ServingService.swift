import IngotInference
import IngotSystem
import IngotTokenizer
import IngotToolCalls
import IngotWorkflows
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a request of HTTP is before its body is read.
public struct ServiceHead: Sendable {
  public var method: String
  /// Without a query.
  public var path: String
  /// By name in lower case.
  public var headers: [String: String]

  public init(method: String, path: String, headers: [String: String]) {
    (self.method, self.path, self.headers) = (method, path, headers)
  }
}

public struct ServiceResponse: Sendable {
  public enum Body: Sendable {
    case whole(String)
    /// Texts as they come. Whoever stops reading them cancels the request.
    case stream(AsyncStream<String>)
  }

  public var status: Int
  public var contentType: String
  /// Besides the content's type.
  public var headers: [(name: String, value: String)] = []
  public var body: Body

  public init(_ status: Int, _ contentType: String, _ body: Body) {
    (self.status, self.contentType, self.body) = (status, contentType, body)
  }
}

/// Answers requests of both APIs for one model, whatever transports them.
///
/// Prompts, reasoning and answers go to the client and nowhere else: nothing of them is logged or counted but their tokens.
public final class ServingService: Sendable {
  public struct Options: Sendable {
    public var limits = Scheduler.Limits()
    /// Keys, one of which a client has to give; none for everyone.
    public var keys: [String] = []
    /// Origins of web pages that may read answers; `*` for all. None by default.
    public var origins: [String] = []

    public init() {}
  }

  private enum Route {
    case health, metrics, models
    case model(String)
    case chat, completions, messages, countTokens
  }

  public let metrics = ServingMetrics()
  private let model: ServedModel
  private let options: Options
  private let scheduler: Scheduler
  private let began = ServingService.now
  private let isDraining = Atomic<Bool>(false)

  public init(_ model: ServedModel, _ options: Options = Options()) {
    (self.model, self.options) = (model, options)
    scheduler = Scheduler(model.continued, options.limits, metrics)
  }

  /// Takes no more requests, and returns when those under way have ended, or after a time.
  public func drain(_ patience: Duration) async {
    isDraining.store(true, ordering: .relaxed)
    await scheduler.drain(patience)
  }

  // ---- routes ---------------------------------------------------------------------------------------------------------

  /// Whose API a path belongs to.
  public static func api(_ head: ServiceHead) -> ServingAPI {
    head.path.hasPrefix("/v1/messages") || head.headers["anthropic-version"] != nil ? .anthropic : .openAI
  }

  private func route(_ head: ServiceHead) throws(ServingError) -> Route {
    let (route, method): (Route, String) =
      switch head.path {
      case "/health": (.health, "GET")
      case "/metrics": (.metrics, "GET")
      case "/v1/models": (.models, "GET")
      case "/v1/chat/completions": (.chat, "POST")
      case "/v1/completions": (.completions, "POST")
      case "/v1/messages": (.messages, "POST")
      case "/v1/messages/count_tokens": (.countTokens, "POST")
      case let path where path.hasPrefix("/v1/models/"): (.model(String(path.dropFirst(11))), "GET")
      default: throw ServingError(.notFound, "there is nothing at \(printable(head.path, limit: 100))")
      }
    guard head.method == method || head.method == "HEAD" && method == "GET" else {
      throw ServingError(
        .methodNotAllowed,
        "\(printable(head.path, limit: 100)): expected \(method), found \(printable(head.method, limit: 20))")
    }
    return route
  }

  /// Answers what needs no body: refusals, and requests that have none.
  ///
  /// - Returns: nil where the body is to be read.
  public func respond(before head: ServiceHead) -> ServiceResponse? {
    if head.method == "OPTIONS", allowedOrigin(head) != nil { return finish(preflight(head), head) }
    do throws(ServingError) {
      let route = try route(head)
      if case .health = route {} else { try authorize(head) }
      switch route {
      case .health:
        let isUp = !isDraining.load(ordering: .relaxed)
        return finish(json(isUp ? 200 : 503, ["status": isUp ? "ok" : "shutting down"]), head)
      case .metrics:
        return finish(ServiceResponse(200, "text/plain; version=0.0.4", .whole(metrics.text)), head)
      case .models: return finish(json(200, models(head)), head)
      case .model(let name):
        guard name == model.name else {
          throw ServingError(
            .notFound, "there is no model '\(printable(name, limit: 100))' but '\(model.name)'")
        }
        return finish(json(200, models(head)["data"]?.array?.first ?? .null), head)
      case .chat, .completions, .messages, .countTokens: return nil
      }
    } catch {
      return refuse(error, head)
    }
  }

  /// The response to what is wrong with a request.
  public func refuse(_ error: ServingError, _ head: ServiceHead) -> ServiceResponse {
    let api = Self.api(head)
    var response = json(api.status(error.kind), api.body(error))
    if error.kind == .overloaded || error.kind == .shuttingDown {
      response.headers.append(("retry-after", "1"))
    }
    return finish(response, head)
  }

  /// Answers a request. Cancelling the task cancels the answer.
  public func respond(_ head: ServiceHead, _ body: [UInt8]) async -> ServiceResponse {
    do throws(ServingError) {
      return finish(try await answer(try route(head), body), head)
    } catch {
      return refuse(error, head)
    }
  }

  private func answer(_ route: Route, _ body: [UInt8]) async throws(ServingError) -> ServiceResponse {
    let json: JSON
    do throws(FormatError) {
      json = try JSON.parse(body, path: "the body")
    } catch {
      throw ServingError(error, as: .invalid)
    }
    switch route {
    case .chat:
      let request = try AnswerRequest(chat: json)
      return try await answer(request) { name, _ in
        ChatEncoder(name, streamsUsage: request.streamsUsage, tellsProbabilities: request.logprobs != nil)
      }
    case .completions:
      let request = try AnswerRequest(completion: json)
      return try await answer(request) { name, prompt in
        CompletionsEncoder(
          name, streamsUsage: request.streamsUsage, tellsProbabilities: request.logprobs != nil,
          echo: request.echoes ? prompt.text : "")
      }
    case .messages:
      return try await answer(try AnswerRequest(messages: json)) { name, _ in MessagesEncoder(name) }
    case .countTokens:
      let prompt = try await model.prompt(try AnswerRequest(messages: json, counts: true))
      return self.json(200, ["input_tokens": JSON(prompt.tokens.count)])
    case .health, .metrics, .models, .model: preconditionFailure("answered before the body")
    }
  }

  // ---- answers --------------------------------------------------------------------------------------------------------

  private func answer(
    _ request: AnswerRequest, _ makeEncoder: (AnswerName, ServedModel.PreparedPrompt) -> any AnswerEncoder
  ) async throws(ServingError) -> ServiceResponse {
    let prompt = try await model.prompt(request)
    let name = AnswerName(model: model.name, created: Self.now, token: AnswerName.random(digits: 24))
    var encoder = makeEncoder(name, prompt)
    let events = try await scheduler.submit(try job(request, prompt))
    if request.streams {
      let usage = AnswerUsage(prompt: prompt.tokens.count)
      return ServiceResponse(200, "text/event-stream", .stream(Self.stream(events, encoder, usage)))
    }
    for await event in events {
      switch event {
      case .pieces(let pieces, let probabilities): encoder.keep(pieces, probabilities)
      case .end(let finish, let usage): return json(200, encoder.whole(finish, usage))
      case .failed(let error): throw error
      }
    }
    throw ServingError(.cancelled, "the request was cancelled")
  }

  /// What comes of an answer, as it is made.
  package func events(_ request: AnswerRequest) async throws(ServingError) -> AsyncStream<AnswerEvent> {
    let prompt = try await model.prompt(request)
    return try await scheduler.submit(try job(request, prompt))
  }

  private func job(_ request: AnswerRequest, _ prompt: ServedModel.PreparedPrompt) throws(ServingError)
    -> AnswerJob
  {
    let tokenizer = model.tokenizer
    return AnswerJob(
      prompt: prompt.tokens, sampler: Sampler(model.sampling(request)),
      presencePenalty: request.presencePenalty, frequencyPenalty: request.frequencyPenalty,
      logitBias: request.logitBias,
      maximum: min(request.maximum ?? .max, model.capacity - prompt.tokens.count), ends: model.defaults.ends,
      logprobs: request.logprobs, text: model.answerText(request, startsReasoning: prompt.startsReasoning),
      constraint: try model.constraint(request), write: { tokenizer.decode([$0]) })
  }

  /// Events of an answer as an API sends them.
  private static func stream(
    _ events: AsyncStream<AnswerEvent>, _ first: any AnswerEncoder, _ usage: AnswerUsage
  ) -> AsyncStream<String> {
    let (stream, texts) = AsyncStream.makeStream(of: String.self)
    let task = Task {
      var encoder = first
      texts.yield(encoder.begin(usage))
      for await event in events {
        switch event {
        case .pieces(let pieces, let probabilities):
          let text = encoder.add(pieces, probabilities)
          if !text.isEmpty { texts.yield(text) }
        case .end(let finish, let usage): texts.yield(encoder.end(finish, usage))
        case .failed(let error): texts.yield(encoder.failure(error))
        }
      }
      texts.finish()
    }
    texts.onTermination = { _ in task.cancel() }
    return stream
  }

  // ---- what responses have in common ----------------------------------------------------------------------------------

  private func models(_ head: ServiceHead) -> JSON {
    if Self.api(head) == .anthropic {
      return [
        "data": [
          [
            "type": "model", "id": .string(model.name), "display_name": .string(model.name),
            "created_at": "1970-01-01T00:00:00Z",
          ]
        ],
        "has_more": false, "first_id": .string(model.name), "last_id": .string(model.name),
      ]
    }
    return [
      "object": "list",
      "data": [
        [
          "id": .string(model.name), "object": "model", "created": JSON(began),
          "owned_by": .string(Tool.name),
          "context_length": JSON(model.capacity),
        ]
      ],
    ]
  }

  private func authorize(_ head: ServiceHead) throws(ServingError) {
    guard !options.keys.isEmpty else { return }
    var given = head.headers["x-api-key"] ?? ""
    if let field = head.headers["authorization"], field.lowercased().hasPrefix("bearer ") {
      given = String(field.dropFirst(7))
    }
    guard options.keys.contains(where: { Self.areEqual($0, given) }) else {
      throw ServingError(
        .unauthorized,
        given.isEmpty
          ? "an API key is needed: Authorization: Bearer KEY, or x-api-key: KEY" : "the API key is wrong")
    }
  }

  /// In a time that does not tell where they differ.
  private static func areEqual(_ one: String, _ other: String) -> Bool {
    let (one, other) = (Array(one.utf8), Array(other.utf8))
    var difference = one.count ^ other.count
    for index in one.indices {
      difference |= Int(one[index] ^ (other.isEmpty ? 0 : other[index % other.count]))
    }
    return difference == 0
  }

  private func allowedOrigin(_ head: ServiceHead) -> String? {
    guard let origin = head.headers["origin"] else { return nil }
    if options.origins.contains("*") { return "*" }
    return options.origins.contains(origin) ? origin : nil
  }

  private func preflight(_ head: ServiceHead) -> ServiceResponse {
    var response = ServiceResponse(204, "text/plain", .whole(""))
    response.headers = [
      ("access-control-allow-methods", "GET, POST"),
      (
        "access-control-allow-headers",
        head.headers["access-control-request-headers"] ?? "authorization, content-type, x-api-key"
      ),
      ("access-control-max-age", "600"),
    ]
    return response
  }

  private func finish(_ response: ServiceResponse, _ head: ServiceHead) -> ServiceResponse {
    metrics.response(response.status)
    guard let origin = allowedOrigin(head) else { return response }
    var response = response
    response.headers += [("access-control-allow-origin", origin), ("vary", "origin")]
    return response
  }

  private func json(_ status: Int, _ json: JSON) -> ServiceResponse {
    ServiceResponse(status, "application/json", .whole(json.text()))
  }

  private static var now: Int { time(nil) }
}
