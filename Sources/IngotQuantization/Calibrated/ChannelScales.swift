import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Factors on channels that leave a model's function as it is: columns of a linear layer times s, what goes into it
/// divided by s. A group of weights then holds columns that are alike in what a rounding of theirs costs.
///
/// Four places per layer: the attention's norm into query, key and value; rows of value into the columns of the output
/// projection that read them, in every head of a group; the experts' norm into router, gate and up; and each expert's rows
/// of up into its columns of down. Norms are divided so that their new values are exact in their
/// own type, and s follows from these.
///
/// s = h^(α/2) / w^(β/2), h and w being the channel's mean squares of inputs and weights (α = 1, β = 0 is the rule of Lin
/// et al., "AWQ" (2024)). α and β are searched for in each layer, on the weighted error of a sample of rows and experts as
/// the plan encodes them; (0, 0), which changes nothing, is among them.
public struct ChannelScales: Sendable {
  /// By layer, of the hidden size; empty for none.
  var attention: [[Float]]
  var experts: [[Float]]
  /// By layer, of the output projection's columns: equal for those that read the same row of value; empty for none.
  var output: [[Float]]
  /// By layer and expert, of the experts' width; empty for none.
  var inner: [[[Float]]]
  /// What was chosen, by layer: α and β for each place, and the share of the error that is left.
  public private(set) var choices: [[Choice]] = []

  /// Down projections of the experts that were rescued from an overflow, and of those that could not be: the plan keeps
  /// their up or down projection as it is.
  public private(set) var rescued: [Role] = []
  public private(set) var unrescued: [Role] = []

  public struct Choice: Sendable {
    public var place: String
    public var alpha: Double
    public var beta: Double
    public var errorShare: Double

    public init(place: String, alpha: Double, beta: Double, errorShare: Double) {
      self.place = place
      self.alpha = alpha
      self.beta = beta
      self.errorShare = errorShare
    }
  }

  private static let candidates: [(alpha: Double, beta: Double)] = [
    (0, 0), (0, 0.5), (0, 1), (0.125, 0.875), (0.25, 0.75), (0.375, 0.625), (0.5, 0.5), (0.25, 0.5),
    (0.75, 0.25),
  ]
  /// Experts and rows of each tensor that a choice is made on.
  private static let sampledExperts = 8
  private static let sampledRows = 256

  /// Searches every layer, some at a time.
  ///
  /// - Parameters:
  ///   - known: by layer, what an earlier run of the same chose: scales follow from it without a search.
  ///   - wanted: the layers that are searched, nil for all; others that are not known have no scales.
  ///   - found: hears what was chosen in each layer that was searched, in any order.
  /// - Throws: FormatError for statistics and weights that cannot be read, and what `found` throws.
  public static func search(
    _ model: Model, _ plan: Plan, _ statistics: CalibrationStatistics, rescuingOverflow: Bool = false,
    workers: Int,
    known: [Int: [Choice]] = [:], layers wanted: Set<Int>? = nil,
    found report: @Sendable (_ layer: Int, [Choice]) throws(FormatError) -> Void = { _, _ in }
  ) async throws(FormatError) -> ChannelScales {
    let layers = model.blueprint.layerCount
    var found = [LayerScales](repeating: LayerScales(), count: layers)
    do {
      try await withThrowingTaskGroup(of: (Int, LayerScales).self) { group in
        // Of other layers not even the statistics are read.
        var due = (0..<layers).filter { known[$0] != nil || wanted?.contains($0) ?? true }[...]
        func start() {
          guard let layer = due.popFirst() else { return }
          group.addTask { (layer, try LayerScales(model, plan, statistics.layer(layer), known[layer])) }
        }
        for _ in 0..<max(workers, 1) { start() }
        while let (layer, scales) = try await group.next() {
          found[layer] = scales
          if known[layer] == nil { try report(layer, scales.choices) }
          start()
        }
      }
    } catch let error as FormatError {
      throw error
    } catch {
      throw FormatError(path: model.path, expected: "the run to continue", found: "\(error)")
    }
    var scales = ChannelScales(
      attention: found.map(\.attention), experts: found.map(\.experts), inner: found.map(\.inner),
      output: found.map(\.output))
    scales.choices = found.map(\.choices)
    if rescuingOverflow { try scales.rescueOverflow(model, plan, statistics) }
    return scales
  }

