import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// A model without some of its experts, and what is known of them.
@Suite struct DroppingTests {
  /// Others in each layer, the first and the last among them.
  static let dropped = DroppedExperts(experts: 8, layers: [[0, 5], [1, 2], [6, 7], [3, 4]])

  /// The model in which routers can choose only the experts that are not dropped: they are there, with a hopeless bias.
  private func masked(_ model: Model) throws -> Model {
    try model.mapTensors { tensor throws(FormatError) in
      guard tensor.role.kind == .routerBias, let layer = tensor.role.layer else { return tensor }
      var bias = try tensor.floats()
      for expert in Self.dropped.layers[layer] { bias[expert] = -1e30 }
      return Self.dense(tensor, bias)
    }
  }

  @Test func computesWhatTheOriginalWouldIfItCouldNotChooseThem() async throws {
    let model = try Nano.model()
    let left = try model.dropping(Self.dropped)
    #expect(left.blueprint.experts.count == 6)
    let contexts = try Nano.contexts(3, of: 128)
    let found = try await logits(of: left, contexts, workers: 2)
    let expected = try await logits(of: try masked(model), contexts, workers: 2)
    let whole = try await logits(of: model, contexts, workers: 2)
    let (error, change) = (relativeError(of: found, to: expected), relativeError(of: whole, to: expected))
    #expect(error <= 1e-5 && change > 0.01, "\(error), \(change)")
  }

  @Test func tensorsAreThoseOfTheOriginal() throws {
    let model = try Nano.model()
    let left = try model.dropping(Self.dropped)
    let hidden = model.blueprint.hiddenSize
    for layer in 0..<4 {
      let kept = Self.dropped.kept(layer)
      #expect(kept.count == 6 && Set(kept).isDisjoint(with: Self.dropped.layers[layer]))
      for (place, expert) in kept.enumerated() {
        for part in [TensorKind.gate, .up, .down] {
          let (own, other) = (
            try #require(left[part, layer: layer, expert: place]),
            try #require(model[part, layer: layer, expert: expert])
          )
          #expect(own.name == model.family.name(of: own.role) && own.encoding == other.encoding)
          #expect(try own.planes().map(\.array) == other.planes().map(\.array))
        }
      }
      let router = try #require(model[.router, layer: layer]).floats()
      let bias = try #require(model[.routerBias, layer: layer]).floats()
      let ownRouter = try #require(left[.router, layer: layer])
      #expect(ownRouter.shape == [6, hidden])
      #expect(try ownRouter.floats() == kept.flatMap { Array(router[$0 * hidden..<($0 + 1) * hidden]) })
      #expect(try #require(left[.routerBias, layer: layer]).floats() == kept.map { bias[$0] })
    }
    let config = try Config(try #require(left.sideFile("config.json")).bytes.array, path: "config.json")
    #expect(config["num_local_experts"] == 6)
    #expect(try left.droppedExperts() == Self.dropped && (try model.droppedExperts()) == nil)
  }

  @Test func whatIsDroppedTwiceIsGoneFromTheFirst() throws {
    let model = try Nano.model()
    let next = DroppedExperts(experts: 6, layers: [[0], [5], [2], [3]])
    let twice = try model.dropping(Self.dropped).dropping(next)
    let both = Self.dropped.followed(by: next)
    #expect(both.layers == [[0, 1, 5], [1, 2, 7], [2, 6, 7], [3, 4, 5]])
    let once = try model.dropping(both)
    #expect(try twice.droppedExperts() == both && once.droppedExperts() == both)
    for (a, b) in zip(twice.tensors, once.tensors) {
      #expect(a.role == b.role && a.name == b.name)
      #expect(try a.planes().map(\.array) == b.planes().map(\.array), "\(a.role)")
    }
  }

  @Test func tooFewAndOtherModelsAreRefused() throws {
    let model = try Nano.model()
    let most = DroppedExperts(experts: 8, layers: (0..<4).map { _ in Array(0..<6) })
    #expect(try model.dropping(most).blueprint.experts.count == 2)
    let faults: [(DroppedExperts, String)] = [
      (DroppedExperts(experts: 8, layers: (0..<4).map { _ in Array(0..<7) }), "at least 2 experts left"),
      (DroppedExperts(experts: 8, layers: [[0], [1]]), "2 layers of 8"),
      (DroppedExperts(experts: 9, layers: (0..<4).map { _ in [0] }), "4 layers of 9"),
    ]
    for (dropped, message) in faults {
      let error = try #require(throws: FormatError.self) { try model.dropping(dropped) }
      #expect("\(error)".contains(message), "\(error)")
    }
  }

  @Test(arguments: [
    ("[\"0, 5\", \"1-2\", \"6-7\"]", "4 layers"), ("[\"0\", \"1-2\", \"6-7\", \"3-4\"]", "2 in layer 1"),
    ("[\"0, 5\", \"1-2\", \"6-8\", \"3-4\"]", "3 in layer 2"), ("[\"0, 0\", \"1\", \"6\", \"3\"]", "0, 0"),
    ("[\"0, 8\", \"1-2\", \"6-7\", \"3-4\"]", "expert 8 of 8"), ("3", "the number 3"),
  ])
  func brokenListsAreRefused(_ text: String, _ message: String) throws {
    let json = try JSON.parse(Array(text.utf8), path: "x")
    let error = try #require(throws: FormatError.self) {
      try DroppedExperts(json, left: 6, layers: 4, path: "x")
    }
    #expect("\(error)".contains(message), "\(error)")
  }

