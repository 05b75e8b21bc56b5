import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

/// What a run of a sensitivity measurement takes: floating-point operations by what they are for, at the rate of this machine's
/// matrix products, and what choosing and decoding codes takes beside them, as measured on a few weights.
package struct SensitivityCost {
  package struct Row: Sendable {
    package let what: String
    /// Floating-point operations of matrix products, and of paths of trellis codes.
    package let operations: Double
    /// Seconds of one core for what else is computed: codes that are chosen and decoded.
    package let codes: Double
  }

  package let rows: [Row]
  /// Operations a second of one core.
  package let rate: Double
  /// Bytes of hidden states, which are kept beside the output.
  package let states: Int
  /// Bytes of memory, about.
  package let memory: Int
  /// Threads that a run has here.
  package let workers: Int

  /// By layer, weights whose codes channel scales are tried on for each encoding.
  private static func scalingWeights(_ layer: Blueprint.Layer) -> Double {
    let block = layer.feedForward
    let shared = layer.observedTaps.reduce(0) { $0 + $1.linears.count * $1.columns }
    let experts = min(block.count, 8) * (2 * layer.hiddenSize + block.intermediateSize)
    return 9 * 256 * Double(shared + experts)
  }

  init(
    _ model: Model, tokens: (tensors: Int, mixedPlans: Int), _ choice: SensitivityChoice,
    _ options: SensitivityEffort,
    isCalibrated: Bool, workers: Int = RunControl().workers
  ) {
    let workers = max(workers, 1)
    self.workers = workers
    var rows: [Row] = []
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
    let experts = Double(max(block.feedForward.count, 1))
    let perToken = Double(block.feedForward.perToken)
    let vocabulary = Double(blueprint.vocabulary)
    // Of one token in one layer; products of scores are left out: contexts are short.
    let attentionOperations = 2 * hidden * (2 * attention + 2 * shared) + 2 * hidden * experts
    let expertOperations = perToken * 3 * 2 * hidden * width
    let layer = attentionOperations + expertOperations
    let groups = 8 * layers + 1
    let uniform = Double(choice.uniform.count)
    let mixedPlans = Double(choice.formats.count * MixedPlans.count)
    let paths = choice.candidates.compactMap(\.pathOperations)
    let rates = CodeRates(choice.candidates, isCalibrated: isCalibrated)
    rate = rates.products
    // Seconds for a weight, of all candidates together and of one on the average.
    let searchable = choice.candidates.filter { $0.pathOperations == nil }
    let searches = searchable.reduce(0) { $0 + rates.search($1) }
    let search = searches / Double(max(searchable.count, 1))
    let (expertWeights, sharedWeights) = (3 * hidden * width, hidden * (2 * attention + 2 * shared))
    let layerWeights = experts * expertWeights + sharedWeights
    let headWeights = hidden * vocabulary
    // What is read of the original's is decoded, which takes about as long as a code is looked up.
    let decode = 0.5e-9
    // Some pieces of the head and the embedding stand for all.
    let headShare = min(headWeights, Double(CandidateErrors.sampledValues))

    // A copy of each of 8 groups begins in every layer; four of them run the layer, three only its experts, beside exact ones, and
    // without some experts these run for scores and once more, for about twice as many tokens.
    let perturbedRuns =
      layer * (8 * layers * (layers - 1) / 2 + layers)
      + layers * (5 * layer + 4 * expertOperations + 2 * expertOperations)
    let logits = (groups + 2 * uniform + 3) * 2 * hidden * vocabulary / 2
    let seen = min(tokens * perToken / experts, 128) + hidden / 16
    let errors =
      Double(searchable.count) * layers
      * (experts * 3 * 2 * seen * hidden * width + 2 * hidden * hidden * (attention + 2 * shared)
        + 2 * hidden * attention * attention) + Double(searchable.count) * 2 * headShare * hidden
    // Gate and up give what goes into down.
    let inner = layers * experts * 4 * seen * hidden * width
    let uniformSearches = choice.uniform.reduce(0) { $0 + rates.search($1) }
    func add(_ what: String, _ operations: Double, codes: Double = 0) {
      rows.append(Row(what: what, operations: operations, codes: codes))
    }
    add(
      "exact states and those of models in one encoding", (1 + uniform) * tokens * layers * layer,
      codes: layers * layerWeights * (2 * decode + uniformSearches) + headWeights * (decode + uniformSearches)
    )
    let isGPTQ = isCalibrated && !options.quick
    add(
      "\(Int(mixedPlans)) plans as a whole, and the model without some experts",
      judged * (2 + mixedPlans) * (layers * layer + hidden * vocabulary),
      codes: (layers * layerWeights + headWeights) * (2 * decode + (isGPTQ ? 0 : mixedPlans * search)))
    add(
      "copies, \(Int(groups)) of them in the end", tokens * perturbedRuns,
      codes: layers * layerWeights * (decode + rates.search(choice.reference)))
    add("logits", tokens * logits)
    add(
      "errors of candidates", errors + inner,
      codes: (layers * layerWeights + 2 * headShare) * (searches + decode))
    if isCalibrated {
      let each = SensitivityCost.gptq(hidden, width, tokens: min(tokens * perToken / experts, 2048))
      let sample = min(Double(options.sample), experts)
      let square = { (x: Double) in x * x * x }
      let sharedOperations =
        hidden * (attention + 2 * shared) * Double(CodeRates.operations(columns: Int(hidden)))
        + hidden * attention * Double(CodeRates.operations(columns: Int(attention)))
        + square(hidden) + square(attention)
      let headOperations = headShare / 4 * Double(CodeRates.operations(columns: Int(hidden)))
      let gptq = choice.candidates.reduce(0) { $0 + rates.gptq(beside: $1.quick) }
      let scaling = blueprint.layers.reduce(0) { $0 + SensitivityCost.scalingWeights($1) }
      add(
        "GPTQ of \(Int(sample)) experts per layer to every candidate",
        Double(choice.candidates.count) * (layers * (sample * each + sharedOperations) + headOperations),
        codes: gptq * (layers * (sample * expertWeights + sharedWeights) + headShare / 4))
      add("channel scales", 0, codes: scaling * (searches + mixedPlans * search))
      if isGPTQ {
        let one = gptq / Double(max(choice.candidates.count, 1))
        add(
          "GPTQ of \(Int(mixedPlans)) plans as a whole",
          mixedPlans
            * (layers * (experts * each + sharedOperations)
              + headWeights * Double(CodeRates.operations(columns: Int(hidden)))),
          codes: mixedPlans * one * (layers * layerWeights + headWeights))
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
      add("paths of trellis codes to try", operations)
      // Plans of few bits take trellis codes for most tensors, those of more for none.
      add(
        "paths of \(plans) plans as a whole", Double(plans * model.parameters) * (quick.max() ?? 0) * 0.5)
    }
    states = Int(max(tokens * (groups + uniform + 1), judged * (1 + mixedPlans)) * hidden) * 4
    memory = SensitivityCost.memory(
      states: states, reference: choice.reference, layerWeights: layerWeights, expertWeights: expertWeights,
      headWeights: headWeights, taps: block.observedTaps.map(\.columns), tokens: tokens, hidden: hidden,
      workers: workers, isCalibrated: isCalibrated)
    self.rows = rows
  }

  /// Planes of the reference's layer, or of its head and embedding, the statistics at hand, and buffers of all threads.
  private static func memory(
    states: Int, reference: Encoding, layerWeights: Double, expertWeights: Double, headWeights: Double,
    taps: [Int], tokens: Double, hidden: Double, workers: Int, isCalibrated: Bool
  ) -> Int {
    let planes = max(layerWeights, 2 * headWeights) * reference.bitsPerWeight / 8
    let hessians = taps.reduce(0.0) { $0 + 4 * Double($1) * Double($1) } + 2 * 4 * hidden * hidden
    let largest = taps.map { 3 * 4 * Double($0) * Double($0) }.max() ?? 0
    let buffers = Double(workers) * (6 * 4 * expertWeights / 3 + (isCalibrated ? largest : 0))
    return Int(
      0.1e9 + 2 * Double(states) + planes + (isCalibrated ? 2 : 1) * hessians + 2 * tokens * hidden + buffers)
  }

  /// Operations of GPTQ on an expert: Hessians, factors, GPTQ and its refits, gate and up of the original and as they are
  /// quantized, and what is made of their difference.
  private static func gptq(_ hidden: Double, _ width: Double, tokens: Double = 2048) -> Double {
    let tokens = tokens + hidden / 16
    let inverse = 2 * (hidden * hidden * hidden + 2 * width * width * width) / 3
    let passes =
      2 * width * hidden * CodeRates.operations(columns: Int(hidden))
      + hidden * width * CodeRates.operations(columns: Int(width))
    let correction = 2 * tokens * width * width + 2 * width * width * width + 2 * hidden * width * width
    return tokens * (hidden * hidden + width * width) + inverse + passes + correction
      + 8 * tokens * hidden * width
  }

  /// Operations of GPTQ on all experts of a model.
  static func gptq(of blueprint: Blueprint) -> Double {
    blueprint.layers.reduce(0) { sum, layer in
      let block = layer.feedForward
      return sum + Double(max(block.count, 1))
        * gptq(Double(layer.hiddenSize), Double(block.intermediateSize))
    }
  }

  package func hours(_ row: Row) -> Double { (row.operations / rate + row.codes) / 3600 }

  /// Hours of one core.
  package var hours: Double { rows.reduce(0) { $0 + hours($1) } }

  /// Minutes of a run on this machine.
  package var minutes: Double { 60 * hours / Double(workers) }

  package var json: JSON {
    [
      "rate": JSON(rate), "stateBytes": JSON(states), "memoryBytes": JSON(memory), "threads": JSON(workers),
      "minutes": JSON(minutes),
      "rows": .array(
        rows.map {
          [
            "what": .string($0.what), "operations": JSON($0.operations),
            "coreHours": JSON(hours($0)),
          ]
        }),
    ]
  }
}
