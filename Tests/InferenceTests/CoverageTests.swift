import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

@Suite struct CoverageTests {
  /// Statistics of few tokens, and states after each layer, with and without forced tokens.
  static func gather(_ coverage: Int?, workers: Int = 2) async throws -> (
    layers: [LayerStatistics], states: [[[Float]]]
  ) {
    var options = CalibrationOptions()
    options.workers = workers
    options.coverage = coverage
    var layers: [LayerStatistics] = []
    var states: [[[Float]]] = []
    let text = try Nano.contexts(2, of: 48)
    try await calibrate(Nano.model(), text, options) { statistics, point in
      layers.append(statistics)
      states.append(point.states)
      return true
    }
    return (layers, states)
  }

  @Test func everyExpertIsSeenAndNothingElseChanges() async throws {
    let wanted = 40
    let (plain, covered) = (try await Self.gather(nil), try await Self.gather(wanted))
    #expect(plain.states == covered.states, "the model's outputs are those of its own routing, bit for bit")
    let blueprint = try Nano.model().blueprint
    var forced = 0
    for (one, other) in zip(plain.layers, covered.layers) {
      #expect(one.forcedCount == 0)
      for field in [
        LayerStatistics.Field.attentionInput, .expertInput, .inputs, .chosen, .weights, .outputPeaks,
      ] {
        #expect(one.fields[field]!.array == other.fields[field]!.array, "\(field)")
      }
      let gates = Self.gates(other, try Nano.model(), layer: other.layer)
      let (before, after) = (one.load(experts: 8), other.load(experts: 8))
      for expert in 0..<8 {
        #expect(before[expert].tokens == after[expert].tokens && before[expert].mass == after[expert].mass)
        #expect(after[expert].forced == max(wanted - before[expert].tokens, 0))
        let routedTokens = other.routedTokens(of: expert)
        #expect(routedTokens.count == max(wanted, before[expert].tokens))
        let own = Set(routedTokens.filter { !$0.isForced }.map(\.token))
        let looks = routedTokens.filter(\.isForced)
        #expect(own.isDisjoint(with: looks.map(\.token)) && Set(looks.map(\.token)).count == looks.count)
        // Nobody who was left out has a higher gate value than any who was taken.
        let taken = looks.map { gates[$0.token * 8 + expert] }
        let left = (0..<other.tokens).filter { token in !routedTokens.contains { $0.token == token } }
        if let least = taken.min(), let most = left.map({ gates[$0 * 8 + expert] }).max() {
          #expect(most <= least + 1e-3, "layer \(other.layer), expert \(expert)")
        }
        for routedToken in looks {
          let chosen = (0..<8).filter { expert in
            other.routedTokens(of: expert).contains { $0.token == routedToken.token && !$0.isForced }
          }
          let sum = chosen.reduce(0) { $0 + gates[routedToken.token * 8 + $1] }
          #expect(abs(routedToken.weight - gates[routedToken.token * 8 + expert] / sum) < 2e-2)
        }
        forced += looks.count
      }
      #expect(blueprint.experts.count == 8)
    }
    #expect(forced > 0, "some expert of the fixture has fewer than \(wanted)")
  }

  /// σ of the router's scores, from the statistics' inputs: (tokens, experts)
  static func gates(_ statistics: LayerStatistics, _ model: Model, layer: Int) -> [Float] {
    let router = (try? model[.router, layer: layer]!.floats()) ?? []
    let hidden = model.blueprint.hiddenSize
    let inputs = statistics.floats(.inputs)
    var gates: [Float] = []
    for token in 0..<statistics.tokens {
      for expert in 0..<router.count / hidden {
        var sum: Float = 0
        for column in 0..<hidden { sum += inputs[token * hidden + column] * router[expert * hidden + column] }
        gates.append(1 / (1 + Float(exp(-Double(sum)))))
      }
    }
    return gates
  }

  @Test func forcedVisitsAreTheSameForAnyNumberOfWorkersAndInFiles() async throws {
    let model = try Nano.model()
    let (one, three) = (
      try await Self.gather(40, workers: 1).layers, try await Self.gather(40, workers: 3).layers
    )
    let path = NSTemporaryDirectory() + "\(UUID()).calib"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let writer = try CalibrationFile.Writer(path, for: model, texts: [])
    try writer.begin(tokens: 96, mostForced: 8 * 40)
    for layer in one { try writer.write(layer) }
    try writer.commit()
    let read = try CalibrationFile.read(path, for: model)
    for (index, layer) in one.enumerated() {
      let stored = try read.layer(index)
      #expect(layer.fields.keys == three[index].fields.keys)
      for (field, bytes) in layer.fields {
        #expect(bytes.array == three[index].fields[field]!.array, "\(index) \(field)")
        #expect(bytes.array == stored.fields[field]!.array, "\(index) \(field)")
      }
    }
  }

