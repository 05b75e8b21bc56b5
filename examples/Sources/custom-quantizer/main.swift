// Quantizes a model by a rule of its own and measures what that cost: custom-quantizer MODEL OUTPUT TEXT
import Ingot

/// Scales from the root mean square of a group instead of its extremes: rare large weights are cut off.
struct ClippingQuantizer: IntegerQuantizer {
  var name: String { "clip \(deviations)" }
  /// Where weights are cut off, in root mean squares.
  var deviations: Float

  func quantize(_ rows: WeightRows) -> QuantizedRows {
    let half = Float(1 << (rows.bits - 1))
    var made = QuantizedRows(codes: [], scales: [])
    for row in 0..<rows.rowCount {
      for group in 0..<rows.groupCount {
        let first = group * rows.groupSize
        let columns = first..<min(first + rows.groupSize, rows.columnCount)
        let values = columns.map { rows.values[row * rows.columnCount + $0] }
        let square = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
        let limit = min(deviations * square.squareRoot(), values.map { abs($0) }.max() ?? 0)
        // What is stored is an F16: codes are chosen for the scale that readers will find.
        let scale = Float(Float16(limit / (half - 1)))
        made.scales.append(scale)
        if rows.hasZeros { made.zeros.append(UInt8(half)) }
        made.codes += values.map { value in
          let code = scale == 0 ? 0 : (value / scale).rounded()
          return UInt8(min(max(code, -half), half - 1) + half)
        }
      }
    }
    return made
  }
}

let (model, output, text) = (CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3])
for deviations: Float in [2, 3, 4] {
  var quantization = Quantization(of: model, to: output)
  quantization.quantizer = ClippingQuantizer(deviations: deviations)
  quantization.overwrites = true
  _ = try await quantization.run()
  var verification = Verification(of: output, against: model, texts: [text])
  verification.maximumContexts = 4
  print("cut off at", deviations, "root mean squares: KL divergence", try await verification.run().divergence)
}
