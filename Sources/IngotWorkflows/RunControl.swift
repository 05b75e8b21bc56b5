import IngotSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The tool, as artifacts and reports name their maker.
public enum Tool {
  public static let version = "0.1.0"
  public static let name = "ingot \(version)"
}

/// How a workflow runs: threads, progress and when to stop. None of it changes a result.
public struct RunControl: Sendable {
  /// Threads that compute.
  public var workers = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  /// Called from any task with the bytes done and the bytes in all.
  public var progress: @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  /// Asked after each unit of work; a run that stops throws a resumable FormatError.
  public var shouldStop: @Sendable () -> Bool = { false }
  /// Called with what the caller should know although the run goes on.
  public var warning: @Sendable (String) -> Void = { _ in }

  public init() {}

  /// Counts bytes for `progress`.
  func counter(total: Int) -> @Sendable (Int) -> Void {
    let counter = ByteCounter()
    let progress = progress
    return { progress(counter.add($0), total) }
  }
}

private final class ByteCounter: Sendable {
  private let bytes = Atomic<Int>(0)

  func add(_ count: Int) -> Int { bytes.add(count, ordering: .relaxed).newValue }
}

/// A request that contradicts itself, or that nothing can fulfil. Thrown before any work.
public struct RequestError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The member of the request that is at fault.
  public enum Member: String, Sendable {
    case format, recipe, output, bits, size, machine, fit, context, candidates, exclude, reference, engine
    case allowDrop = "allow-drop"
    case rescueOverflow = "rescue-overflow"
    case sequential
    case refitBias = "refit-bias"
    case untilCovered = "until-covered"
    case card, html, generate
  }

  public var member: Member
  public var message: String
  /// Whether it is understood and cannot be met: nothing fits. Otherwise it contradicts itself.
  public var isUnmet: Bool

  public init(_ member: Member, _ message: String, isUnmet: Bool = false) {
    (self.member, self.message, self.isUnmet) = (member, message, isUnmet)
  }

  public var description: String { "\(member.rawValue): \(message)" }
}

extension Duration {
  /// The duration in seconds.
  package var seconds: Double { self / .seconds(1) }
}
