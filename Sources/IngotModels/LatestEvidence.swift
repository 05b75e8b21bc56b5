import IngotSystem
import IngotTensors
import Synchronization

/// The layers of evidence that were asked for last, two of them: quantizers ask for one again and again, and go from one to the
/// next.
public final class LatestEvidence: Sendable {
  private let kept = Mutex<[LayerEvidence]>([])

  public init() {}

  /// A layer that is kept, or what `read` gives.
  public func layer(_ layer: Int, _ read: () throws(FormatError) -> LayerEvidence) throws(FormatError)
    -> LayerEvidence
  {
    let result = kept.withLock { kept -> Result<LayerEvidence, FormatError> in
      if let found = kept.first(where: { $0.layer == layer }) { return .success(found) }
      if kept.count == 2 { kept.removeFirst() }
      do throws(FormatError) {
        kept.append(try read())
      } catch {
        return .failure(error)
      }
      return .success(kept[kept.count - 1])
    }
    return try result.get()
  }
}
