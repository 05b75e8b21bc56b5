import IngotHub
import IngotModels
import IngotSystem
import IngotTensors
import IngotWorkflows
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Standard error: messages, and progress where a person watches. Standard output where a result must have arrived.
enum Terminal {
  /// Standard input, output and error are there from here on: otherwise the next file that is opened would be taken for
  /// one of them. A closed output becomes one that takes nothing, so that printing fails.
  ///
  /// A reader that has gone away (`ingot recipes | head`) ends the command as it does other tools, without a word.
  static func prepare() {
    _ = signal(SIGPIPE, SIG_DFL)
    for descriptor in [Int32(0), 1, 2] where fcntl(descriptor, F_GETFD) == -1 {
      // The lowest number that is free, which is this one.
      unsafe _ = open("/dev/null", descriptor == 1 ? O_RDONLY : O_RDWR)
    }
  }

  /// - Throws: FormatError when something of what was printed did not reach standard output.
  static func finish() throws(FormatError) { try flushStandardOutput() }

  /// A line that is lost where it cannot be written.
  static func error(_ text: String) { _ = put(text, 2) }

  /// A result on standard output, past the buffer of `print`.
  ///
  /// - Throws: FormatError when the system does not take all of it.
  static func output(_ text: String) throws(FormatError) {
    guard put(text, 1) else {
      throw FormatError.system(path: "standard output", "\(text.utf8.count + 1) bytes to be written")
    }
  }

  /// Some text of a result on standard output at once; what cannot be written is found by `finish`.
  static func piece(_ text: String) {
    print(text, terminator: "")
    _ = fflush(nil)
  }

  /// Text without a line's end on standard error.
  static func errorPiece(_ text: String) { _ = put(text, 2, end: "") }

  /// - Returns: whether all of the text and a line feed were written; errno says why not.
  private static func put(_ text: String, _ descriptor: Int32, end: String = "\n") -> Bool {
    var line = Array((text + end).utf8)[...]
    while !line.isEmpty {
      let written = unsafe line.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { return false }
      line = line.dropFirst(written)
    }
    return true
  }

  static var isWatched: Bool { isatty(2) == 1 }
}

/// Shows how far a run is, at what rate, and how long it will take: one line on a terminal, nothing elsewhere.
final class Progress: Sendable {
  private let state: State
  private let ticker: Task<Void, Never>?

  /// - Parameter isInBytes: whether what is counted are bytes, of which a rate is shown.
  init(_ what: String, total: Int, isInBytes: Bool = true) {
    let state = State(what, total, isInBytes)
    self.state = state
    guard Terminal.isWatched else {
      ticker = nil
      return
    }
    ticker = Task.detached {
      while !Task.isCancelled {
        Terminal.replaceLine(state.line)
        try? await Task.sleep(for: .milliseconds(250))
      }
    }
  }

  deinit { ticker?.cancel() }

  var seconds: Double { state.seconds }

  func add(_ bytes: Int) { state.done.add(bytes, ordering: .relaxed) }

  func set(_ bytes: Int, of total: Int) {
    state.total.store(total, ordering: .relaxed)
    state.done.store(bytes, ordering: .relaxed)
  }

  /// Takes the line away.
  func finish() {
    guard let ticker, !ticker.isCancelled else { return }
    ticker.cancel()
    Terminal.replaceLine("")
  }

  /// What the ticker shows; apart from Progress, so that a forgotten one can end.
  private final class State: Sendable {
    let what: String
    let isInBytes: Bool
    let total: Atomic<Int>
    let done = Atomic<Int>(0)
    let begin = ContinuousClock.now
    /// Bytes that had come over the network before.
    let received = Hub.receivedBytes

    init(_ what: String, _ total: Int, _ isInBytes: Bool) {
      self.what = what
      self.isInBytes = isInBytes
      self.total = Atomic(total)
    }

    var seconds: Double {
      let parts = (ContinuousClock.now - begin).components
      return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
    }

    var line: String {
      let done = done.load(ordering: .relaxed)
      let total = total.load(ordering: .relaxed)
      let seconds = seconds
      guard total > 0 else { return what }
      var line = "\(what)  \(min(100, Int(100 * Double(done) / Double(total)))) %"
      if done > 0 && seconds > 0.5 {
        let rate = Double(done) / seconds
        line +=
          (isInBytes ? "  \(decimal(Int(rate)))/s" : "")
          + "  \(duration(Double(max(total - done, 0)) / rate)) left"
        let network = Hub.receivedBytes - received
        if network > 0 { line += "  network \(decimal(Int(Double(network) / seconds)))/s" }
      }
      return line
    }
  }
}

extension Terminal {
  fileprivate static func replaceLine(_ text: String) {
    let bytes = Array("\r\u{1B}[K\(text)".utf8)
    unsafe bytes.withUnsafeBytes { unsafe _ = write(2, $0.baseAddress, $0.count) }
  }
}

extension Progress {
  /// Runs a workflow with its progress on the terminal and its warnings on standard error.
  ///
  /// - Parameter resumes: whether an interrupted run resumes; otherwise a first signal ends it at once.
  static func showing<Result>(
    _ what: String, _ work: WorkerOptions, resumes: Bool = true, isInBytes: Bool = true,
    _ run: (RunControl) async throws -> Result
  ) async throws -> Result {
    try await showing(what, work, resumes: resumes, isInBytes: isInBytes) { control, _ in
      try await run(control)
    }
  }

  /// - Parameter run: gets also what takes the line of progress away, before it prints.
  static func showing<Result>(
    _ what: String, _ work: WorkerOptions, resumes: Bool = true, isInBytes: Bool = true,
    _ run: (RunControl, @escaping () -> Void) async throws -> Result
  ) async throws -> Result {
    let progress = Progress(what, total: 0, isInBytes: isInBytes)
    defer { progress.finish() }
    if resumes { Interrupt.handle() }
    var control = RunControl()
    control.workers = work.workers
    control.progress = { progress.set($0, of: $1) }
    control.shouldStop = Interrupt.isRequested
    control.warning = { Terminal.error("warning: \($0)") }
    return try await run(control) { progress.finish() }
  }
}
