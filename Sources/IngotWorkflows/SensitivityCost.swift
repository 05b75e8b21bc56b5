import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

/// What a run of a sensitivity measurement takes: floating-point operations by what they are for, and core-hours at the rate of
/// this machine's matrix products.
package struct SensitivityCost {
  package let rows: [(what: String, operations: Double)]
  /// Operations a second of one core.
  package let rate: Double
  /// Bytes.
  package let states: Int

  init(
    _ model: Model, tokens: (tensors: Int, mixedPlans: Int), _ choice: SensitivityChoice,
    _ options: SensitivityEffort,
    isCalibrated: Bool
  ) {
    let blueprint = model.blueprint
    // As if all layers were like the first one with the widest feed-forward.
    let block = blueprint.layers.max {
      $0.feedForward.perToken * $0.feedForward.intermediateSize
        < $1.feedForward.perToken * $1.feedForward.intermediateSize
    }!
    let (hidden, width) = (Double(blueprint.hiddenSize), Double(block.feedForward.intermediateSize))
    let (layers, judged) = (Double(blueprint.layerCount), Double(tokens.mixedPlans))
    let tokens = Double(tokens.tensors)
    let attention = Double(block.mixerOutput.columns)
    let shared = Double(block.mixer.cachedValuesPerToken / 2)
    let experts = Double(block.feedForward.count)
    let perToken = Double(block.feedForward.perToken)
    // Of one token in one layer; products of scores are left out: contexts are short.
    let attentionOperations = 2 * hidden * (2 * attention + 2 * shared) + 2 * hidden * experts
    let expertOperations = perToken * 3 * 2 * hidden * width
    let layer = attentionOperations + expertOperations
    let groups = 8 * layers + 1
    let uniform = Double(choice.uniform.count)
    let mixedPlans = Double(choice.formats.count * MixedPlans.count)
    let paths = choice.candidates.compactMap(\.pathOperations)
    let candidates = Double(choice.candidates.count - paths.count)
    // A copy of each of 8 groups begins in every layer; four of them run the layer, three only its experts, beside exact ones, and
    // without some experts these run for scores and once more, for about twice as many tokens.
    let perturbedRuns =
      layer * (8 * layers * (layers - 1) / 2 + layers)
      + layers * (5 * layer + 4 * expertOperations + 2 * expertOperations)
    let head = (groups + 2 * uniform + 3) * 2 * hidden * Double(blueprint.vocabulary) / 2
    let seen = min(tokens * perToken / experts, 256) + hidden / 16
    let errors =
      candidates * layers
      * (experts * 3 * 2 * seen * hidden * width + 2 * hidden * hidden * (attention + 2 * shared)
        + 2 * hidden * attention * attention)
    var rows = [
      ("exact states and those of models in one encoding", (1 + uniform) * tokens * layers * layer),
      (
        "\(Int(mixedPlans)) plans as a whole, and the model without some experts",
        judged * (2 + mixedPlans) * (layers * layer + hidden * Double(blueprint.vocabulary))
      ),
      ("copies, \(Int(groups)) of them in the end", tokens * perturbedRuns), ("logits", tokens * head),
      ("errors of candidates", errors),
    ]
    if isCalibrated {
      let each = SensitivityCost.gptq(hidden, width)
      let sample = min(Double(options.sample), experts)
      rows.append(
        (
          "GPTQ of \(Int(sample)) experts per layer to every candidate",
          Double(choice.candidates.count) * layers * sample * each
        ))
      if !options.quick {
        rows.append(("GPTQ of \(Int(mixedPlans)) plans as a whole", mixedPlans * layers * experts * each))
      }
    }
    if !paths.isEmpty {
      let tried = layers * experts * 3 * Double(TrellisEstimate.weights(rows: Int(width)))
      let quick = choice.candidates.compactMap(\.quick.pathOperations)
      var operations = tried * paths.reduce(0, +)
      if isCalibrated {
        let whole =
          hidden * (2 * attention + 2 * shared) + min(Double(options.sample), experts) * 3 * hidden * width
        operations += layers * whole * quick.reduce(0, +)
      }
      let plans =
        choice.formats.count { name in
          choice.candidates.contains { $0.pathOperations != nil && Format.named(name)?.refusal($0) == nil }
        } * MixedPlans.count
      rows.append(("paths of trellis codes to try", operations))
      rows.append(
        ("paths of \(plans) plans as a whole, at most", Double(plans * model.parameters) * (quick.max() ?? 0))
      )
    }
    self.rows = rows
    states = Int(max(tokens * (groups + uniform + 1), judged * (1 + mixedPlans)) * hidden) * 4
    rate = SensitivityCost.measuredRate()
  }

  /// Operations of GPTQ on an expert, as scripts/bench-gptq counts them: Hessians of 2048 tokens, factors, GPTQ and its refits.
  private static func gptq(_ hidden: Double, _ width: Double) -> Double {
    let inverse = 2 * (hidden * hidden * hidden + width * width * width) / 3
    let passes = 2 * width * hidden * hidden + hidden * width * width
    let refits = 5 * 2 * passes
    return 2048 * (hidden * hidden + width * width) + inverse + passes + refits + 8 * 2048 * hidden * width
  }

  /// Operations of GPTQ on all experts of a model.
  static func gptq(of blueprint: Blueprint) -> Double {
    blueprint.layers.reduce(0) { sum, layer in
      let block = layer.feedForward
      return sum + Double(max(block.count, 1))
        * gptq(Double(layer.hiddenSize), Double(block.intermediateSize))
    }
  }

  /// Of products of (512, 1024) by (1024, 1024) on one core: the best of some.
  private static func measuredRate() -> Double {
    let (m, n) = (512, 1024)
    let a = [Float](repeating: 0.5, count: m * n)
    let b = [Float](repeating: 0.25, count: n * n)
    var c = [Float](repeating: 0, count: m * n)
    let clock = ContinuousClock()
    var best = Double.infinity
    for _ in 0..<20 {
      var span = c.mutableSpan
      let time = clock.measure { matmul(a.span, b.span, tokens: m, inputs: n, outputs: n, into: &span) }
      best = min(best, time / .seconds(1))
    }
    return 2 * Double(m * n * n) / best
  }

  package func hours(_ operations: Double) -> Double { operations / rate / 3600 }

  package var json: JSON {
    [
      "rate": JSON(rate), "stateBytes": JSON(states),
      "rows": .array(
        rows.map {
          [
            "what": .string($0.what), "operations": JSON($0.operations),
            "coreHours": JSON(hours($0.operations)),
          ]
        }),
    ]
  }
}
