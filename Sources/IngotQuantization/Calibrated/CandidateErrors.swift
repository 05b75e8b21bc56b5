import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// What each of some encodings does to the outputs of a layer's tensors, measured on inputs that a text brought:
/// Σ g² ‖(Ŵ − W) x‖² over the tokens of an expert, g being its weights in the tokens' sums, and the mean of ‖(Ŵ − W) x‖² for
/// attention. An expert that few tokens reached also counts tokens of the layer at large, as `ExpertInputs` does.
///
/// GPTQ takes a thousand times as long as the search for codes, so that of most experts only the latter is measured, and
/// multiplied by what GPTQ gains on a sample of the layer's experts, by part and encoding. Trellis codes take as long to search for,
/// so that of these a few columns are tried (`TrellisEstimate`), and what GPTQ gains is measured with few states (`Encoding.quick`).
public struct CandidateErrors: Sendable {
  private let original: Model
  /// Codes by the search.
  private let candidates: [CandidateModel]
  /// The same by GPTQ; empty for no statistics.
  private let calibrated: [CandidateModel]
  private let sample: Int

  /// Errors of a tensor by candidate; nil where one does not fit.
  public struct Errors: Sendable {
    /// With codes by the search.
    public var searched: [Double?]
    /// As the tensor would be made.
    public var made: [Double?]

    public init(searched: [Double?], made: [Double?]) {
      self.searched = searched
      self.made = made
    }
  }

  /// - Parameters:
  ///   - calibrated: one for each candidate, in its encoding or the `quick` one of that.
  ///   - sample: experts of a layer that GPTQ is tried on.
  public init(
    _ original: Model, _ candidates: [CandidateModel], calibrated: [CandidateModel] = [], sample: Int = .max
  ) {
    precondition(calibrated.isEmpty || calibrated.count == candidates.count, "one for each")
    precondition(
      zip(candidates, calibrated).allSatisfy { [$0.encoding, $0.encoding.quick].contains($1.encoding) })
    self.original = original
    self.candidates = candidates
    self.calibrated = calibrated
    self.sample = max(sample, 1)
  }

  /// Errors by candidate of each tensor of a layer; nil for a candidate that does not fit the tensor.
  ///
  /// - Parameter passed: hears of the bytes of tensors that are done, from one task at a time.
  public func errors(_ statistics: LayerStatistics, workers: Int, passed: (Int) -> Void = { _ in })
    async throws(FormatError) -> [Role: Errors]
  {
    let experts = original.blueprint.layers[statistics.layer].feedForward.count
    let sampled = sampled(statistics)
    let loads = calibrated.compactMap { $0.model.statistics(layer: statistics.layer) }
    for layer in loads { try await layer.load() }
    defer { for layer in loads { layer.unload() } }
    var found: [Role: Errors] = [:]
    let outcome = await withTaskGroup(of: Result<[Role: Errors], FormatError>.self) {
      group -> Result<Void, FormatError> in
      var next = 0
      func start() {
        guard next < 1 + experts else { return }
        let unit = next
        next += 1
        group.addTask {
          do throws(FormatError) {
            return .success(
              try unit == 0
                ? self.attention(statistics)
                : self.expert(unit - 1, statistics, isSampled: sampled.contains(unit - 1)))
          } catch {
            return .failure(error)
          }
        }
      }
      for _ in 0..<max(workers, 1) { start() }
      while let result = await group.next() {
        switch result {
        case .success(let errors):
          found.merge(errors) { $1 }
          passed(errors.keys.reduce(0) { $0 + (original[$1]?.bytes ?? 0) })
        case .failure(let error): return .failure(error)
        }
        start()
      }
      return .success(())
    }
    try outcome.get()
    extend(&found, statistics.layer, sampled)
    return found
  }

  /// Experts that GPTQ is tried on: spread over those that get few tokens and many.
  private func sampled(_ statistics: LayerStatistics) -> Set<Int> {
    let loads = statistics.load(experts: original.blueprint.layers[statistics.layer].feedForward.count)
    let order = loads.indices.sorted { (loads[$0].tokens, $0) < (loads[$1].tokens, $1) }
    let count = min(sample, order.count)
    return Set((0..<count).map { order[(2 * $0 + 1) * order.count / (2 * count)] })
  }

