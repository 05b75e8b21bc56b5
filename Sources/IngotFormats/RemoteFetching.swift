import IngotSystem
import IngotTensors
import Synchronization

/// Fetches what lies on other machines, for whoever fills files: on threads that wait, and some chunks of a large tensor before
/// their turn, since one connection carries little of what a link does.
struct RemoteFetching: Sendable {
  let threads = Threads(RemoteFiles.connections)
  /// How many chunks more may be fetched before their turn.
  private let ahead: Ahead

  private final class Ahead: Sendable {
    let left: Mutex<Int>
    init(_ count: Int) { left = Mutex(count) }

    func take() -> Bool {
      left.withLock { left in
        guard left > 0 else { return false }
        left -= 1
        return true
      }
    }

    func giveBack() { left.withLock { $0 += 1 } }
  }

  /// - Parameter ahead: chunks of all tensors together that are fetched before their turn, at most.
  init(ahead: Int) { self.ahead = Ahead(ahead) }

  func fetch(_ sources: [Bytes]) async throws -> [Bytes] {
    try await threads.run { try sources.map { bytes throws(FormatError) in try bytes.fetched() } }
  }

  /// Runs `body` for each chunk of a tensor in order, with its sources fetched.
  func forEach(
    _ chunks: [Range<Int>], of tensor: Tensor,
    _ body: (_ rows: Range<Int>, _ sources: [Bytes], _ fetched: [Bytes]) async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: (Int, [Bytes]).self) { group in
      var fetched: [Int: [Bytes]] = [:]
      var begun = 0
      var taken = 0
      func begin() {
        let index = begun
        begun += 1
        group.addTask { (index, try await fetch(tensor.sources(rows: chunks[index]))) }
      }
      func giveBack() {
        ahead.giveBack()
        taken -= 1
      }
      defer { while taken > 0 { giveBack() } }
      for (index, rows) in chunks.enumerated() {
        if begun == index { begin() } else { giveBack() }
        while begun < chunks.count, ahead.take() {
          taken += 1
          begin()
        }
        while fetched[index] == nil, let (place, bytes) = try await group.next() { fetched[place] = bytes }
        try await body(rows, tensor.sources(rows: rows), fetched.removeValue(forKey: index)!)
      }
    }
  }
}
