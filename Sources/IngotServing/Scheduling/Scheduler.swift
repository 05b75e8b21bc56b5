import IngotInference
import IngotSystem

/// Makes answers to several requests at once: all that are under way share passes through the model, and one that comes joins the next
/// pass. Each gets the tokens that it would get alone.
///
/// What was computed of a prompt is used again by the next one that begins with the same tokens, as far as that changes no bits.
///
/// Requests that find no place wait in the order in which they came; more than may wait are refused.
public actor Scheduler {
  public struct Limits: Hashable, Sendable {
    /// Answers that are made at once.
    public var parallel = 4
    /// Requests that wait.
    public var queue = 64
    /// From a request's arrival to the end of its answer.
    public var timeout = Duration.seconds(600)

    public init() {}
  }

  /// An answer on its way. Only the scheduler touches it.
  private final class Entry {
    let number: Int
    let job: AnswerJob
    let events: AsyncStream<AnswerEvent>.Continuation
    let arrival: ContinuousClock.Instant
    var chooser: TokenChooser
    var text: AnswerText
    var sequence: ModelSequence
    /// Tokens of the prompt that have passed.
    var done = 0
    var cached = 0
    /// The token that goes through the model next; nil before the prompt has passed.
    var next: Int?
    var count = 0

    init(
      _ number: Int, _ job: AnswerJob, _ events: AsyncStream<AnswerEvent>.Continuation,
      _ sequence: ModelSequence
    ) {
      (self.number, self.job, self.events, self.sequence) = (number, job, events, sequence)
      arrival = .now
      chooser = TokenChooser(job)
      text = job.text
    }

    var usage: AnswerUsage { AnswerUsage(prompt: job.prompt.count, cached: cached, answer: count) }
  }

  private let model: ContinuedModel
  private let limits: Limits
  private let metrics: ServingMetrics
  private var waiting: [Entry] = []
  private var active: [Entry] = []
  private var nextNumber = 0
  private var isRunning = false
  private var isDraining = false
  private var cancelled: Set<Int> = []
  /// Sequences of answers that have ended, for prompts that begin as they do; the last used at the end.
  private var kept: [ModelSequence] = []

  init(_ model: ContinuedModel, _ limits: Limits, _ metrics: ServingMetrics) {
    (self.model, self.limits, self.metrics) = (model, limits, metrics)
  }

  /// Takes a request. Whoever stops reading its events cancels it.
  ///
  /// - Throws: ServingError where too many wait.
  func submit(_ job: AnswerJob) throws(ServingError) -> AsyncStream<AnswerEvent> {
    guard !isDraining else { throw ServingError(.shuttingDown, "the server is shutting down") }
    guard active.count + waiting.count < limits.parallel + limits.queue else {
      metrics.count(.refused)
      throw ServingError(
        .overloaded, "\(waiting.count) requests wait already, as many as may; try again later")
    }
    let (stream, events) = AsyncStream.makeStream(of: AnswerEvent.self)
    let number = nextNumber
    nextNumber += 1
    events.onTermination = { [weak self] reason in
      guard case .cancelled = reason else { return }
      Task { await self?.cancel(number) }
    }
    waiting.append(Entry(number, job, events, model.sequence()))
    update()
    if !isRunning {
      isRunning = true
      Task { await run() }
    }
    return stream
  }

  /// Takes no more requests, lets those under way end, and returns when they have, or after a time.
  public func drain(_ patience: Duration) async {
    isDraining = true
    let deadline = ContinuousClock.now + patience
    while isRunning, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(20)) }
    for entry in active + waiting {
      entry.events.yield(.failed(ServingError(.shuttingDown, "the server is shutting down")))
      entry.events.finish()
      cancelled.insert(entry.number)
    }
    waiting = []
    while isRunning { try? await Task.sleep(for: .milliseconds(20)) }
  }

  private func cancel(_ number: Int) {
    if let place = waiting.firstIndex(where: { $0.number == number }) {
      waiting.remove(at: place)
      metrics.count(.cancelled)
    } else if active.contains(where: { $0.number == number }) {
      cancelled.insert(number)
    }
    update()
  }

  // ---- passes ---------------------------------------------------------------------------------------------------------

  private func run() async {
    while true {
      dropCancelled()
      dropLate()
      while active.count < limits.parallel, !waiting.isEmpty { begin(waiting.removeFirst()) }
      update()
      if active.isEmpty { break }
      await pass()
    }
    isRunning = false
  }

  /// Gives a request a place, with what an earlier one has of its prompt.
  private func begin(_ entry: Entry) {
    let counts = kept.map { model.reusable($0, for: entry.job.prompt) }
    if let best = counts.indices.max(by: { counts[$0] < counts[$1] }), counts[best] > 0 {
      entry.sequence = kept.remove(at: best)
      model.cut(&entry.sequence, to: counts[best])
      (entry.done, entry.cached) = (counts[best], counts[best])
      metrics.count(.cachedTokens, counts[best])
    }
    active.append(entry)
    forget()
  }

  /// Keeps the sequence of an answer that has ended.
  private func keep(_ entry: Entry) {
    var sequence = model.sequence()
    swap(&sequence, &entry.sequence)
    if !sequence.tokens.isEmpty { kept.append(sequence) }
  }

  /// No more sequences are kept than answers could be made with them.
  private func forget() {
    kept.removeFirst(max(0, min(kept.count, active.count + kept.count - limits.parallel)))
  }

  private func dropCancelled() {
    let count = active.count
    for entry in active where cancelled.contains(entry.number) { keep(entry) }
    active.removeAll { cancelled.contains($0.number) }
    forget()
    cancelled = []
    metrics.count(.cancelled, count - active.count)
  }

  private func dropLate() {
    let now = ContinuousClock.now
    func isLate(_ entry: Entry) -> Bool { now - entry.arrival > limits.timeout }
    for entry in (active + waiting).filter(isLate) {
      entry.events.yield(
        .failed(ServingError(.timeout, "the answer took longer than \(limits.timeout.components.seconds) s")))
      entry.events.finish()
      metrics.count(.timedOut)
    }
    active.removeAll(where: isLate)
    waiting.removeAll(where: isLate)
  }

  /// One token of every answer under way, and a part of one prompt.
  private func pass() async {
    var members: [Entry] = []
    var parts: [[Int]] = []
    var hasPrompt = false
    for entry in active {
      if let next = entry.next {
        members.append(entry)
        parts.append([next])
      } else if !hasPrompt {
        hasPrompt = true
        members.append(entry)
        parts.append(Array(ContinuedModel.nextTokens(of: entry.job.prompt, done: entry.done)))
      }
    }
    let wanted = zip(members, parts).map { $0.next != nil || $0.done + $1.count == $0.job.prompt.count }
    // Handed over, so that the layers add to them in place.
    var sequences = members.map { entry in
      defer { entry.sequence = model.sequence() }
      return entry.sequence
    }
    let begin = ContinuousClock.now
    do throws(FormatError) {
      let logits = try await model.feed(&sequences, parts, wantsLogits: wanted)
      metrics.pass(
        tokens: parts.reduce(0) { $0 + $1.count }, sequences: parts.count, begin.duration(to: .now))
      for (index, entry) in members.enumerated() {
        swap(&entry.sequence, &sequences[index])
        if entry.next == nil { entry.done += parts[index].count }
        if wanted[index], !cancelled.contains(entry.number) { advance(entry, logits[index]) }
      }
    } catch {
      for entry in members {
        entry.events.yield(.failed(ServingError(error, as: .failed)))
        end(entry, .failed)
      }
    }
  }

  /// Chooses the next token of an answer.
  private func advance(_ entry: Entry, _ logits: [Float]) {
    guard let (token, probability) = entry.chooser.choose(logits, isFree: entry.text.isReasoning) else {
      entry.events.yield(
        .failed(ServingError(.failed, "no token of the vocabulary continues what the answer has to be")))
      return end(entry, .failed)
    }
    if entry.count == 0 { metrics.firstToken(after: entry.arrival.duration(to: .now)) }
    entry.count += 1
    entry.next = token
    metrics.count(.answerTokens)
    let isEnd = entry.job.ends.contains(token)
    let isLast = isEnd || entry.chooser.isComplete
    var pieces = isEnd ? [] : entry.text.add(token)
    var finish: AnswerFinish?
    if isEnd {
      finish = .end
    } else if let stop = entry.text.stop {
      finish = .stop(stop)
    } else if isLast {
      finish = .end
    } else if entry.count >= entry.job.maximum {
      finish = .length
    }
    if finish != nil {
      pieces += entry.text.end()
      // What was held back may have become a stop.
      if let stop = entry.text.stop { finish = .stop(stop) }
    }
    let probabilities = probability.flatMap { isEnd ? nil : [$0] } ?? []
    if !pieces.isEmpty || !probabilities.isEmpty { entry.events.yield(.pieces(pieces, probabilities)) }
    guard let finish else { return }
    entry.events.yield(.end(finish, entry.usage))
    end(entry, .finished)
  }

  private func end(_ entry: Entry, _ count: ServingMetrics.Counter) {
    entry.events.finish()
    active.removeAll { $0 === entry }
    if count == .finished { keep(entry) }
    forget()
    metrics.count(count)
    metrics.count(.promptTokens, entry.job.prompt.count)
    metrics.duration(entry.arrival.duration(to: .now))
  }

  private func update() {
    metrics.state(
      active: active.count, waiting: waiting.count,
      cacheBytes: active.reduce(0) { $0 + $1.sequence.bytes } + kept.reduce(0) { $0 + $1.bytes })
  }
}