  @Test func driftIsByTheOriginalsNumbers() async throws {
    let model = try Nano.model()
    let left = try model.dropping(Self.dropped)
    let contexts = try Nano.contexts(2, of: 128)
    let report = try await verify(left, against: model, contexts)
    #expect(report.divergence.mean.value > 0)
    for layer in report.layers {
      let choices = layer.router!.choices
      #expect(choices.candidate.count == 8 && choices.original.reduce(0, +) == 2 * 256)
      for expert in Self.dropped.layers[layer.layer] {
        #expect(choices.candidate[expert] == 0 && choices.both[expert] == 0)
      }
    }
    // Before any layer both have the same inputs: tokens that lose nothing go where they went.
    let first = report.layers[0].router!.choices
    let kept = Self.dropped.kept(0)
    #expect(
      kept.allSatisfy { first.both[$0] == first.original[$0] && first.candidate[$0] >= first.original[$0] })
    #expect(report.dropped == Self.dropped)
    // Without a word on which are gone the rows of the routers say it.
    var silent = left
    silent.sideFiles = model.sideFiles
    let found = try await verify(silent, against: model, contexts)
    #expect(found.dropped == Self.dropped && found.layers == report.layers)
  }

  /// Rounded to 8 bits, and with channels scaled as AWQ does it, they are still the original's.
  @Test func rowsOfRoutersTellWhichAreLeft() async throws {
    let model = try Nano.model()
    var silent = try model.dropping(Self.dropped)
    silent.sideFiles = model.sideFiles
    let hidden = model.blueprint.hiddenSize
    let coarse = try silent.mapTensors { tensor throws(FormatError) in
      guard tensor.role.kind == .router || tensor.role.kind == .feedForwardNorm else { return tensor }
      var values = try tensor.floats()
      let step = 2 * values.reduce(0) { max($0, abs($1)) } / 255
      for index in values.indices {
        let factor = Float(1 + index % hidden % 3)
        if tensor.role.kind == .router {
          values[index] = (values[index] / step).rounded() * step / factor
        } else {
          values[index] *= factor
        }
      }
      return Self.dense(tensor, values)
    }
    #expect(try coarse.droppedExperts(of: model) == Self.dropped)
    // In another order they cannot be numbered, and another model's are none of them.
    for change: (inout [Float]) -> Void in [
      { rows in rows = Array(rows[hidden..<2 * hidden] + rows[..<hidden] + rows[(2 * hidden)...]) },
      { rows in for index in 3 * hidden..<4 * hidden { rows[index] += index % 2 == 0 ? 1 : -1 } },
    ] {
      let other = try silent.mapTensors { tensor throws(FormatError) in
        guard tensor.role == Role(.router, layer: 2) else { return tensor }
        var rows = try tensor.floats()
        change(&rows)
        return Self.dense(tensor, rows)
      }
      let error = try #require(throws: FormatError.self) { try other.droppedExperts(of: model) }
      #expect("\(error)".contains("layers.2") && "\(error)".contains("row "), "\(error)")
    }
  }

  /// A tensor with other values, in F32.
  private static func dense(_ tensor: Tensor, _ values: [Float]) -> Tensor {
    let bytes = values.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    return Tensor(
      name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: .dense(.f32), path: "masked",
      planes: [Bytes(bytes)])
  }

  @Test func evidenceIsThatOfTheModelThatIsLeft() async throws {
    let model = try Nano.model()
    let left = try model.dropping(Self.dropped)
    let found = try await CalibrationTests.statistics(model, contexts: 3).dropping(Self.dropped, of: model)
    let own = try await CalibrationTests.statistics(left, contexts: 3)
    // The first layer has the same inputs in both, which are kept in BF16: few choices hang by less.
    let (a, b) = (try found.layer(0), try own.layer(0))
    for (field, bytes) in b.fields { #expect(a.fields[field]?.count == bytes.count, "\(field)") }
    var same = 0
    for expert in 0..<6 {
      let (mine, other) = (a.routedTokens(of: expert), b.routedTokens(of: expert))
      let weights = Dictionary(uniqueKeysWithValues: other.map { ($0.token, $0.weight) })
      let common = mine.filter { routedToken in
        weights[routedToken.token].map { abs($0 - routedToken.weight) < 0.01 } ?? false
      }
      same += common.count
      let squares = zip(
        a.floats(.inputSquares, expert * 256..<(expert + 1) * 256),
        b.floats(.inputSquares, expert * 256..<(expert + 1) * 256))
      #expect(mine.isEmpty || squares.allSatisfy { abs($0 - $1) <= 0.05 * max($0, $1) + 1e-3 }, "\(expert)")
    }
    #expect(Double(same) > 0.99 * Double(3 * 128 * 2), "\(same)")
    for layer in 0..<4 {
      #expect(try found.layer(layer).load(experts: 6).reduce(0) { $0 + $1.tokens } == 3 * 128 * 2)
    }
    // GPTQ takes it.
    let plan = try Recipe.named("int4").plan(for: left)
    var options = QuantizationOptions()
    options.calibration = Calibration(found)
    let quantized = try left.quantized(by: plan.calibrated(by: options.calibration!, left.blueprint), options)
    let tensor = try #require(quantized[.down, layer: 1, expert: 5])
    #expect(tensor.encoding == plan.assignments[tensor.role]?.encoding)
    #expect(try tensor.floats().allSatisfy(\.isFinite))
  }
}