  /// No scales but those that keep experts from overflowing.
  public static func rescue(_ model: Model, _ plan: Plan, _ statistics: CalibrationStatistics)
    throws(FormatError)
    -> ChannelScales
  {
    let none = [[Float]](repeating: [], count: model.blueprint.layerCount)
    var scales = ChannelScales(attention: none, experts: none, inner: none.map { _ in [] })
    try scales.rescueOverflow(model, plan, statistics)
    return scales
  }

  init(attention: [[Float]], experts: [[Float]], inner: [[[Float]]], output: [[Float]]? = nil) {
    self.attention = attention
    self.experts = experts
    self.inner = inner
    self.output = output ?? attention.map { _ in [] }
  }

  /// The greatest value of F16: what passes it is infinite in an engine that computes with this type.
  public static let overflow: Float = 65504

  /// Divides what goes into the down projection of experts by a power of two where its magnitude passed `overflow` during
  /// calibration, so that it stays below half of that; the function stays as it is.
  private mutating func rescueOverflow(_ model: Model, _ plan: Plan, _ statistics: CalibrationStatistics)
    throws(FormatError)
  {
    for layer in inner.indices {
      let block = model.blueprint.layers[layer].feedForward
      let width = block.intermediateSize
      for (expert, peak) in try statistics.layer(layer).floats(.innerPeaks).enumerated()
      where peak > ChannelScales.overflow {
        let (lifting, lowering) = (block.projections.lifting, block.projections.lowering)
        let isFree = [lifting, lowering].allSatisfy { kind in
          plan.assignments[block.role(kind, layer: layer, expert: expert)]?.quantizer != nil
        }
        let description = model.blueprint.layers[layer]
        guard isFree, description.absorber(of: description.feedForwardInner)?.kind == lifting,
          description.bias(of: lifting) == nil
        else {
          unrescued.append(block.role(lowering, layer: layer, expert: expert))
          continue
        }
        let ones = [Float](repeating: 1, count: width)
        if inner[layer].isEmpty {
          inner[layer] = [[Float]](repeating: ones, count: block.count)
        }
        // A channel's own factor may have made it louder.
        let loudest = peak / (inner[layer][expert].min() ?? 1)
        let factor = Float(
          sign: .plus, exponent: (loudest / ChannelScales.overflow).exponent + 2, significand: 1)
        inner[layer][expert] = inner[layer][expert].map { $0 * factor }
        rescued.append(block.role(lowering, layer: layer, expert: expert))
      }
    }
  }

  /// The factors of a tap's channels in a layer; empty for none.
  func factors(_ tap: Tap, _ block: Blueprint.Layer, layer: Int, expert: Int) -> [Float] {
    switch tap.name {
    case block.mixerInput.name: attention[layer]
    case block.mixerOutput.name: output[layer]
    case block.feedForwardInput.name: experts[layer]
    case block.feedForwardInner.name: inner[layer].isEmpty ? [] : inner[layer][expert]
    default: []
    }
  }

  /// Scales of one layer.
  struct LayerScales: Sendable {
    var attention: [Float] = []
    var experts: [Float] = []
    var output: [Float] = []
    var inner: [[Float]] = []
    var choices: [Choice] = []
    private var known: [Choice] = []

    init() {}

