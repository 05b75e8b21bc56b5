import IngotSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How long a transfer that fails is tried again: each failure in succession doubles the wait, progress makes it short again.
struct Patience {
  /// Failures in succession after which it ends.
  private let limit: Int
  private(set) var failures = 0
  /// How often the last problem, if it is likely to be meant, came in succession.
  private var same = 0
  private var last: HubProblem.Kind?
  private static let sameLimit = 4
  private static let longest = 20.0
  /// The longest wait that a server may ask for.
  static let longestAskedFor = 300

  init(limit: Int) { self.limit = limit }

  /// For files: about a minute and a half.
  static let forFiles = Patience(limit: 12)
  /// For what comes before anything is done: some seconds.
  static let forQuestions = Patience(limit: 6)

  mutating func progress() {
    failures = 0
    last = nil
  }

  /// Waits before the next attempt, as long as the server asks for where it does.
  ///
  /// - Returns: false when it has been tried often enough.
  /// - Throws: FormatError when the run is told to stop.
  mutating func wait(after problem: HubProblem) throws(FormatError) -> Bool {
    failures += 1
    same = problem.kind == last ? same + 1 : 1
    last = problem.kind
    let asked = problem.retryAfter ?? 0
    guard failures < limit, problem.kind == .passing || same < Patience.sameLimit,
      asked <= Patience.longestAskedFor
    else { return false }
    var seconds = 0.1
    for _ in 1..<failures { seconds = min(2 * seconds, Patience.longest) }
    // Several connections that failed together do not come back together.
    seconds *= Double.random(in: 0.5...1)
    try Hub.sleep(max(seconds, Double(asked)))
    return true
  }
}

extension Hub {
  private static let stop = Mutex<(@Sendable () -> Bool)?>(nil)

  /// Gives what is asked while the network is waited for: true ends the transfer with an error that says so.
  public static func stops(when body: @escaping @Sendable () -> Bool) { stop.withLock { $0 = body } }

  static var isStopped: Bool { stop.withLock { $0 }?() ?? false }

  static func requireRunning() throws(FormatError) {
    guard isStopped else { return }
    var error = FormatError(path: "network", expected: "the run to go on", found: "a request to stop")
    error.cause = .stopped
    throw error
  }

  /// Waits in small steps, so that a request to stop ends it.
  static func sleep(_ seconds: Double) throws(FormatError) {
    var left = seconds
    while left > 0 {
      try requireRunning()
      _ = usleep(UInt32(1e6 * min(left, 0.2)))
      left -= 0.2
    }
    try requireRunning()
  }
}
