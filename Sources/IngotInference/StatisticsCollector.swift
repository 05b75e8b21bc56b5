import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Calibration statistics of one layer, gathered while a lane goes through it. Contexts and experts come in order, so the
/// sums do not depend on the number of workers.
struct StatisticsCollector {
  private let layer: Int
  private let blueprint: Blueprint
  /// Sums of outer products, lower triangles.
  private var hessians: [LayerStatistics.Field: [Float]] = [:]
  private var inputs: [UInt8] = []
  private var chosen: [UInt8] = []
  private var weights: [Float] = []
  private var inputSquares: [Float]
  private var innerSquares: [Float]
  private var innerPeaks: [Float]
  private var outputPeaks: [Float]
  private var columnSquares: [Double]
  private var downSquares: [Float]
  private var forced: [UInt8] = []
  private var forcedWeights: [Float] = []
  private var tokens = 0
  /// The expert whose readers come now.
  private var open: (expert: Int, reader: ExpertReader)?

  init(layer: Int, _ blueprint: Blueprint) {
    func zeros(_ field: LayerStatistics.Field) -> [Float] {
      [Float](repeating: 0, count: elementCount(field.shape(blueprint, layer: layer, tokens: 0))!)
    }
    self.layer = layer
    self.blueprint = blueprint
    for field in LayerStatistics.fields(layer: layer, blueprint)
    where field.isSymmetric && field != .headInput {
      hessians[field] = zeros(field)
    }
    inputSquares = zeros(.inputSquares)
    innerSquares = zeros(.innerSquares)
    innerPeaks = zeros(.innerPeaks)
    outputPeaks = innerPeaks
    columnSquares = [Double](repeating: 0, count: blueprint.hiddenSize)
    downSquares = zeros(.downSquares)
  }

  mutating func take(_ context: MixerReader) {
    for (field, products) in context.products { add(products, to: &hessians[field]!) }
    inputs += context.inputs
  }

  mutating func take(_ routings: [Routing]) {
    for routing in routings {
      for expert in routing.experts { StatisticsCollector.put(expert, &chosen) }
      weights += routing.weights
      tokens += routing.tokens
    }
  }

  private static func put(_ value: Int32, _ bytes: inout [UInt8]) {
    for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: value >> Int32(shift))) }
  }

  /// Forced tokens, by expert.
  mutating func take(forced routedTokens: [[RoutedToken]], _ contexts: [Context]) {
    var first = [0]
    for context in contexts { first.append(first.last! + context.tokens.count) }
    for (expert, own) in routedTokens.enumerated() {
      for routedToken in own {
        StatisticsCollector.put(Int32(expert), &forced)
        StatisticsCollector.put(Int32(first[routedToken.context] + routedToken.token), &forced)
        forcedWeights.append(routedToken.gate)
      }
    }
  }

  /// Readers of one expert come one after the other.
  mutating func take(_ reader: ExpertReader, of expert: Int) {
    if expert == blueprint.layers[layer].feedForward.count {
      // The shared MLP, whose inputs are those of all experts together.
      for tap in blueprint.layers[layer].observedTaps {
        if let products = reader.inner[tap.name] { add(products, to: &hessians[LayerStatistics.Field(tap)]!) }
      }
      return
    }
    if open?.expert != expert { close() }
    if open == nil { open = (expert, reader) } else { open!.reader.merge(reader) }
  }

  /// An expert's sums become its means.
  private mutating func close() {
    guard let (expert, seen) = open else { return }
    let (hidden, width) = (blueprint.hiddenSize, blueprint.layers[layer].feedForward.intermediateSize)
    for (column, value) in seen.inputSquares.enumerated() { inputSquares[expert * hidden + column] = value }
    for (column, value) in seen.innerSquares.enumerated() { innerSquares[expert * width + column] = value }
    for (column, value) in seen.downSquares.enumerated() {
      downSquares[expert * width + column] = Float(value)
    }
    innerPeaks[expert] = seen.innerPeak
    outputPeaks[expert] = seen.outputPeak
    for (column, value) in seen.columnSquares.enumerated() { columnSquares[column] += value }
    open = nil
  }

  /// The statistics, once the layer has been passed.
  mutating func statistics() -> LayerStatistics {
    close()
    func mean(_ sums: [Float], _ n: Int) -> Bytes {
      var matrix = sums
      let share = 1 / Float(max(tokens, 1))
      for index in matrix.indices { matrix[index] *= share }
      var span = matrix.mutableSpan
      mirrorLowerTriangle(&span, n: n)
      return floats(matrix)
    }
    func floats(_ values: [Float]) -> Bytes {
      Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }
    }
    var statistics = LayerStatistics(
      layer: layer, tokens: tokens,
      fields: [
        .inputs: Bytes(inputs), .chosen: Bytes(chosen),
        .weights: floats(weights), .inputSquares: floats(inputSquares), .innerSquares: floats(innerSquares),
        .innerPeaks: floats(innerPeaks), .outputPeaks: floats(outputPeaks),
        .columnSquares: floats(columnSquares.map { Float($0) }),
        .downSquares: floats(downSquares),
      ])
    for (field, sums) in hessians {
      let shape = field.shape(blueprint, layer: layer, tokens: tokens)
      statistics.fields[field] = mean(sums, shape[0])
    }
    if !forced.isEmpty {
      statistics.fields[.forced] = Bytes(forced)
      statistics.fields[.forcedWeights] = floats(forcedWeights)
    }
    return statistics
  }
}
