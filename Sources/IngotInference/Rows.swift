import IngotKernels
import IngotModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

// Kernels on the beginnings of buffers, which may be larger than what they hold.

/// `out` (tokens, outputs) = x (tokens, inputs) · weightsᵀ, weights being (outputs, inputs). `out` is made large
/// enough, unless its contents are to be added to.
func linear(
  _ x: [Float], _ weights: [Float], tokens: Int, inputs: Int, outputs: Int, into out: inout [Float],
  accumulate: Bool = false
) {
  if tokens == 0 { return }
  if !accumulate { out.provide(tokens * outputs) }
  var all = out.mutableSpan
  var target = all._mutatingExtracting(0..<tokens * outputs)
  matmul(
    x.span.extracting(0..<tokens * inputs), weights.span.extracting(0..<outputs * inputs), tokens: tokens,
    inputs: inputs, outputs: outputs, into: &target, accumulate: accumulate)
}

/// RMSNorm of each of the first `tokens` rows in place; a row has as many values as `weight`.
func normalizeRows(_ x: inout [Float], tokens: Int, weight: [Float], eps: Float) {
  let width = weight.count
  var all = x.mutableSpan
  for token in 0..<tokens {
    var row = all._mutatingExtracting(token * width..<(token + 1) * width)
    rmsNorm(&row, weight: weight.span, eps: eps)
  }
}

/// `gate` becomes the activation of gate and up for the first `count` values.
func activate(_ gate: inout [Float], _ up: [Float], count: Int, _ activation: GatedActivation) {
  var all = gate.mutableSpan
  var target = all._mutatingExtracting(0..<count)
  activation.apply(&target, up: up.span.extracting(0..<count))
}

/// 1 / (1 + e^−x), computed in F64.
func sigmoid(_ x: Float) -> Float { Float(1 / (1 + exp(-Double(x)))) }

/// Row `to` of `target` becomes row `from` of `source`; both have rows of `width` values.
func copyRow(_ source: [Float], _ from: Int, width: Int, to target: inout [Float], _ to: Int) {
  let row = source.span.extracting(from * width..<(from + 1) * width)
  var all = target.mutableSpan
  var out = all._mutatingExtracting(to * width..<(to + 1) * width)
  for column in 0..<width { out[column] = row[column] }
}

/// Multiplies a row of `width` values.
func scaleRow(_ rows: inout [Float], _ row: Int, width: Int, _ factor: Float) {
  if factor == 1 { return }
  for index in row * width..<(row + 1) * width { rows[index] *= factor }
}

/// Adds `scale` times row `from` of `source` to row `to` of `target`; both have rows of `width` values.
func addRow(
  _ source: [Float], _ from: Int, width: Int, to target: inout [Float], _ to: Int, scale: Float
) {
  var all = target.mutableSpan
  var out = all._mutatingExtracting(to * width..<(to + 1) * width)
  addScaled(&out, source.span.extracting(from * width..<(from + 1) * width), scale)
}

/// Adds `source` to `target`.
func add(_ source: [Float], to target: inout [Float]) {
  var out = target.mutableSpan
  addScaled(&out, source.span, 1)
}

/// Adds a bias to each of the first `tokens` rows of x; nothing for none.
func addBias(_ bias: [Float], to x: inout [Float], tokens: Int) {
  if bias.isEmpty { return }
  var all = x.mutableSpan
  for token in 0..<tokens {
    var row = all._mutatingExtracting(token * bias.count..<(token + 1) * bias.count)
    addScaled(&row, bias.span, 1)
  }
}
