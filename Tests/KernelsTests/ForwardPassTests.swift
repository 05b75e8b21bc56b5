import Foundation
import IngotKernels
import Testing

@Suite struct ForwardPassTests {
  func close(_ value: Float, _ wanted: Double, within tolerance: Double = 2e-6) -> Bool {
    abs(Double(value) - wanted) <= tolerance * max(abs(wanted), 1e-30)
  }

  @Test func everyStepMatchesF64() {
    for count in lengths {
      var random = SeededGenerator(count)
      let x = random.normals(count).map { $0 * 4 }
      let w = random.normals(count)
      var out = [Float](repeating: .nan, count: count)
      var span = out.mutableSpan
      rmsNorm(x.span, weight: w.span, eps: 1e-6, into: &span)
      let mean = x.reduce(0) { $0 + Double($1) * Double($1) } / Double(max(count, 1))
      for j in 0..<count {
        #expect(close(out[j], Double(x[j]) / (mean + 1e-6).squareRoot() * Double(w[j])), "norm \(count) \(j)")
      }
      var inPlace = x
      var inPlaceSpan = inPlace.mutableSpan
      rmsNorm(&inPlaceSpan, weight: w.span, eps: 1e-6)
      #expect(inPlace == out, "in place \(count)")

      var gate = x
      var gateSpan = gate.mutableSpan
      siluMultiply(&gateSpan, up: w.span)
      for j in 0..<count {
        #expect(close(gate[j], Double(x[j]) / (1 + exp(-Double(x[j]))) * Double(w[j])), "silu \(count) \(j)")
      }

      var row = x
      if count > 2 { row[1] = -.infinity }
      let logits = row
      var rowSpan = row.mutableSpan
      softmaxRow(&rowSpan)
      let highest = Double(logits.max() ?? 0)
      let sum = logits.reduce(0) { $0 + exp(Double($1) - highest) }
      for j in 0..<count {
        let wanted = exp(Double(logits[j]) - highest) / sum
        #expect(close(row[j], wanted, within: 4e-6), "softmax \(count) \(j)")
      }

      var y = w
      var ySpan = y.mutableSpan
      addScaled(&ySpan, x.span, 0.5)
      #expect(y == zip(w, x).map { $0 + 0.5 * $1 }, "add \(count)")

      let product = zip(x, w).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      #expect(abs(dot(x.span, w.span) - product) < 1e-9, "dot \(count)")
    }
  }
}
