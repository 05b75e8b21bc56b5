import IngotFormats
import IngotModels
import IngotPlanning
import IngotSystem
import IngotTensors

/// Seconds that steps take on this machine, by their arithmetic and the rate of its matrix products. Reading of files is not
/// counted.
struct FitCost {
  let calibration: Double
  /// What quantization takes more when layers follow one another: both models go through the texts.
  var following: Double { 2 * calibration }
  /// Contexts of each text for calibration.
  let calibrationChunks: Int
  let sensitivity: Double
  let quickSensitivity: Double
  /// By GPTQ.
  let quantization: Double
  /// Of `verifyChunks` contexts of each held-out text.
  let verification: Double
  static let verifyChunks = 8
  /// Bytes of calibration statistics.
  let statistics: Int
  /// Bytes of states that a measurement keeps beside its output.
  let states: Int

  /// Contexts of each held-out text that the hours leave time for; 0 for none.
  func verifyChunks(leaving used: Double, hours: Double) -> Int {
    let each = verification / Double(FitCost.verifyChunks)
    let left = max(hours * 3600 - used, hours * 3600 / 8)
    return min(Int(min(left / max(each, 1e-9), 1e6)), FitCost.verifyChunks)
  }

  /// Contexts of each text for calibration, at most, and at least.
  private static let chunks = 4...32

  /// - Parameters:
  ///   - texts: to calibrate on.
  ///   - hours: for all of it, of which calibration is to take a quarter at most.
  init?(_ model: Model, _ format: Format, workers: Int, texts: Int, hours: Double) {
    let blueprint = model.blueprint
    let measured = texts * FitDecision.sensitivityChunks * FitDecision.contextTokens
    let name = format.traits.sharing == nil ? Format.ingot.name : format.name
    guard let choice = try? SensitivityChoice(model, formats: [name], more: [], excluded: [], reference: nil)
    else {
      return nil
    }
    func cost(quick: Bool) -> SensitivityCost {
      var effort = SensitivityEffort()
      effort.quick = quick
      return SensitivityCost(model, tokens: (measured, 2 * measured), choice, effort, isCalibrated: true)
    }
    let (full, quick) = (cost(quick: false), cost(quick: true))
    func seconds(_ operations: Double) -> Double { operations / full.rate / Double(workers) }
    sensitivity = 3600 * full.hours / Double(workers)
    quickSensitivity = 3600 * quick.hours / Double(workers)
    let active = Double(ModelSummary(model).activeWithHead)
    // Products, and as many operations again for the moments of inputs.
    let chunk = seconds(2 * 2 * active * Double(texts * FitDecision.contextTokens))
    let affordable = Int(min(hours * 3600 / 4 / max(chunk, 1e-9), 1e6))
    calibrationChunks = min(max(affordable, FitCost.chunks.lowerBound), FitCost.chunks.upperBound)
    calibration = chunk * Double(calibrationChunks)
    quantization = seconds(SensitivityCost.gptq(of: blueprint))
    let heldOut = Double(3 * FitCost.verifyChunks * FitDecision.contextTokens)
    // Both models, and some rows through all experts.
    verification = seconds(2 * 2 * active * heldOut * 1.5)
    states = full.states
    // Lower triangles of what goes into each tap, in F32, of all experts.
    statistics = blueprint.layers.reduce(0) { sum, layer in
      let (hidden, width) = (layer.hiddenSize, layer.feedForward.intermediateSize)
      let experts = max(layer.feedForward.count, 1)
      return sum + experts * (width * width / 2 + hidden * hidden / 2) / 4
    }
  }
}
