import Dispatch
import IngotSystem
import Synchronization

/// The rest of a file in pieces, which several connections fetch side by side and which come in the file's order.
final class HubPieces: Sendable {
  private struct State {
    var next = 0
    var pieces: [Int: Result<Bytes, FormatError>] = [:]
    var isEnded = false
  }

  private let client: HubClient
  private let source: HubSource
  private let start: Int
  private let piece: Int
  private let count: Int
  private let state = Mutex(State())
  /// Pieces that may be begun.
  private let room = DispatchSemaphore(value: 0)
  /// Pieces that have come.
  private let ready = DispatchSemaphore(value: 0)

  init(_ client: HubClient, _ source: HubSource, from start: Int, piece: Int) {
    (self.client, self.source, self.start, self.piece) = (client, source, start, piece)
    count = (source.size - start + piece - 1) / piece
  }

  /// Runs `body` for each piece on the thread of the caller.
  func deliver(to body: (Bytes) throws(FormatError) -> Void) throws(FormatError) {
    if count == 0 { return }
    let workers = min(RemoteFiles.connections, count)
    for _ in 0..<RemoteFiles.connections { room.signal() }
    let ended = Threads.begin(workers) { [self] in work() }
    defer {
      state.withLock { $0.isEnded = true }
      for _ in 0..<workers { room.signal() }
      ended()
    }
    for index in 0..<count {
      var piece: Result<Bytes, FormatError>?
      while true {
        piece = state.withLock { $0.pieces.removeValue(forKey: index) }
        if piece != nil { break }
        ready.wait()
      }
      try body(try piece!.get())
      room.signal()
    }
  }

  private func work() {
    while true {
      room.wait()
      let index = state.withLock { state -> Int? in
        guard !state.isEnded, state.next < count else { return nil }
        defer { state.next += 1 }
        return state.next
      }
      guard let index else { return }
      let begin = start + index * piece
      let result: Result<Bytes, FormatError>
      do throws(FormatError) {
        result = .success(
          try Bytes(overwriting: min(piece, source.size - begin)) {
            (span: inout MutableRawSpan) throws(FormatError) in
            try client.read(source, into: &span, at: begin)
          })
      } catch {
        result = .failure(error)
      }
      state.withLock { $0.pieces[index] = result }
      ready.signal()
    }
  }
}
