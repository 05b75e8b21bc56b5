import IngotModels
import IngotSystem
import IngotTensors

/// Counts what a run has passed and tells the caller.
struct Meter {
  private var state: VerificationProgress
  private let models: [Model]
  private let report: (@Sendable (VerificationProgress) -> Void)?

  /// Whether a tensor is one that runs tell of: a linear layer, or the head.
  private static func counts(_ role: Role, _ model: Model) -> Bool {
    model.blueprint.isLinear(role) && (role.kind != .embedding || role == model.blueprint.headRole)
  }

  init(_ models: [Model], _ report: (@Sendable (VerificationProgress) -> Void)?) {
    self.models = models
    self.report = report
    state = VerificationProgress(
      bytes: 0,
      totalBytes: models.reduce(0) { sum, model in
        sum + model.tensors.reduce(0) { $0 + (Meter.counts($1.role, model) ? $1.bytes : 0) }
      }, layers: 0, totalLayers: models.first?.blueprint.layerCount ?? 0)
    report?(state)
  }

  mutating func pass(_ bytes: Int) {
    state.bytes += bytes
    report?(state)
  }

  /// Rows of the head of each model.
  mutating func pass(head rows: Range<Int>) {
    for model in models {
      guard let head = model.headTensor else { continue }
      // Shares that add up to the whole whatever the ranges are.
      state.bytes += head.bytes * rows.upperBound / head.rows - head.bytes * rows.lowerBound / head.rows
    }
    report?(state)
  }

  /// A layer that was passed before this run.
  mutating func skip(layer: Int) {
    for model in models {
      for tensor in model.tensors where tensor.role.layer == layer && Meter.counts(tensor.role, model) {
        state.bytes += tensor.bytes
      }
    }
    endLayer()
  }

  mutating func endLayer() {
    state.layers += 1
    report?(state)
  }
}
