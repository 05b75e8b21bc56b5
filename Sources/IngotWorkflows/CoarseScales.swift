import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// Tensors in which some blocks are so small beside the others that their scales are rounded coarsely, or to 0. Those of an
/// earlier run that was interrupted are among them.
package final class CoarseScales: Sendable {
  private struct Sum {
    var blocks = 0
    var largest: Float = 0
    var name = ""
  }

  /// By role: a tensor that is made again, when a run resumes, counts once.
  private let sums = Mutex<[String: Sum]>([:])

  package init() {}

  /// Counts a tensor's blocks.
  ///
  /// - Returns: what a run that resumes must know of it.
  func add(_ tensor: Tensor, _ coarse: ScaleWatch.Coarse) -> JSON {
    let role = "\(tensor.role)"
    sums.withLock {
      $0[role] = Sum(blocks: coarse.blocks, largest: coarse.largest, name: tensor.name)
    }
    return [
      "coarse": .string(role), "name": .string(tensor.name), "blocks": JSON(coarse.blocks),
      "largest": JSON(Double(coarse.largest)),
    ]
  }

  /// Counts what an earlier run has noted.
  func recall(_ note: JSON) {
    guard let role = note["coarse"]?.string, let name = note["name"]?.string,
      let blocks = note["blocks"]?.int, let largest = note["largest"]?.double
    else { return }
    sums.withLock { $0[role] = Sum(blocks: blocks, largest: Float(largest), name: name) }
  }

  /// Over all tensors; nil for none.
  private var total: (tensors: Int, sum: Sum)? {
    let sums = sums.withLock { Array($0.values) }
    guard var total = sums.first else { return nil }
    for sum in sums.dropFirst() {
      total.blocks += sum.blocks
      total.largest = max(total.largest, sum.largest)
      // The first by name, whatever the order of the work.
      total.name = min(total.name, sum.name)
    }
    return (sums.count, total)
  }

  /// What to say; nil for nothing.
  var line: String? {
    guard let (tensors, sum) = total else { return nil }
    return
      "\(grouped(sum.blocks)) blocks of \(grouped(tensors)) tensors, such as \(printable(sum.name)), hold weights of at "
      + "most \(sum.largest): their scales are rounded coarsely, or to 0; beside the tensors' other weights they do not matter"
  }

  /// Under the names that programs read; nil for nothing.
  var json: JSON? {
    guard let (tensors, sum) = total else { return nil }
    return [
      "tensors": JSON(tensors), "blocks": JSON(sum.blocks), "largest": JSON(Double(sum.largest)),
      "example": .string(sum.name),
    ]
  }
}
