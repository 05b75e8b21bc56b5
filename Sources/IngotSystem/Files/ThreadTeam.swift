import CIngotSystem
import Dispatch
import Synchronization

/// Threads that share out short pieces of work, one piece after the other.
///
/// Products of a single token take some microseconds: less than it takes to wake a thread. A member of a team that has nothing to
/// do therefore looks for the next piece for a moment before it sleeps. The threads end with the last reference.
public final class ThreadTeam: Sendable {
  /// Looks at the board before a member sleeps, and before one that waits lets others run: some tens of microseconds.
  private static let looks = 4000

  /// Parts of a piece of work, each done once.
  private final class Piece: Sendable {
    private let parts: Int
    private let body: @Sendable (Int) -> Void
    private let next = Atomic<Int>(0)
    private let done = Atomic<Int>(0)

    init(_ parts: Int, _ body: @escaping @Sendable (Int) -> Void) {
      (self.parts, self.body) = (parts, body)
    }

    var isDone: Bool { done.load(ordering: .acquiring) == parts }

    func work() {
      while true {
        let part = next.add(1, ordering: .relaxed).oldValue
        guard part < parts else { return }
        body(part)
        done.add(1, ordering: .releasing)
      }
    }
  }

  /// What the members look at.
  private final class Board: Sendable {
    /// Grows with every piece; -1 when there will be none.
    let number = Atomic<Int>(0)
    let piece = Mutex<Piece?>(nil)
    /// Members that sleep, or are about to, and have not been called.
    let sleepers = Atomic<Int>(0)
    let call = DispatchSemaphore(value: 0)

    /// Ends the wait of every member.
    func announce(_ number: Int) {
      self.number.store(number, ordering: .sequentiallyConsistent)
      for _ in 0..<sleepers.exchange(0, ordering: .sequentiallyConsistent) { call.signal() }
    }

    /// The number after `seen`.
    func next(after seen: Int) -> Int {
      while true {
        for _ in 0..<ThreadTeam.looks {
          let number = number.load(ordering: .acquiring)
          if number != seen { return number }
          ingot_pause()
        }
        sleepers.add(1, ordering: .sequentiallyConsistent)
        if number.load(ordering: .sequentiallyConsistent) == seen || !withdraw() { call.wait() }
      }
    }

    /// Whether a member that does not sleep after all was in time to say so: else it has been called.
    private func withdraw() -> Bool {
      var count = sleepers.load(ordering: .sequentiallyConsistent)
      while count > 0 {
        let (isExchanged, original) = sleepers.compareExchange(
          expected: count, desired: count - 1, ordering: .sequentiallyConsistent)
        if isExchanged { return true }
        count = original
      }
      return false
    }
  }

  private let board = Board()
  private let isBusy = Atomic<Bool>(false)
  /// Threads that work on a piece, with the one that brings it.
  public let count: Int

  public init(_ count: Int) {
    precondition(count > 0, "work needs a thread")
    var members = 1
    for _ in 1..<count {
      let isStarted = Threads.start { [board] in
        var seen = 0
        while true {
          seen = board.next(after: seen)
          if seen < 0 { return }
          board.piece.withLock { $0 }?.work()
        }
      }
      // Where the system allows no more, those that there are do the work.
      guard isStarted else { break }
      members += 1
    }
    self.count = members
  }

  deinit { board.announce(-1) }

  /// Does `body` for each part 0 ..< `parts`, on all threads, and comes back when it is done. A team that is at work on another piece
  /// leaves this one to the thread that brings it.
  public func perform(_ parts: Int, _ body: @escaping @Sendable (Int) -> Void) {
    guard parts > 1, count > 1, !isBusy.exchange(true, ordering: .acquiring) else {
      for part in 0..<parts { body(part) }
      return
    }
    let piece = Piece(parts, body)
    board.piece.withLock { $0 = piece }
    board.announce(board.number.load(ordering: .relaxed) + 1)
    piece.work()
    var looks = 0
    while !piece.isDone {
      looks += 1
      if looks < ThreadTeam.looks { ingot_pause() } else { ingot_let_others_run() }
    }
    board.piece.withLock { $0 = nil }
    isBusy.store(false, ordering: .releasing)
  }
}