    init(_ model: Model, _ plan: Plan, _ statistics: LayerStatistics, _ known: [Choice]?) throws(FormatError)
    {
      self.known = known ?? []
      let description = model.blueprint.layers[statistics.layer]
      let (layer, block) = (statistics.layer, description.feedForward)
      let count = block.count
      func isFree(_ kinds: [TensorKind], expert: Int? = nil) -> Bool {
        kinds.allSatisfy { kind in
          let role = expert.map { block.role(kind, layer: layer, expert: $0) } ?? Role(kind, layer: layer)
          let quantizer = plan.assignments[role]?.quantizer
          return quantizer == Quantizer.gptq.rawValue || quantizer == Quantizer.search.rawValue
        }
      }
      func isKept(_ kind: TensorKind, as types: [DType]) -> Bool {
        let role = Role(kind, layer: layer)
        guard let tensor = model[role], case .dense(let type) = tensor.encoding, types.contains(type) else {
          return false
        }
        return plan.assignments[role]?.quantizer == nil
      }
      /// The norm that takes the scales of a tap's channels; nil where none does so exactly.
      func norm(_ tap: Tap, _ norm: Norm, _ residual: Residual) -> Tensor? {
        guard case .norm(let kind) = tap.source, !norm.addsOne, residual.normScale == nil,
          isKept(kind, as: [.bf16, .f32, .f16]), !norm.isCentered || isKept(kind.bias, as: [.f32]),
          tap.readers.allSatisfy({ isKept($0, as: [.f32]) })
        else { return nil }
        return model[kind, layer: layer]
      }
      let (input, outputTap) = (description.mixerInput, description.mixerOutput)
      if isFree(input.linears), let norm = norm(input, description.mixerNorm, description.mixerResidual) {
        let tensors = input.linears.map { model[$0, layer: layer]! }
        let h = diagonal(statistics.floats(.init(input)))
        var w = [Double](repeating: 0, count: input.columns)
        for tensor in tensors { addSquares(try tensor.floats(), to: &w) }
        let (s, choice) = try choose(h, w, tensors, plan, "attention")
        attention = try exact(s, norm)
        choices.append(choice)
      }
      if let absorber = description.absorber(of: outputTap), description.bias(of: absorber.kind) == nil,
        isFree([absorber.kind] + outputTap.linears)
      {
        let tensor = model[outputTap.linears[0], layer: layer]!
        let h = diagonal(statistics.floats(.init(outputTap)))
        var w = [Double](repeating: 0, count: tensor.columns)
        addSquares(try tensor.floats(), to: &w)
        let groups = absorber.rows
        let (s, choice) = try choose(
          LayerScales.shared(h, groups), LayerScales.shared(w, groups), [tensor], plan, "output", truth: h)
        output = s
        choices.append(choice)
      }
      let sample = (0..<min(count, ChannelScales.sampledExperts)).map {
        $0 * count / min(count, ChannelScales.sampledExperts)
      }
      let (outer, innerTap) = (description.feedForwardInput, description.feedForwardInner)
      let own = block.projections.inputs
      let beside = outer.linears.filter { !own.contains($0) }
      if isFree(beside), (0..<count).allSatisfy({ isFree(own, expert: $0) }),
        let norm = norm(outer, description.feedForwardNorm, description.feedForwardResidual)
      {
        let tensors =
          sample.flatMap { expert in own.map { model[block.role($0, layer: layer, expert: expert)]! } }
          + beside.map { model[$0, layer: layer]! }
        let h = diagonal(statistics.floats(.expertInput))
        let (s, choice) = try choose(
          h, statistics.floats(.columnSquares).map { Double($0) }, tensors, plan, "experts")
        experts = try exact(s, norm)
        choices.append(choice)
      }
      if let absorber = description.absorber(of: innerTap), description.bias(of: absorber.kind) == nil,
        (0..<count).allSatisfy({ isFree([absorber.kind] + innerTap.linears, expert: $0) })
      {
        let width = block.intermediateSize
        var all: [(h: [Double], w: [Double])] = []
        let load = statistics.load(experts: count)
        for expert in 0..<count {
          let range = expert * width..<(expert + 1) * width
          all.append(
            (
              load[expert].tokens > 0
                ? statistics.floats(.innerSquares, range).map { Double($0) }
                : [Double](repeating: 1, count: width),
              statistics.floats(.downSquares, range).map { Double($0) }
            ))
        }
        let lowering = innerTap.linears[0]
        let choice = try choose("inner") { candidate throws(FormatError) in
          var error = 0.0
          for expert in sample {
            let s = scales(all[expert].h, all[expert].w, candidate)
            let role = block.role(lowering, layer: layer, expert: expert)
            error += try sampledError(model[role]!, s, all[expert].h, plan)
          }
          return error
        }
        let candidate = (choice.alpha, choice.beta)
        inner = candidate == (0, 0) ? [] : all.map { scales($0.h, $0.w, candidate) }
        choices.append(choice)
      }
    }

    /// The candidate with the least error, or the one that is known.
    private func choose(
      _ place: String, error: ((alpha: Double, beta: Double)) throws(FormatError) -> Double
    ) throws(FormatError) -> Choice {
      if let choice = known.first(where: { $0.place == place }) { return choice }
      var best: (error: Double, candidate: Int) = (.infinity, 0)
      var first = 0.0
      for (index, candidate) in ChannelScales.candidates.enumerated() {
        let error = try error(candidate)
        if index == 0 { first = error }
        if error < best.error { best = (error, index) }
      }
      let candidate = ChannelScales.candidates[best.candidate]
      return Choice(
        place: place, alpha: candidate.alpha, beta: candidate.beta,
        errorShare: first > 0 ? best.error / first : 1)
    }

