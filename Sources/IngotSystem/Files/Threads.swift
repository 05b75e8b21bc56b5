import Dispatch
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A fixed number of threads that tasks can be made to run on.
///
/// Swift's own threads are as many as processors and must not wait for a disk; these may. Whoever wants reading,
/// computing and writing side by side takes one set for the disk and one of the size that computing shall have.
/// The threads end with the last reference.
public final class Threads: TaskExecutor {
  /// Jobs that wait for a thread, first come first served.
  private final class Queue: Sendable {
    enum Job {
      case task(UnownedJob)
      case body(@Sendable () -> Void)
    }
    struct Content {
      var jobs: [Job] = []
      var next = 0
    }
    private let content = Mutex(Content())
    private let ready = DispatchSemaphore(value: 0)

    func add(_ job: Job) {
      content.withLock { $0.jobs.append(job) }
      ready.signal()
    }

    /// Lets so many threads find no job.
    func end(_ threads: Int) {
      for _ in 0..<threads { ready.signal() }
    }

    /// The next job; nil when there will be none.
    func take() -> Job? {
      ready.wait()
      return content.withLock { content in
        guard content.next < content.jobs.count else { return nil }
        let job = content.jobs[content.next]
        content.next += 1
        if content.next == content.jobs.count {
          content.jobs.removeAll(keepingCapacity: true)
          content.next = 0
        }
        return job
      }
    }
  }

  private let queue = Queue()
  public let count: Int

  public init(_ count: Int) {
    precondition(count > 0, "work needs a thread")
    self.count = count
    let executor = unsafe asUnownedTaskExecutor()
    for number in 0..<count {
      let isStarted = Threads.start { [queue] in
        while let job = queue.take() {
          switch job {
          case .task(let task): unsafe task.runSynchronously(on: executor)
          case .body(let body): body()
          }
        }
      }
      // Where the system allows no more, those that there are do the work.
      if isStarted { continue }
      precondition(number > 0, "the system refuses another thread (raise its limit: ulimit -u)")
      break
    }
  }

  deinit { queue.end(count) }

  public func enqueue(_ job: consuming ExecutorJob) { queue.add(.task(UnownedJob(job))) }

  /// Runs `body` on one of these threads, after what waits for them already.
  func add(_ body: @escaping @Sendable () -> Void) { queue.add(.body(body)) }

  /// Runs `body` on one of these threads.
  public func run<Output: Sendable>(_ body: @Sendable () throws -> Output) async throws -> Output {
    try await withTaskExecutorPreference(self) { try await Threads.perform(body) }
  }

  // Only a function that is no actor's goes where the preference says.
  private nonisolated static func perform<Output: Sendable>(_ body: @Sendable () throws -> Output)
    async throws
    -> Output
  { try body() }

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// - Returns: false when the system refuses another thread.
  static func start(_ run: @escaping @Sendable () -> Void) -> Bool {
    let retained = unsafe Unmanaged.passRetained(Body(run))
    let body = unsafe retained.toOpaque()
    #if canImport(Darwin)
      var thread: pthread_t?
    #else
      var thread = pthread_t()
    #endif
    let code = unsafe pthread_create(&thread, nil, threadBody, body)
    guard code == 0 else {
      unsafe retained.release()
      return false
    }
    #if canImport(Darwin)
      if let thread { unsafe pthread_detach(thread) }
    #else
      pthread_detach(thread)
    #endif
    return true
  }

  #if canImport(Darwin)
    private static let threadBody: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? = {
      body in
      unsafe Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run()
      return nil
    }
  #else
    private static let threadBody: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
      body in
      unsafe Unmanaged<Body>.fromOpaque(body!).takeRetainedValue().run()
      return nil
    }
  #endif
}

extension Threads {
  /// What threads of `forEach` share.
  private final class Turns: Sendable {
    let state = Mutex((next: 0, errors: [Int: FormatError]()))
  }

  /// Runs `body` on so many threads of its own, or as many as the system allows.
  ///
  /// - Returns: what waits for the end of all.
  public static func begin(_ count: Int, _ body: @escaping @Sendable () -> Void) -> () -> Void {
    let ended = DispatchSemaphore(value: 0)
    var begun = 0
    for _ in 0..<count
    where start({
      body()
      ended.signal()
    }) { begun += 1 }
    precondition(begun > 0 || count == 0, "the system refuses another thread (raise its limit: ulimit -u)")
    return { [begun] in for _ in 0..<begun { ended.wait() } }
  }

  /// Runs `body` for each item on threads of their own, some at a time, and waits for all: for what waits more than it
  /// computes, where the caller cannot wait otherwise.
  ///
  /// - Throws: the error of the first item, in their order, that failed; items that were not begun yet are left out then.
  public static func forEach<Item: Sendable>(
    _ items: [Item], width: Int, _ body: @escaping @Sendable (Item) throws(FormatError) -> Void
  ) throws(FormatError) {
    let shared = Turns()
    let work: @Sendable () -> Void = {
      while true {
        let index = shared.state.withLock { state -> Int? in
          guard state.errors.isEmpty, state.next < items.count else { return nil }
          defer { state.next += 1 }
          return state.next
        }
        guard let index else { break }
        do throws(FormatError) {
          try body(items[index])
        } catch {
          shared.state.withLock { $0.errors[index] = error }
        }
      }
    }
    begin(min(width, items.count), work)()
    if let first = shared.state.withLock({ $0.errors.min { $0.key < $1.key }?.value }) { throw first }
  }
}
