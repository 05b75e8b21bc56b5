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
    if let known = kept.withLock({ kept in kept.first { $0.layer == layer } }) { return known }
    let evidence = try read()
    kept.withLock { kept in
      if kept.count == 2 { kept.removeFirst() }
      kept.append(evidence)
    }
    return evidence
  }
}
