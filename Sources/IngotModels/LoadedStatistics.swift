import IngotSystem
import IngotTensors
import Synchronization

/// The layers of statistics that were asked for last, two of them: quantizers ask for one again and again, and go from one to the
/// next.
public final class LoadedStatistics: Sendable {
  private let kept = Mutex<[LayerStatistics]>([])

  public init() {}

  /// A layer that is kept, or what `read` gives.
  public func layer(_ layer: Int, _ read: () throws(FormatError) -> LayerStatistics) throws(FormatError)
    -> LayerStatistics
  {
    if let known = kept.withLock({ kept in kept.first { $0.layer == layer } }) { return known }
    let statistics = try read()
    kept.withLock { kept in
      if kept.count == 2 { kept.removeFirst() }
      kept.append(statistics)
    }
    return statistics
  }
}