    /// Each column's value replaced by the mean of those that share its row of value.
    private static func shared(_ values: [Double], _ groups: [Int]) -> [Double] {
      var sums = [Double](repeating: 0, count: (groups.max() ?? -1) + 1)
      var counts = sums
      for (column, row) in groups.enumerated() {
        sums[row] += values[column]
        counts[row] += 1
      }
      return groups.map { sums[$0] / counts[$0] }
    }

    private func diagonal(_ matrix: [Float]) -> [Double] {
      let n = Int(Double(matrix.count).squareRoot())
      return (0..<n).map { Double(matrix[$0 * n + $0]) }
    }

    private func addSquares(_ values: [Float], to sums: inout [Double]) {
      for (index, value) in values.enumerated() { sums[index % sums.count] += Double(value) * Double(value) }
    }

    /// h^(α/2) / w^(β/2) about 1, within 2^±12; (0, 0) gives ones.
    private func scales(_ h: [Double], _ w: [Double], _ candidate: (alpha: Double, beta: Double)) -> [Float] {
      let (meanH, meanW) = (h.reduce(0, +) / Double(h.count), w.reduce(0, +) / Double(w.count))
      guard meanH > 0, meanW > 0, candidate != (0, 0) else { return [Float](repeating: 1, count: h.count) }
      return zip(h, w).map { h, w in
        let s =
          power(h / meanH + 1e-4, candidate.alpha / 2) / power(w / meanW + 1e-6, candidate.beta / 2)
        return Float(min(max(s, 0x1p-12), 0x1p12))
      }
    }

    /// x^(k/8) by square roots, which round the same everywhere.
    private func power(_ x: Double, _ exponent: Double) -> Double {
      let root = x.squareRoot().squareRoot().squareRoot()
      return (0..<Int(exponent * 8)).reduce(1.0) { product, _ in product * root }
    }

    private func choose(
      _ h: [Double], _ w: [Double], _ tensors: [Tensor], _ plan: Plan, _ place: String, truth: [Double]? = nil
    ) throws(FormatError) -> ([Float], Choice) {
      let choice = try choose(place) { candidate throws(FormatError) in
        let s = scales(h, w, candidate)
        var error = 0.0
        for tensor in tensors { error += try sampledError(tensor, s, truth ?? h, plan) }
        return error
      }
      let candidate = (choice.alpha, choice.beta)
      return (candidate == (0, 0) ? [] : scales(h, w, candidate), choice)
    }

    /// Σ h (w − ŵ)² over the first rows of a tensor when its columns are quantized times s. Codes that scale columns themselves
    /// have the same error for every s: 0 stands for it.
    private func sampledError(_ tensor: Tensor, _ s: [Float], _ h: [Double], _ plan: Plan) throws(FormatError)
      -> Double
    {
      let encoding = plan.assignments[tensor.role]!.encoding
      // Its columns have scales of their own, which take up any others: all candidates leave the same.
      if case .tiles = encoding { return 1 }
      if encoding.isEstimated { return 0 }
      let step = tensor.rowStep
      let rows = min((ChannelScales.sampledRows + step - 1) / step * step, tensor.rows)
      var values = try tensor.floats(rows: 0..<rows)
      let columns = tensor.columns
      for index in values.indices { values[index] *= s[index % columns] }
      let importance = zip(h, s).map { Float($0 / (Double($1) * Double($1))) }
      let planes = Quantizer.search.planes(
        values, rows: rows, columns: columns, importance: importance, encoding: encoding)
      var decoded = [Float](repeating: 0, count: values.count)
      var span = decoded.mutableSpan
      encoding.decode(planes, rows: rows, columns: columns, into: &span)
      var error = 0.0
      for row in 0..<rows {
        let range = row * columns..<(row + 1) * columns
        error += squaredError(
          values.span.extracting(range), decoded.span.extracting(range), importance: importance.span)
      }
      return error
    }

    /// The scales by which the norm's values, divided and rounded to their type, were divided in truth.
    private func exact(_ s: [Float], _ norm: Tensor) throws(FormatError) -> [Float] {
      guard !s.isEmpty, case .dense(let type) = norm.encoding else { return [] }
      let values = try norm.floats()
      let divided = zip(values, s).map { $0 / $1 }
      let rounded = Bytes(count: divided.count * type.bits / 8) {
        encode(type.floatFormat!, divided.span, into: &$0)
      }
      var stored = [Float](repeating: 0, count: divided.count)
      var span = stored.mutableSpan
      decode(type.floatFormat!, rounded.span, into: &span)
      return zip(values, stored).map { value, stored in
        let s = value / stored
        return s.isFinite && s > 0 ? s : 1
      }
    }
  }
}
