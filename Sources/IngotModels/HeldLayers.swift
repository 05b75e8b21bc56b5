import IngotSystem
import IngotTensors
import Synchronization

/// Calibration statistics of layers that are kept in memory while units of work need them.
final class HeldLayers: Sendable {
  typealias Read = @Sendable (Int) throws(FormatError) -> LayerStatistics

  private let read: Read
  private let held = Mutex<[Int: LayerStatistics]>([:])
  private let reader = Reader()

  /// Reads one layer at a time: whoever needs the same one waits for it without a thread.
  private actor Reader {
    func load(_ layer: Int, into layers: HeldLayers) throws(FormatError) {
      guard layers.held.withLock({ $0[layer] == nil }) else { return }
      let statistics = try layers.read(layer)
      layers.held.withLock { $0[layer] = statistics }
    }
  }

  init(_ read: @escaping Read) { self.read = read }

  /// What is held of a layer, or what is read of it.
  func layer(_ layer: Int) throws(FormatError) -> LayerStatistics {
    if let statistics = held.withLock({ $0[layer] }) { return statistics }
    return try read(layer)
  }

  func load(_ layer: Int) async throws(FormatError) { try await reader.load(layer, into: self) }

  func unload(_ layer: Int) { _ = held.withLock { $0.removeValue(forKey: layer) } }
}

extension CalibrationStatistics {
  /// A layer's statistics as a unit of work needs them.
  public func statistics(layer: Int) -> WorkUnit.Statistics {
    WorkUnit.Statistics(
      layer: layer, load: { [held] () async throws(FormatError) in try await held.load(layer) },
      unload: { [held] in held.unload(layer) })
  }
}
