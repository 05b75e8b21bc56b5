import ArgumentParser
import Foundation
import IngotInference
import IngotModels
import IngotServing
import IngotSystem
import IngotTensors
import IngotWorkflows

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a model to programs, by OpenAI's and Anthropic's API.",
    discussion: """
      POST /v1/chat/completions, /v1/completions      OpenAI
      POST /v1/messages, /v1/messages/count_tokens    Anthropic
      GET  /v1/models, /health, /metrics

      Requests that come at once share passes through the model, each with the answer that it would get alone. \
      Only programs on this machine are listened to, unless --host says otherwise; then give --api-key. \
      The first SIGINT or SIGTERM lets answers under way end, the second does not. \
      What is said, thought or answered is never logged.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @OptionGroup(title: "Network") var network: NetworkOptions
  @OptionGroup(title: "Limits") var limits: ServingLimitOptions

  @Option(
    name: .long,
    help: ArgumentHelp("What clients call the model, instead of its file's name.", valueName: "name"))
  var name: String?

  @OptionGroup var template: ChatTemplateOption

  @OptionGroup var running: RunningOptions

  @Flag(name: .long, help: "Print a line for each response: method, path, status and seconds.")
  var log = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions

  #if WITHOUT_SERVER
    func run() async throws {
      throw FormatError(
        path: "ingot serve", expected: "a command with its server, as scripts/install builds it",
        found: "one that was built with INGOT_WITHOUT_SERVER set, as scripts/quickstart does")
    }
  #else
    func run() async throws { try await listen() }
  #endif
}

#if !WITHOUT_SERVER
  extension Serve {
    fileprivate func listen() async throws {
      Interrupt.handleServing()
      var control = RunControl()
      control.workers = work.workers
      let served = try ServedModel(
        model, name: name, context: limits.context, cache: running.cache,
        isFast: running.fast, memory: running.memory?.bytes, chatTemplate: template.chatTemplate,
        reading: reading.options, control)
      if let fast = served.fast { Terminal.error(fast.text) }
      let service = ServingService(served, network.options(limits.scheduling))
      let listener = HTTPListener(
        host: network.host, port: network.port, limits: limits.listening, service: service,
        log: log ? Self.note : nil)
      if !network.isLoopback && network.keys.isEmpty {
        Terminal.error("warning: whoever reaches \(network.host) can use the model: --api-key asks for a key")
      }
      let host = network.host
      try await listener.run(until: Interrupt.isRequested, patience: .seconds(limits.timeout)) { port in
        let address = host.contains(":") ? "[\(host)]" : host
        Terminal.error(
          "serving \(served.name) at http://\(address):\(port), context \(grouped(served.capacity))")
      }
    }
    @Sendable private static func note(_ method: String, _ path: String, _ status: Int, _ seconds: Double) {
      Terminal.error(
        "\(printable(method, limit: 20)) \(printable(path, limit: 80)) \(status) \(fixed(seconds, 3)) s")
    }
  }

  extension ServingLimitOptions {
    fileprivate var listening: HTTPListener.Limits {
      var limits = HTTPListener.Limits()
      (limits.bodyBytes, limits.connections) = (maxBody.bytes, maxConnections)
      limits.requestTime = .seconds(requestTime)
      return limits
    }
  }
#endif

/// Where a server listens, and to whom.
struct NetworkOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Address to listen at; 0.0.0.0 for all.", valueName: "address"))
  var host = "127.0.0.1"

  @Option(name: .long, help: ArgumentHelp("Port to listen at; 0 for a free one.", valueName: "n"))
  var port = 8080

  @Option(
    name: [.customLong("api-key")], parsing: .singleValue,
    help: ArgumentHelp(
      "Key that clients have to give; may be repeated. INGOT_API_KEY does the same.", valueName: "key"))
  var givenKeys: [String] = []

  @Option(
    name: .customLong("cors"), parsing: .singleValue,
    help: ArgumentHelp(
      "Origin of web pages that may read answers, or *; may be repeated.", valueName: "origin"))
  var origins: [String] = []

  func validate() throws {
    guard (0...65535).contains(port) else { throw ValidationError("--port must be 0 to 65535.") }
    guard givenKeys.allSatisfy({ !$0.isEmpty }) else { throw ValidationError("--api-key must not be empty.") }
  }

  var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }

  /// Those of the options and of the environment, which other users of the machine do not see.
  var keys: [String] {
    givenKeys + [ProcessInfo.processInfo.environment["INGOT_API_KEY"] ?? ""].filter { !$0.isEmpty }
  }

  func options(_ limits: Scheduler.Limits) -> ServingService.Options {
    var options = ServingService.Options()
    (options.limits, options.keys, options.origins) = (limits, keys, origins)
    return options
  }
}

/// What requests may cost.
struct ServingLimitOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("Tokens of a prompt and its answer together, at most.", valueName: "n"))
  var context: Int?

  @Option(name: .long, help: ArgumentHelp("Answers that are made at once.", valueName: "n"))
  var parallel = 4

  @Option(name: .long, help: ArgumentHelp("Requests that may wait for a place.", valueName: "n"))
  var maxQueue = 64

  @Option(
    name: .long, help: ArgumentHelp("Time from a request to the end of its answer.", valueName: "seconds"))
  var timeout = 600

  @Option(
    name: .customLong("request-time"),
    help: ArgumentHelp("Time for a request to come whole.", valueName: "seconds"))
  var requestTime = 60

  @Option(name: .long, help: ArgumentHelp("Size of a request, such as 16MB.", valueName: "size"))
  var maxBody: ByteSize = ByteSize(argument: "16MB")!

  @Option(name: .long, help: ArgumentHelp("Connections at once; more wait.", valueName: "n"))
  var maxConnections = 512

  func validate() throws {
    guard context.map({ $0 >= 2 }) ?? true else { throw ValidationError("--context must be at least 2.") }
    guard (1...1024).contains(parallel) else { throw ValidationError("--parallel must be 1 to 1024.") }
    guard (0...100_000).contains(maxQueue) else { throw ValidationError("--max-queue must be 0 to 100000.") }
    guard (1...1_000_000).contains(timeout) else {
      throw ValidationError("--timeout must be 1 to 1000000 seconds.")
    }
    guard (1...86_400).contains(requestTime) else {
      throw ValidationError("--request-time must be 1 to 86400 seconds.")
    }
    guard maxBody.bytes >= 1024 else { throw ValidationError("--max-body must be at least 1KB.") }
    guard (1...100_000).contains(maxConnections) else {
      throw ValidationError("--max-connections must be 1 to 100000.")
    }
  }

  var scheduling: Scheduler.Limits {
    var limits = Scheduler.Limits()
    (limits.parallel, limits.queue, limits.timeout) = (parallel, maxQueue, .seconds(timeout))
    return limits
  }
}