  /// Gives the experts that were not sampled what GPTQ gained on those that were.
  private func extend(_ errors: inout [Role: Errors], _ layer: Int, _ sampled: Set<Int>) {
    guard !calibrated.isEmpty else { return }
    let block = original.blueprint.layers[layer].feedForward
    for kind in block.projections.all {
      func role(_ expert: Int) -> Role { block.role(kind, layer: layer, expert: expert) }
      for candidate in candidates.indices {
        var (made, searched) = (0.0, 0.0)
        for expert in sampled.sorted() {
          // Each counts the same, whatever its share of tokens.
          guard let entry = errors[role(expert)], let one = entry.made[candidate],
            let other = entry.searched[candidate], other > 0
          else { continue }
          made += one / other
          searched += 1
        }
        let gain = searched > 0 ? made / searched : 1
        for expert in 0..<block.count where !sampled.contains(expert) {
          if let error = errors[role(expert)]?.searched[candidate] {
            errors[role(expert)]?.made[candidate] = error * gain
          }
        }
      }
    }
  }

  /// Errors of the head, by what went into it.
  public func head(_ statistics: LayerStatistics, workers: Int = 1) throws(FormatError) -> Errors {
    try errors(Role(.head), hessian: statistics.floats(.headInput), Threads(max(workers, 1)))
  }

  /// Errors of the embedding, which GPTQ is not for: mean squares over rows, evenly spread.
  public func embedding(workers: Int = 1) throws(FormatError) -> Errors {
    let tensor = original[.embedding]!
    let estimate = try estimate(tensor, energies: [Double](repeating: 1, count: tensor.columns))
    let ranges = sampledRanges(tensor)
    let threads = Threads(max(workers, 1))
    func sums(_ ranges: [Range<Int>], apart: Bool) throws(FormatError) -> [[Double]] {
      let some = candidates.map { candidate in
        !candidate.encoding.isEstimated && fits(candidate, tensor)
          && isApart(candidate, tensor, ranges) == apart ? candidate : nil
      }
      return try self.sums(tensor, some, apart ? ranges : [0..<tensor.rows], threads) {
        CandidateErrors.squares($0)
      }
    }
    let (byPiece, whole) = (try sums(ranges, apart: true), try sums(ranges, apart: false))
    let seen = ranges.reduce(0) { $0 + $1.count } * tensor.columns
    let means = candidates.enumerated().map { index, candidate -> Double? in
      guard fits(candidate, tensor) else { return nil }
      if let error = estimate?.error(candidate.encoding) { return error / Double(max(tensor.count, 1)) }
      return isApart(candidate, tensor, ranges)
        ? byPiece.reduce(0) { $0 + $1[index] } / Double(max(seen, 1))
        : whole[0][index] / Double(max(tensor.count, 1))
    }
    return Errors(searched: means, made: means)
  }

  /// Ranges of rows that stand for all of a tensor's; one of all rows where these are had together.
  private func sampledRanges(_ tensor: Tensor) -> [Range<Int>] {
    let pieces = RowPieces(
      rows: tensor.rows, columns: tensor.columns, isWhole: RowPieces.step % tensor.rowStep != 0)
    return pieces.sample(CandidateErrors.pieces).map { pieces.ranges[$0] }
  }

  /// Whether a candidate's tensor has these ranges of rows apart.
  private func isApart(_ candidate: CandidateModel, _ tensor: Tensor, _ ranges: [Range<Int>]) -> Bool {
    let step = candidate.model[tensor.role]!.rowStep
    return ranges.allSatisfy { $0.lowerBound % step == 0 }
  }

  /// Pieces of a matrix that stand for all, at most, and those of them that GPTQ is tried on.
  private static let pieces = 32
  private static let calibratedPieces = 8

  /// Values of a large matrix that errors are measured on.
  package static let sampledValues = pieces * RowPieces.values

  /// What candidates that are estimated do to a tensor; nil where none is.
  private func estimate(_ tensor: Tensor, energies: [Double]) throws(FormatError) -> TrellisEstimate? {
    guard candidates.contains(where: \.encoding.isEstimated) else { return nil }
    return try TrellisEstimate(
      rows: tensor.rows, energies: energies, chunks: tensor.rowChunks(values: 1 << 24)
    ) { rows throws(FormatError) in try tensor.floats(rows: rows) }
  }

  private func fits(_ candidate: CandidateModel, _ tensor: Tensor) -> Bool {
    candidate.encoding.planes(tensor.shape) != nil && original.canQuantize(tensor)
  }

  private func attention(_ statistics: LayerStatistics) throws(FormatError) -> [Role: Errors] {
    let layer = statistics.layer
    var found: [Role: Errors] = [:]
    for tap in original.blueprint.layers[layer].observedTaps {
      let hessian = statistics.floats(.init(tap))
      for kind in tap.linears {
        found[Role(kind, layer: layer)] = try errors(Role(kind, layer: layer), hessian: hessian)
      }
    }
    return found
  }