  @Test func theLedgerTellsForcedTokensApart() async throws {
    let model = try Nano.model()
    var ledger = ExpertLedger(model.blueprint)
    for layer in try await Self.gather(40).layers { ledger.add(layer) }
    #expect(ledger.entries.allSatisfy { $0.tokens + $0.forced >= 40 })
    let starved = ledger.entries.filter { $0.forced > 0 }
    #expect(
      !starved.isEmpty
        && starved.allSatisfy { $0.tokens < 40 && $0.unseenEnergy < 1 && $0.effectiveRank >= 1 })
    #expect(ledger.entries.allSatisfy { $0.tokens > 0 || $0.gateMass == 0 })
  }

  @Test func aPassGoesOnFromAPoint() async throws {
    let model = try Nano.model()
    let text = try Nano.contexts(2, of: 48)
    let whole = try await Self.gather(40)
    var options = CalibrationOptions()
    options.workers = 2
    options.coverage = 40
    for stop in 1..<4 {
      var point: PassPoint?
      let isDone = try await calibrate(model, text, options) { _, now in
        point = now
        return now.layer < stop
      }
      #expect(!isDone && point!.layer == stop)
      var layers: [LayerStatistics] = []
      let isFinished = try await calibrate(model, text, options, from: point) { statistics, _ in
        layers.append(statistics)
        return true
      }
      #expect(isFinished && layers.count == 4 - stop)
      for layer in layers {
        for (field, bytes) in layer.fields {
          #expect(bytes.array == whole.layers[layer.layer].fields[field]!.array, "\(layer.layer) \(field)")
        }
      }
    }
  }

  @Test func surveysCountWhatEvidenceHolds() async throws {
    let layers = try await Self.gather(nil).layers
    var counts: [[Int]] = []
    try await survey(Nano.model(), Nano.contexts(2, of: 48)) { tokens, point in
      counts.append(tokens)
      return point.layer < 4
    }
    #expect(counts == layers.map { $0.load(experts: 8).map(\.tokens) })
  }

  /// An expert's Hessian is Σ g² x xᵀ over its tokens and, as if hidden/16 more had come, the layer's over all tokens.
  @Test func starvedExpertsFallBackOnTheLayer() async throws {
    let hidden = try Nano.model().blueprint.hiddenSize
    let pseudo = Double(hidden / 16)
    var starved = 0
    for layer in try await Self.gather(30).layers {
      let all = layer.floats(.expertInput).map { Double($0) }
      let x = layer.floats(.inputs).map { Double($0) }
      let trace = (0..<hidden).reduce(0.0) { $0 + all[$1 * hidden + $1] }
      for expert in 0..<8 {
        let routedTokens = layer.routedTokens(of: expert)
        let found = ExpertInputs(layer, expert: expert, hidden: hidden, divisors: []).hessian().map {
          Double($0)
        }
        let squares = routedTokens.map { Double($0.weight) * Double($0.weight) }
        let mean = squares.reduce(0, +) / Double(routedTokens.count)
        for (i, j) in [(0, 0), (5, 90), (90, 5), (hidden - 1, hidden - 1)] {
          var sum = pseudo * mean * all[i * hidden + j]
          for (routedToken, square) in zip(routedTokens, squares) {
            sum += square * x[routedToken.token * hidden + i] * x[routedToken.token * hidden + j]
          }
          #expect(
            abs(sum - found[i * hidden + j]) <= 1e-4 * pseudo * mean * trace / Double(hidden) + 1e-3
              * abs(sum))
        }
        if routedTokens.contains(where: \.isForced) { starved += 1 }
        // Nobody at all: the layer's, whatever its scale.
        var empty = layer
        (empty.fields[.forced], empty.fields[.forcedWeights]) = (nil, nil)
        empty.fields[.chosen] = Bytes(count: layer.fields[.chosen]!.count) { out in
          let nobody: Int32 = 7 - Int32(expert)
          for index in 0..<out.byteCount / 4 {
            out.storeBytes(of: nobody == Int32(expert) ? 0 : nobody, toByteOffset: 4 * index, as: Int32.self)
          }
        }
        let alone = ExpertInputs(empty, expert: expert, hidden: hidden, divisors: []).hessian()
        #expect(zip(alone, all).allSatisfy { abs(Double($0) - pseudo * $1) <= 1e-5 * pseudo * abs($1) })
      }
    }
    #expect(starved > 0)
  }
}
