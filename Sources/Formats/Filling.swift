import Kernels
import Models
import Tensors

/// A tensor and the places of its planes in output files that are laid out already.
struct Placement: Sendable {
  var tensor: Tensor
  /// File and position of each plane, in the encoding's order.
  var planes: [(file: File, offset: Int)]
}

/// Computes the planes of every placed tensor and writes them to their places, some at a time.
///
/// Places are fixed beforehand, so the bytes are the same for any number of workers.
/// - Returns: XXH3-64 of each plane of each placement, in their order.
/// - Throws: FormatError of the first task that fails; the others are cancelled.
func fill(_ placements: [Placement], _ options: WriteOptions) async throws(FormatError) -> [[UInt64]] {
  do {
    return try await withThrowingTaskGroup(of: (Int, [UInt64]).self) { group in
      var sums = [[UInt64]](repeating: [], count: placements.count)
      var next = 0
      func start() {
        guard next < placements.count else { return }
        let index = next
        next += 1
        group.addTask { (index, try place(placements[index], options.progress)) }
      }
      for _ in 0..<max(options.workers, 1) { start() }
      while let (index, sum) = try await group.next() {
        sums[index] = sum
        start()
      }
      return sums
    }
  } catch let error as FormatError {
    throw error
  } catch {
    throw FormatError(path: "", expected: "the run to go on", found: "\(error)")
  }
}

/// Writes one tensor, chunk by chunk.
private func place(_ placement: Placement, _ progress: (@Sendable (Int) -> Void)?) throws -> [UInt64] {
  let tensor = placement.tensor
  let layout = tensor.encoding.planes(tensor.shape)!
  var sums = layout.map { _ in XXH3() }
  for rows in tensor.rowChunks() {
    try Task.checkCancellation()
    let chunk = try tensor.planes(rows: rows)
    var written = 0
    for index in layout.indices {
      let (file, offset) = placement.planes[index]
      let plane = chunk[index]
      try file.write(plane.span, at: offset + layout[index].range(rows: rows).lowerBound)
      sums[index].update(plane.span)
      written += plane.count
      plane.release()
    }
    progress?(written)
  }
  return sums.map { $0.digest() }
}
