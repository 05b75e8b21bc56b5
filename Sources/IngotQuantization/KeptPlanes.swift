import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// Planes of tensors that are quantized once and asked for several times, such as those of the layer at hand.
public final class KeptPlanes: Sendable {
  private let found = Mutex<[Role: [Bytes]]>([:])

  public init() {}

  /// Forgets what is kept.
  public func clear() { found.withLock { $0 = [:] } }

  private func planes(of tensor: Tensor) throws(FormatError) -> [Bytes] {
    if let known = found.withLock({ $0[tensor.role] }) { return known }
    let planes = try tensor.planes()
    found.withLock { $0[tensor.role] = planes }
    return planes
  }

  /// A tensor that is made once, whole, and kept until `clear`; its rows are had in ranges.
  public func keeping(_ tensor: Tensor) -> Tensor {
    let layout = tensor.encoding.planes(tensor.shape)!
    return Tensor(
      name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: tensor.encoding,
      path: tensor.path, offset: tensor.offset
    ) { rows throws(FormatError) in
      zip(layout, try self.planes(of: tensor)).map { plane, bytes in bytes[plane.range(rows: rows)] }
    }
  }
}