  /// Σ over rows of d H dᵀ, d being rows of Ŵ − W, by candidate. Of a matrix of many rows some stand for all.
  private func errors(_ role: Role, hessian: [Float], _ threads: Threads? = nil) throws(FormatError) -> Errors
  {
    let tensor = original[role]!
    let estimate = try estimate(
      tensor, energies: (0..<tensor.columns).map { Double(hessian[$0 * tensor.columns + $0]) })
    let ranges = sampledRanges(tensor)
    let share = Double(tensor.rows) / Double(max(ranges.reduce(0) { $0 + $1.count }, 1))
    /// Those that have rows apart, by ranges; the others as a whole.
    func sums(_ some: [CandidateModel?], over chosen: [Range<Int>]) throws(FormatError) -> (
      byRange: [[Double]], whole: [Double]
    ) {
      func those(_ apart: Bool) -> [CandidateModel?] {
        some.map { candidate in
          candidate.flatMap { fits($0, tensor) && isApart($0, tensor, ranges) == apart ? $0 : nil }
        }
      }
      return (
        try outputErrors(tensor, hessian, those(true), chosen, threads),
        try outputErrors(tensor, hessian, those(false), [0..<tensor.rows], threads)[0]
      )
    }
    let before = try sums(candidates.map { $0.encoding.isEstimated ? nil : $0 }, over: ranges)
    let searched = candidates.enumerated().map { index, candidate -> Double? in
      guard fits(candidate, tensor) else { return nil }
      if let error = estimate?.error(candidate.encoding) { return error }
      return isApart(candidate, tensor, ranges)
        ? max(share * before.byRange.reduce(0) { $0 + $1[index] }, 0) : max(before.whole[index], 0)
    }
    if calibrated.isEmpty { return Errors(searched: searched, made: searched) }
    // A few of the ranges say what GPTQ gains.
    let few = RowPieces.spread(ranges.count, CandidateErrors.calibratedPieces)
    let after = try sums(calibrated, over: few.map { ranges[$0] })
    let made = calibrated.enumerated().map { index, candidate -> Double? in
      guard fits(candidate, tensor) else { return nil }
      guard isApart(candidate, tensor, ranges) else {
        return max(after.whole[index], 0) * quickFactor(index, searched[index], estimate)
      }
      let error = max(after.byRange.reduce(0) { $0 + $1[index] }, 0)
      if few.count == ranges.count { return share * error }
      let same = few.reduce(0) { $0 + before.byRange[$1][index] }
      guard same > 0, let all = searched[index] else { return 0 }
      return all * error / same
    }
    return Errors(searched: searched, made: made)
  }

  /// Σ d H dᵀ of each range of rows by candidate, 0 for nil.
  private func outputErrors(
    _ tensor: Tensor, _ hessian: [Float], _ candidates: [CandidateModel?], _ ranges: [Range<Int>],
    _ threads: Threads?
  ) throws(FormatError) -> [[Double]] {
    let columns = tensor.columns
    return try sums(tensor, candidates, ranges, threads) { difference in
      var product = [Float](repeating: 0, count: difference.count)
      var span = product.mutableSpan
      matmul(
        difference.span, hessian.span, tokens: difference.count / max(columns, 1), inputs: columns,
        outputs: columns, into: &span)
      return zip(difference, product).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    }
  }

  /// What `measure` says of Ŵ − W in each range of rows, by candidate; 0 for nil. On these threads, or on the caller's alone.
  private func sums(
    _ tensor: Tensor, _ candidates: [CandidateModel?], _ ranges: [Range<Int>], _ threads: Threads?,
    _ measure: @escaping @Sendable (_ difference: [Float]) -> Double
  ) throws(FormatError) -> [[Double]] {
    let found = Mutex(ranges.map { _ in candidates.map { _ in 0.0 } })
    if candidates.allSatisfy({ $0 == nil }) { return found.withLock { $0 } }
    let body: @Sendable (Int) throws(FormatError) -> Void = { turn throws(FormatError) in
      let values = try tensor.floats(rows: ranges[turn])
      for (index, candidate) in candidates.enumerated() {
        guard let candidate else { continue }
        var difference = try candidate.model[tensor.role]!.floats(rows: ranges[turn])
        for place in difference.indices { difference[place] -= values[place] }
        let error = measure(difference)
        found.withLock { $0[turn][index] = error }
      }
    }
    if let threads {
      try threads.share(ranges.count, joins: false, body)
    } else {
      for turn in ranges.indices { try body(turn) }
    }
    for candidate in candidates { candidate?.model[tensor.role]?.unit?.drop() }
    return found.withLock { $0 }
  }

