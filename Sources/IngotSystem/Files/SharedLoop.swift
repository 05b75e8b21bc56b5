import Dispatch
import Synchronization

/// The turns of a loop that some threads share out.
private final class SharedLoop: Sendable {
  typealias Body = @Sendable (Int) throws(FormatError) -> Void

  private struct State {
    /// Nil once the loop has ended: a thread may come to it long after that.
    var body: Body?
    var next = 0
    var underWay = 0
    var errors: [Int: FormatError] = [:]
  }
  private let count: Int
  private let state: Mutex<State>
  private let ended = DispatchSemaphore(value: 0)

  init(_ count: Int, _ body: @escaping Body) {
    self.count = count
    state = Mutex(State(body: body))
  }

  /// Takes turns until there are none left.
  func work() {
    while let (turn, body) = take() {
      var failure: FormatError?
      do throws(FormatError) {
        try body(turn)
      } catch {
        failure = error
      }
      end(turn, failure)
    }
  }

  private func take() -> (Int, Body)? {
    state.withLock { state in
      guard let body = state.body, state.next < count, state.errors.isEmpty else { return nil }
      defer { (state.next, state.underWay) = (state.next + 1, state.underWay + 1) }
      return (state.next, body)
    }
  }

  private func end(_ turn: Int, _ failure: FormatError?) {
    let isLast = state.withLock { state in
      state.underWay -= 1
      if let failure { state.errors[turn] = failure }
      return state.underWay == 0 && (state.next == count || !state.errors.isEmpty)
    }
    if isLast { ended.signal() }
  }

  /// Waits for all turns. At least one has been, or will be, taken by some thread.
  func wait() throws(FormatError) {
    ended.wait()
    let first = state.withLock { state in
      state.body = nil
      return state.errors.min { $0.key < $1.key }?.value
    }
    if let first { throw first }
  }
}

extension Threads {
  /// Runs `body` for each of 0 ..< `count` on these threads, and waits for all.
  ///
  /// A caller that is one of these threads, `joins`, takes turns itself; the others come to it when they have done what waited
  /// for them before, so that no turn is ever waited for that nobody has begun. Turns are begun in their order.
  /// - Throws: the error of the first turn, in their order, that failed; those that were not begun yet are left out then.
  public func share(
    _ count: Int, joins: Bool = true,
    _ body: @escaping @Sendable (_ turn: Int) throws(FormatError) -> Void
  ) throws(FormatError) {
    if count == 0 { return }
    let loop = SharedLoop(count, body)
    for _ in 0..<min(joins ? count - 1 : count, joins ? self.count - 1 : self.count) {
      add { loop.work() }
    }
    if joins { loop.work() }
    try loop.wait()
  }
}

extension Threads? {
  /// `Threads.share` on these threads, or on the caller's alone.
  public func share(
    _ count: Int, _ body: @escaping @Sendable (_ turn: Int) throws(FormatError) -> Void
  ) throws(FormatError) {
    if let self { return try self.share(count, body) }
    for turn in 0..<count { try body(turn) }
  }
}
