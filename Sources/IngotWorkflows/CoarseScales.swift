import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// Tensors in which some blocks are so small beside the others that their scales are rounded coarsely, or to 0.
package final class CoarseScales: Sendable {
  private struct Sum {
    var tensors = 0
    var blocks = 0
    var largest: Float = 0
    /// The first by name, whatever the order of the work.
    var example: String?
  }

  private let sum = Mutex(Sum())

  package init() {}

  func add(_ tensor: Tensor, _ coarse: ScaleWatch.Coarse) {
    sum.withLock { sum in
      sum.tensors += 1
      sum.blocks += coarse.blocks
      sum.largest = max(sum.largest, coarse.largest)
      sum.example = min(sum.example ?? tensor.name, tensor.name)
    }
  }

  /// What to say; nil for nothing.
  var line: String? {
    let sum = sum.withLock { $0 }
    guard let example = sum.example else { return nil }
    return
      "\(grouped(sum.blocks)) blocks of \(grouped(sum.tensors)) tensors, such as \(printable(example)), hold weights of at "
      + "most \(sum.largest): their scales are rounded coarsely, or to 0; beside the tensors' other weights they do not matter"
  }

  /// Under the names that programs read; nil for nothing.
  var json: JSON? {
    let sum = sum.withLock { $0 }
    guard let example = sum.example else { return nil }
    return [
      "tensors": JSON(sum.tensors), "blocks": JSON(sum.blocks), "largest": JSON(Double(sum.largest)),
      "example": .string(example),
    ]
  }
}