  /// What the error of a calibrated candidate is multiplied by where it has fewer states than what it stands for.
  ///
  /// - Parameter searched: the error of the latter, by the search.
  private func quickFactor(_ index: Int, _ searched: Double?, _ estimate: TrellisEstimate?) -> Double {
    guard calibrated[index].encoding != candidates[index].encoding, let searched,
      let quick = estimate?.error(calibrated[index].encoding), quick > 0
    else { return 1 }
    return searched / quick
  }

  private func expert(_ expert: Int, _ statistics: LayerStatistics, isSampled: Bool) throws(FormatError)
    -> [Role: Errors]
  {
    let block = original.blueprint.layers[statistics.layer].feedForward
    let (hidden, width) = (original.blueprint.hiddenSize, block.intermediateSize)
    let (gating, lifting, lowering) = (
      block.projections.gating, block.projections.lifting, block.projections.lowering
    )
    let inputs = ExpertInputs(
      statistics, expert: expert, hidden: hidden, divisors: [],
      biases: try MLPBiases(original, layer: statistics.layer, expert: block.isMixture ? expert : nil),
      activation: block.activation, scalesInputs: block.scalesInputs)
    func role(_ kind: TensorKind) -> Role { block.role(kind, layer: statistics.layer, expert: expert) }
    let gate = try original[role(gating)]!.floats()
    let up = try original[role(lifting)]!.floats()
    let down = try original[role(lowering)]!.floats()
    let (x, y) = try inputs.samples(
      gate: WeightRows(rows: width, columns: hidden) { gate.rows($0, columns: hidden) },
      up: WeightRows(rows: width, columns: hidden) { up.rows($0, columns: hidden) })
    let parts = [
      (role(gating), gate, width, hidden, x), (role(lifting), up, width, hidden, x),
      (role(lowering), down, hidden, width, y),
    ]
    var estimates: [TrellisEstimate?] = []
    for (role, values, rows, columns, activations) in parts {
      let isNeeded = candidates.contains { $0.encoding.isEstimated && fits($0, original[role]!) }
      estimates.append(
        isNeeded
          ? try TrellisEstimate(
            rows: rows, energies: CandidateErrors.energies(activations, columns: columns), chunks: [0..<rows]
          ) { _ in values } : nil)
    }
    func errors(_ candidate: CandidateModel, isEstimated: Bool) throws(FormatError) -> [Double?] {
      var found: [Double?] = []
      for (place, (role, values, rows, columns, activations)) in parts.enumerated() {
        guard fits(candidate, original[role]!) else {
          found.append(nil)
          continue
        }
        if isEstimated {
          found.append(estimates[place]?.error(candidate.encoding))
          continue
        }
        var difference = try candidate.model[role]!.floats()
        for place in difference.indices { difference[place] -= values[place] }
        let tokens = activations.count / max(columns, 1)
        var product = [Float](repeating: 0, count: tokens * rows)
        var span = product.mutableSpan
        matmul(
          activations.span, difference.span, tokens: tokens, inputs: columns, outputs: rows, into: &span)
        found.append(product.reduce(0.0) { $0 + Double($1) * Double($1) })
      }
      return found
    }
    var found: [Role: Errors] = [:]
    for part in parts { found[part.0] = Errors(searched: [], made: []) }
    for (index, candidate) in candidates.enumerated() {
      let searched = try errors(candidate, isEstimated: candidate.encoding.isEstimated)
      var made = searched
      if isSampled && !calibrated.isEmpty {
        made = try errors(calibrated[index], isEstimated: false)
        for place in made.indices {
          made[place] = made[place].map { $0 * quickFactor(index, searched[place], estimates[place]) }
        }
      }
      for (place, part) in parts.enumerated() {
        found[part.0]!.searched.append(searched[place])
        found[part.0]!.made.append(made[place])
      }
    }
    return found
  }

  /// Σ x² of each column: (columns)
  private static func energies(_ activations: [Float], columns: Int) -> [Double] {
    var sums = [Double](repeating: 0, count: columns)
    for first in stride(from: 0, to: activations.count, by: max(columns, 1)) {
      for column in 0..<columns {
        let value = Double(activations[first + column])
        sums[column] += value * value
      }
    }
    return sums
  }

  private static func squares(_ values: [Float]) -> Double {
    values.reduce(0.0) { $0 + Double($1) * Double($1) }
  }
}