/// What `SensitivityPass` finds of experts that are left out.
@Suite struct DroppedOutputsTests {
  @Test func scoresAndErrorsAreThoseOfAnIndependentComputation() async throws {
    let model = try Nano.model()
    let contexts = try Nano.contexts(2, of: 64)
    var pass = try SensitivityPass(model, reference: model, uniform: [], contexts, workers: 2)
    let statistics = try await pass.observe()
    let found = try await pass.finish(reference: model).dropped
    #expect(found.counts == [1, 2, 3, 4, 6] && found.carried == 2)
    // Outputs by plain loops from the statistics' inputs, which are rounded to BF16.
    let (hidden, width) = (model.blueprint.hiddenSize, model.blueprint.experts.intermediateSize)
    var outputs: [[Int: [Double]]] = []
    for expert in 0..<8 {
      let weights = try [TensorKind.gate, .up, .down].map {
        try model[$0, layer: 0, expert: expert]!.floats()
      }
      var own: [Int: [Double]] = [:]
      for routedToken in statistics.routedTokens(of: expert) {
        let x = statistics.floats(.inputs, routedToken.token * hidden..<(routedToken.token + 1) * hidden).map
        { Double($0) }
        func product(_ matrix: [Float], _ x: [Double], _ rows: Int) -> [Double] {
          (0..<rows).map { row in x.indices.reduce(0) { $0 + Double(matrix[row * x.count + $1]) * x[$1] } }
        }
        let (gate, up) = (product(weights[0], x, width), product(weights[1], x, width))
        own[routedToken.token] = product(weights[2], zip(gate, up).map { $0 / (1 + exp(-$0)) * $1 }, hidden)
      }
      outputs.append(own)
      let routedTokens = statistics.routedTokens(of: expert)
      let norms = routedTokens.map { routedToken in
        Double(routedToken.weight) * own[routedToken.token]!.reduce(0) { $0 + $1 * $1 }.squareRoot()
      }
      let mean = norms.reduce(0, +) / Double(max(norms.count, 1))
      #expect(abs(found.scores[expert] - mean) <= 0.01 * mean, "\(expert): \(found.scores[expert]), \(mean)")
      let square = norms.reduce(0) { $0 + $1 * $1 }
      #expect(abs(found.squares[expert] - square) <= 0.02 * square)
    }
    // A model without them, through the same layer.
    for (count, error) in zip(found.counts, found.errors) {
      let order = found.scores.indices.sorted { (found.scores[$0], $0) < (found.scores[$1], $1) }
      let layers = (0..<4).map { $0 == 0 ? order.prefix(count).sorted() : Array(0..<count) }
      let left = try model.dropping(DroppedExperts(experts: 8, layers: layers))
      let states = try await SensitivityPass(model, reference: model, uniform: [left], contexts, workers: 1)
        .afterOneLayer()
      let expected = zip(states.original, states.uniform).reduce(0.0) { sum, pair in
        sum
          + zip(pair.0, pair.1).reduce(0.0) {
            $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
          }
      }
      #expect(abs(error - expected) <= 1e-3 * expected, "\(count): \(error), \(expected)")
    }
  }
}

extension SensitivityPass {
  /// States of the original and of the uniform model after the first layer, and that of the layer without experts.
  fileprivate func afterOneLayer() async throws -> (original: [[Float]], uniform: [[Float]]) {
    var pass = self
    _ = try await pass.observe()
    _ = try await pass.finish(reference: try Nano.model())
    return (Array(pass.states[0..<2]), Array(pass.states[2..<4]))
  }
}
