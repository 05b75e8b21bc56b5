import Synchronization

/// What a server has done, as Prometheus reads it.
public final class ServingMetrics: Sendable {
  enum Counter: String, CaseIterable {
    case finished, failed, cancelled, refused, timedOut, promptTokens, cachedTokens, answerTokens
  }

  private struct Histogram {
    static let bounds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
    var counts = [Int](repeating: 0, count: bounds.count)
    var count = 0
    var sum = 0.0

    mutating func add(_ seconds: Double) {
      count += 1
      sum += seconds
      for (index, bound) in Self.bounds.enumerated() where seconds <= bound { counts[index] += 1 }
    }

    func lines(_ name: String, _ help: String) -> String {
      var text = "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
      for (bound, count) in zip(Self.bounds, counts) { text += "\(name)_bucket{le=\"\(bound)\"} \(count)\n" }
      text += "\(name)_bucket{le=\"+Inf\"} \(count)\n\(name)_sum \(sum)\n\(name)_count \(count)\n"
      return text
    }
  }

  private struct State {
    var counters: [Counter: Int] = [:]
    var responses: [Int: Int] = [:]
    var first = Histogram()
    var whole = Histogram()
    var passes = 0
    var passTokens = 0
    var passSequences = 0
    var passSeconds = 0.0
    var active = 0
    var waiting = 0
    var cacheBytes = 0
  }

  private let state = Mutex(State())

  public init() {}

  func count(_ counter: Counter, _ amount: Int = 1) {
    guard amount > 0 else { return }
    state.withLock { $0.counters[counter, default: 0] += amount }
  }

  /// Counts a response by its status of HTTP.
  public func response(_ status: Int) { state.withLock { $0.responses[status, default: 0] += 1 } }

  func firstToken(after time: Duration) { state.withLock { $0.first.add(time.seconds) } }

  func duration(_ time: Duration) { state.withLock { $0.whole.add(time.seconds) } }

  func pass(tokens: Int, sequences: Int, _ time: Duration) {
    state.withLock {
      $0.passes += 1
      $0.passTokens += tokens
      $0.passSequences += sequences
      $0.passSeconds += time.seconds
    }
  }

  func state(active: Int, waiting: Int, cacheBytes: Int) {
    state.withLock { ($0.active, $0.waiting, $0.cacheBytes) = (active, waiting, cacheBytes) }
  }

  /// The text format of Prometheus, version 0.0.4.
  public var text: String {
    let state = state.withLock { $0 }
    func counter(_ name: String, _ help: String, _ value: some CustomStringConvertible) -> String {
      "# HELP \(name) \(help)\n# TYPE \(name) counter\n\(name) \(value)\n"
    }
    func gauge(_ name: String, _ help: String, _ value: Int) -> String {
      "# HELP \(name) \(help)\n# TYPE \(name) gauge\n\(name) \(value)\n"
    }
    var text =
      "# HELP ingot_answers_total Requests for answers by how they ended.\n# TYPE ingot_answers_total counter\n"
    let outcomes: [(String, Counter)] = [
      ("finished", .finished), ("failed", .failed), ("cancelled", .cancelled), ("refused", .refused),
      ("timeout", .timedOut),
    ]
    for (name, outcome) in outcomes {
      text += "ingot_answers_total{outcome=\"\(name)\"} \(state.counters[outcome] ?? 0)\n"
    }
    text +=
      "# HELP ingot_responses_total Responses by status of HTTP.\n# TYPE ingot_responses_total counter\n"
    for (status, count) in state.responses.sorted(by: { $0.key < $1.key }) {
      text += "ingot_responses_total{status=\"\(status)\"} \(count)\n"
    }
    text += counter(
      "ingot_prompt_tokens_total", "Tokens of prompts whose answers have ended.",
      state.counters[.promptTokens] ?? 0)
    text += counter(
      "ingot_cached_tokens_total", "Tokens of prompts that had been computed for earlier ones.",
      state.counters[.cachedTokens] ?? 0)
    text += counter("ingot_answer_tokens_total", "Tokens of answers.", state.counters[.answerTokens] ?? 0)
    text += counter("ingot_passes_total", "Passes through the model.", state.passes)
    text += counter("ingot_pass_tokens_total", "Tokens that went through the model.", state.passTokens)
    text += counter(
      "ingot_pass_sequences_total", "Sequences of all passes: divided by the passes, how many share one.",
      state.passSequences)
    text += counter("ingot_pass_seconds_total", "Time of all passes.", state.passSeconds)
    text += gauge("ingot_active_answers", "Answers that are being made.", state.active)
    text += gauge("ingot_waiting_requests", "Requests that wait for a place.", state.waiting)
    text += gauge(
      "ingot_cache_bytes", "Bytes kept of the tokens of answers, active ones and the last.", state.cacheBytes)
    text += state.first.lines("ingot_first_token_seconds", "From a request's arrival to its first token.")
    text += state.whole.lines("ingot_answer_seconds", "From a request's arrival to the end of its answer.")
    return text
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
