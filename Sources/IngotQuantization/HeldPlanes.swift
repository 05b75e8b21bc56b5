import Dispatch
import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// Planes of tensors that a forward pass and others are about to read, made beforehand.
public final class HeldPlanes: Sendable {
  private let held = Mutex<WorkUnit.Planes>([:])

  public init() {}

  /// The units that a group of threads shares out, and the first error.
  private final class Queue: Sendable {
    private let state: Mutex<(units: ArraySlice<WorkUnit>, error: FormatError?)>

    init(_ units: [WorkUnit]) { state = Mutex((units[...], nil)) }

    func next() -> WorkUnit? { state.withLock { $0.error == nil ? $0.units.popFirst() : nil } }
    func fail(_ error: FormatError) { state.withLock { $0.error = $0.error ?? error } }
    var error: FormatError? { state.withLock { $0.error } }
  }

  /// Runs units on so many threads and holds the planes of all of their tensors, beside what is held already.
  public func hold(_ units: [WorkUnit], workers: Int) throws(FormatError) {
    let queue = Queue(units)
    DispatchQueue.concurrentPerform(iterations: min(max(workers, 1), units.count)) { _ in
      while let unit = queue.next() {
        do throws(FormatError) {
          let planes = try unit.planes()
          held.withLock { $0.merge(planes) { $1 } }
        } catch {
          queue.fail(error)
        }
      }
    }
    if let error = queue.error { throw error }
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
