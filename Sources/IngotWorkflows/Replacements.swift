import IngotSystem
import IngotTensors
import Synchronization

/// Values of the source that were not finite and became 0. Those that an earlier run replaced, which was interrupted, are
/// among them.
final class Replacements: Sendable {
  private struct Counts {
    /// By role: tensors that this run has touched, and those of the run before.
    var now: [String: Int] = [:]
    var earlier: [String: Int] = [:]
  }

  private let counts = Mutex(Counts())

  /// Counts values of one more part of a tensor.
  ///
  /// - Returns: what a run that resumes must know of it.
  func add(_ tensor: Tensor, _ count: Int) -> JSON {
    let role = "\(tensor.role)"
    let sum = counts.withLock {
      $0.now[role, default: 0] += count
      return $0.now[role] ?? count
    }
    return ["replaced": .string(role), "values": JSON(sum)]
  }

  /// Counts what an earlier run has noted: of a tensor's notes the last has all of its parts.
  func recall(_ note: JSON) {
    guard let role = note["replaced"]?.string, let values = note["values"]?.int else { return }
    counts.withLock { $0.earlier[role] = values }
  }

  /// Over all tensors. One that this run makes again counts as this run found it.
  var total: Int {
    counts.withLock { counts in
      counts.earlier.merging(counts.now) { _, now in now }.values.reduce(0, +)
    }
  }
}
