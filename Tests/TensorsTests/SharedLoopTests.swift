import IngotSystem
import Synchronization
import Testing

@Suite struct SharedLoopTests {
  private static func failure(_ turn: Int) -> FormatError {
    FormatError(path: "", expected: "turn \(turn)", found: "another")
  }

  @Test(arguments: [1, 2, 5], [0, 1, 3, 100])
  func everyTurnIsTakenOnce(_ threads: Int, _ count: Int) throws {
    let taken = Mutex([Int](repeating: 0, count: count))
    try Threads(threads).share(count, joins: false) { turn in taken.withLock { $0[turn] += 1 } }
    #expect(taken.withLock { $0.allSatisfy { $0 == 1 } })
  }

  @Test func aTurnMayShareItsOwn() async throws {
    let threads = Threads(3)
    let sum = Mutex(0)
    try threads.share(7, joins: false) { outer throws(FormatError) in
      try threads.share(11) { inner in sum.withLock { $0 += outer * 11 + inner } }
    }
    let all = (0..<77).reduce(0, +)
    #expect(sum.withLock { $0 } == all)
    // On a thread of a task, and on the only one.
    let alone = Threads(1)
    try await alone.run { try alone.share(5) { _ in sum.withLock { $0 += 1 } } }
    #expect(sum.withLock { $0 } == all + 5)
  }

  @Test(arguments: [1, 4])
  func theFirstFailureIsThrownAndTheRestLeftOut(_ count: Int) {
    let threads = Threads(count)
    let taken = Mutex(Set<Int>())
    let error = #expect(throws: FormatError.self) {
      try threads.share(1000, joins: false) { turn throws(FormatError) in
        taken.withLock { _ = $0.insert(turn) }
        if turn >= 10 { throw Self.failure(turn) }
      }
    }
    #expect(error?.expected == "turn 10")
    // Each thread may have begun one more before it heard.
    #expect(taken.withLock { $0.count } <= 11 + count)
  }

  @Test func withoutThreadsTheCallerTakesAll() throws {
    let none: Threads? = nil
    let order = Mutex<[Int]>([])
    try none.share(4) { turn in order.withLock { $0.append(turn) } }
    #expect(order.withLock { $0 } == [0, 1, 2, 3])
  }
}
