import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// Planes of tensors that a forward pass and others are about to read, made beforehand.
public final class HeldPlanes: Sendable {
  private let held = Mutex<WorkUnit.Planes>([:])

  public init() {}

  /// Runs units on so many threads, the longest first, and holds the planes of all of their tensors, beside what is held already.
  public func hold(_ units: [WorkUnit], workers: Int) throws(FormatError) {
    let threads = Threads(max(workers, 1))
    let order = units.indices.sorted {
      (units[$1].operations, $0) < (units[$0].operations, $1)
    }
    try threads.share(units.count, joins: false) { [self] turn throws(FormatError) in
      let planes = try units[order[turn]].planes(on: threads)
      held.withLock { $0.merge(planes) { $1 } }
    }
  }

  /// Gives up what is held.
  @discardableResult
  public func take() -> WorkUnit.Planes {
    held.withLock { held in
      defer { held = [:] }
      return held
    }
  }

  /// A tensor whose planes are those that are held, in ranges of rows; where none are held, they are made for each call.
  public func reading(_ tensor: Tensor) -> Tensor {
    let layout = tensor.encoding.planes(tensor.shape)!
    return Tensor(
      name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: tensor.encoding,
      path: tensor.path, offset: tensor.offset
    ) { rows throws(FormatError) in
      let known = self.held.withLock { $0[tensor.role] }
      let planes = if let known { known } else { try tensor.planes() }
      return zip(layout, planes).map { plane, bytes in bytes[plane.range(rows: rows)] }
    }
  }
}
