import Dispatch
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Threads that let the system read slices of mapped files before they are touched, and forget others. They end with the last reference.
public final class ReadAhead: Sendable {
  private struct Wish: Sendable {
    var bytes: Bytes
    var isWanted: Bool
  }

  private final class Queue: Sendable {
    let waiting = Mutex<[Wish]>([])
    let ready = DispatchSemaphore(value: 0)
  }

  private let queue = Queue()
  private let threads: Int

  public init(_ count: Int) {
    var begun = 0
    for _ in 0..<count {
      let isStarted = Threads.start { [queue] in
        while true {
          queue.ready.wait()
          let next = queue.waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() }
          guard let next else { return }
          if next.isWanted { next.bytes.readAhead() } else { next.bytes.evict() }
        }
      }
      if isStarted { begun += 1 }
    }
    threads = begun
  }

  deinit { for _ in 0..<threads { queue.ready.signal() } }

  /// Has slices read, in this order, and then gives up the memory of others. Without threads they are read when they are touched.
  public func read(_ wanted: [Bytes], forgetting others: [Bytes] = []) {
    guard threads > 0 else { return }
    let wishes =
      wanted.map { Wish(bytes: $0, isWanted: true) } + others.map { Wish(bytes: $0, isWanted: false) }
    queue.waiting.withLock { $0 += wishes }
    for _ in wishes { queue.ready.signal() }
  }
}

extension Bytes {
  /// Bytes that the system is asked for in one call: 128 KiB is what Linux reads ahead unless it is told otherwise.
  private static let askedAtOnce = 128 << 10

  /// Reads a slice of a mapped file into memory, so that touching it does not wait; other bytes as they are.
  func readAhead() {
    guard let (address, length) = unsafe pages(inside: false) else { return }
    // The system takes no more at once than it reads ahead by itself.
    for first in stride(from: 0, to: length, by: Bytes.askedAtOnce) {
      unsafe _ = madvise(address + first, min(Bytes.askedAtOnce, length - first), MADV_WILLNEED)
    }
    #if os(Linux)
      // This waits for what was asked for and maps it, which else costs the one who touches it a fault for each few pages. Older
      // kernels refuse.
      let populateRead: Int32 = 22
      unsafe _ = madvise(address, length, populateRead)
    #endif
  }

  /// Gives up the memory of a slice of a mapped file, the system's copy of it too where it can be told so; it can still be read.
  func evict() {
    release()
    if let place = filePlace { place.file.forget(place.offset..<place.offset + count) }
  }
}
