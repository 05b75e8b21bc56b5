import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What calibration is told.
public struct CalibrationOptions: Sendable {
  /// Units of work done at once.
  public var workers = 1
  /// Tokens that every expert is to be seen with: where the router sends fewer, tokens with the expert's highest gate values
  /// are sent to it to be looked at; the model's outputs stay those of its own routing. Nil for none.
  public var coverage: Int?
  /// Hears how far the run is.
  public var progress: (@Sendable (VerificationProgress) -> Void)?

  public init() {}
}

/// Where a pass through a model stands between two layers.
public struct PassPoint: Sendable {
  /// The layer that comes next.
  public var layer: Int
  /// Hidden states of each context after the layers before: contexts × (tokens, hidden).
  public var states: [[Float]]

  public init(layer: Int, states: [[Float]]) {
    self.layer = layer
    self.states = states
  }
}

/// Takes a model through contexts, layer by layer, and hands over what went into each layer's linear layers.
///
/// - Parameters:
///   - point: where an earlier pass of the same ended; nil to begin.
///   - deliver: gets each layer's evidence, in order, and where the pass stands then; says whether to go on.
/// - Returns: whether all layers were passed.
/// - Throws: FormatError for contexts the model does not take, values that are not finite, and what `deliver` throws.
@discardableResult
public func calibrate(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions = .init(),
  from point: PassPoint? = nil,
  deliver: (LayerEvidence, PassPoint) throws(FormatError) -> Bool
) async throws(FormatError) -> Bool {
  let blueprint = model.blueprint
  return try await pass(model, contexts, options, from: point) { layer in
    LayerObserver(layer: layer, blueprint, coverage: options.coverage)
  } deliver: { pass, observer, _, point throws(FormatError) in
    var evidence = observer!.evidence()
    if evidence.layer == blueprint.layerCount - 1 { evidence.fields[.headInput] = try pass.headInput() }
    return try deliver(evidence, point)
  }
}

/// The same in one go.
public func calibrate(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions = .init(),
  deliver: (LayerEvidence) throws(FormatError) -> Void
) async throws(FormatError) {
  try await calibrate(model, contexts, options) { evidence, _ throws(FormatError) in
    try deliver(evidence)
    return true
  }
}

/// Takes a model through contexts, layer by layer, and hands over the tokens that each expert of a layer gets.
///
/// Parameters, result and errors are those of `calibrate`.
@discardableResult
public func survey(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions = .init(),
  from point: PassPoint? = nil,
  deliver: ([Int], PassPoint) throws(FormatError) -> Bool
) async throws(FormatError) -> Bool {
  let experts = model.blueprint.experts.count
  let mixtures = Set(model.blueprint.mixtures)
  return try await pass(model, contexts, options, from: point) { _ in
    nil
  } deliver: { _, _, routings, point throws(FormatError) in
    var tokens = [Int](repeating: 0, count: experts)
    // A dense layer has none to count.
    for routing in routings where mixtures.contains(point.layer - 1) {
      for expert in routing.experts { tokens[Int(expert)] += 1 }
    }
    return try deliver(tokens, point)
  }
}

private func pass(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions, from point: PassPoint?,
  observing: (Int) -> LayerObserver?,
  deliver: (ForwardPass, LayerObserver?, [Routing], PassPoint) throws(FormatError) -> Bool
) async throws(FormatError) -> Bool {
  var pass = try ForwardPass(model, contexts, Workers(options.workers), states: point?.states)
  var meter = Meter([model], options.progress)
  let first = point?.layer ?? 0
  for layer in 0..<first { meter.skip(layer: layer) }
  for layer in first..<model.blueprint.layerCount {
    var observer = observing(layer)
    let routings = try await pass.run(layer: layer, observer: &observer) { meter.pass($0) }
    meter.endLayer()
    let point = PassPoint(layer: layer + 1, states: pass.states)
    guard try deliver(pass, observer, routings, point) else { return false }
  }
  return true
}

extension ForwardPass {
  /// Mean of x xᵀ over what goes into the head, once all layers have been passed: F32 (hidden, hidden).
  func headInput() throws(FormatError) -> Bytes {
    let hidden = blueprint.hiddenSize
    let norm = try model.normWeights(.finalNorm, blueprint.finalNorm)
    var sum = [Float](repeating: 0, count: hidden * hidden)
    var span = sum.mutableSpan
    let tokens = contexts.reduce(0) { $0 + $1.tokens.count }
    for state in states {
      let x = normalizedRows(state, weight: norm, blueprint.finalNorm)
      addOuterProducts(
        x.span, tokens: x.count / hidden, columns: hidden, alpha: 1 / Float(max(tokens, 1)), to: &span)
    }
    mirrorLowerTriangle(&span, n: hidden)
    return Bytes(count: 4 * sum.count) { encode(.f32, sum.span, into: &$0) }
  }
}
