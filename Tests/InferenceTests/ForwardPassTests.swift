import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import Testing

@Suite struct ForwardPassTests {
  /// ‖a − b‖ / ‖b‖ over all logits, and the largest |a − b| over the largest |b|, against transformers 5.23.0 in F32.
  @Test func goldenLogits() async throws {
    let (contexts, golden) = try Nano.golden()
    let model = try Nano.model()
    let found = try await logits(of: model, contexts, workers: 2)
    var (difference, norm, largestDifference, largest) = (0.0, 0.0, 0.0, 0.0)
    var tops = 0
    let vocabulary = model.blueprint.vocabulary
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

  /// Encodings that can only be decoded many rows at a time give the same logits as those that need not.
  @Test(arguments: [1, 100, 128, 513, 4096])
  func rowsAreTakenInTheirSteps(_ step: Int) async throws {
    let model = try Nano.model()
    let stepped = try model.mapTensors { tensor in
      guard [TensorKind.embedding, .head].contains(tensor.role.kind) else { return tensor }
      return Tensor(
        name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: tensor.encoding,
        path: tensor.path, rowStep: step
      ) { rows throws(FormatError) in
        #expect(rows.lowerBound % step == 0)
        return try tensor.planes(rows: rows)
      }
    }
    let contexts = [Context([0, 5, 99, 100, 127, 128, 2047]), Context([512, 513, 1023, 2000])]
    let report = try await verify(stepped, against: model, contexts)
    #expect(report.divergence.maximum == 0)
    #expect(report.layers.allSatisfy { $0.hiddenStateError == 0 })
  }

  /// Tensors that hold no numbers are refused, not read.
  @Test func encodingsWithoutValuesAreRefused() async throws {
    let model = try Nano.model().mapTensors { tensor in
      guard tensor.role == Role(.up, layer: 1, expert: 0) else { return tensor }
      return Tensor(
        name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: .dense(.i8), path: "file",
        planes: [Bytes([UInt8](repeating: 1, count: tensor.count))])
    }
    await #expect(throws: FormatError.self) { try await logits(of: model, Nano.contexts(1, of: 64)) }
  }

  private func top(_ values: ArraySlice<Float>) -> Int {
    values.indices.max { values[$0] < values[$1] }! - values.startIndex
  }
}
