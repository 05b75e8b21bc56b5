import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Choices of channel scales against all that could be chosen, computed from their definition.
@Suite struct ChannelScalesTests {
  private static let candidates: [(alpha: Double, beta: Double)] = [
    (0, 0), (0, 0.5), (0, 1), (0.125, 0.875), (0.25, 0.75), (0.375, 0.625), (0.5, 0.5), (0.25, 0.5),
    (0.75, 0.25),
  ]

  /// h^(α/2) / w^(β/2), both about their means.
  private func scales(_ h: [Double], _ w: [Double], _ candidate: (alpha: Double, beta: Double)) -> [Float] {
    if candidate == (0, 0) { return [Float](repeating: 1, count: h.count) }
    func power(_ x: Double, _ exponent: Double) -> Double {
      var root = x
      for _ in 0..<3 { root = root.squareRoot() }
      var product = 1.0
      for _ in 0..<Int(exponent * 8) { product *= root }
      return product
    }
    let (meanH, meanW) = (h.reduce(0, +) / Double(h.count), w.reduce(0, +) / Double(w.count))
    return zip(h, w).map { h, w in
      let scale = power(h / meanH + 1e-4, candidate.alpha / 2) / power(w / meanW + 1e-6, candidate.beta / 2)
      return Float(min(max(scale, 0x1p-12), 0x1p12))
    }
  }

  /// Σ h (w − ŵ)² of a tensor whose columns are multiplied by s, quantized, and divided again.
  private func error(_ tensor: Tensor, _ s: [Float], _ h: [Double], _ plan: Plan, _ model: Model) throws
    -> Double
  {
    let exact = try tensor.floats()
    let columns = tensor.columns
    let scaled = exact.indices.map { exact[$0] * s[$0 % columns] }
    let whole = try model.mapTensors { other throws(FormatError) in
      guard other.role == tensor.role else { return other }
      return other.mapped(to: .dense(.f32), rowStep: 1) { rows, _ in
        let part = Array(scaled[rows.lowerBound * columns..<rows.upperBound * columns])
        return [Bytes(count: 4 * part.count) { encode(.f32, part.span, into: &$0) }]
      }
    }
    var options = QuantizationOptions()
    options.importance = Importance(columns: [
      tensor.role: zip(h, s).map { Float($0 / (Double($1) * Double($1))) }
    ])
    let found = try whole.quantized(by: plan, options)[tensor.role]!.floats()
    var sum = 0.0
    for index in exact.indices {
      let difference = Double(scaled[index]) - Double(found[index])
      sum +=
        Double(Float(h[index % columns] / (Double(s[index % columns]) * Double(s[index % columns]))))
        * difference * difference
    }
    return sum
  }

  @Test(arguments: ["int4 g32 zero f16", "int3 g64 sym f16"])
  func theBestOfAllIsChosen(_ encoding: String) async throws {
    let model = try Nano.model()
    let statistics = try await CalibrationTests.statistics(model, contexts: 3)
    var plan = try SequentialTests.recipe("search").plan(for: model)
    for (role, assignment) in plan.assignments where assignment.quantizer != nil {
      plan.assignments[role] = .init(encoding: Encoding(name: encoding)!, quantizer: "mse")
    }
    let chosen = try await ChannelScales.search(model, plan, statistics, workers: 2)
    var isScaled = false
    for layer in 0..<statistics.layers {
      let block = model.blueprint.layers[layer].feedForward
      #expect(block.count <= 8, "all experts are looked at")
      let width = block.intermediateSize
      let gathered = try statistics.layer(layer)
      let (squares, weights) = (gathered.floats(.innerSquares), gathered.floats(.downSquares))
      var errors = [Double](repeating: 0, count: Self.candidates.count)
      for expert in 0..<block.count {
        let range = expert * width..<(expert + 1) * width
        let h =
          gathered.routedTokens(of: expert).isEmpty
          ? [Double](repeating: 1, count: width) : squares[range].map { Double($0) }
        let w = weights[range].map { Double($0) }
        let tensor = model[block.role(block.projections.lowering, layer: layer, expert: expert)]!
        #expect(tensor.rows <= 256, "all rows are looked at")
        for (index, candidate) in Self.candidates.enumerated() {
          errors[index] += try error(tensor, scales(h, w, candidate), h, plan, model)
        }
      }
      let choice = try #require(chosen.choices[layer].first { $0.place == "inner" })
      let best = errors.min()!
      let own = try #require(Self.candidates.firstIndex { $0 == (choice.alpha, choice.beta) })
      #expect(errors[own] <= best * (1 + 1e-5), "layer \(layer): \(choice), errors \(errors)")
      #expect(abs(choice.errorShare - best / errors[0]) < 1e-4, "layer \(layer): \(choice), errors \(errors)")
      isScaled = isScaled || own > 0
    }
    #expect(isScaled, "some layer gains by scales")
  }
}
