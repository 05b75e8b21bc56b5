import Inference
import Models
import Testing

@Suite struct ForwardPassTests {
  /// ‖a − b‖ / ‖b‖ over all logits, and the largest |a − b| over the largest |b|, against transformers 5.23.0 in F32.
  @Test func goldenLogits() async throws {
    let (contexts, golden) = try Nano.golden()
    let model = try Nano.model()
    let found = try await logits(of: model, contexts, workers: 2)
    var (difference, norm, largestDifference, largest) = (0.0, 0.0, 0.0, 0.0)
    var tops = 0
    let vocabulary = model.hyperparameters.vocabulary
    for (a, b) in zip(found, golden) {
      #expect(a.count == b.count)
      for (x, y) in zip(a, b) {
        let error = Double(x) - Double(y)
        difference += error * error
        norm += Double(y) * Double(y)
        largestDifference = max(largestDifference, abs(error))
        largest = max(largest, abs(Double(y)))
      }
      for first in stride(from: 0, to: a.count, by: vocabulary) {
        if top(a[first..<first + vocabulary]) == top(b[first..<first + vocabulary]) { tops += 1 }
      }
    }
    #expect((difference / norm).squareRoot() <= 1e-5)
    #expect(largestDifference / largest <= 1e-5)
    #expect(tops == contexts.reduce(0) { $0 + $1.tokens.count })
  }

  private func top(_ values: ArraySlice<Float>) -> Int {
    values.indices.max { values[$0] < values[$1] }! - values.startIndex
  }
}
