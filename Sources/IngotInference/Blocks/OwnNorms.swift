import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Norms of a mixture whose router and shared MLP read the residual stream by norms of their own (Gemma 4), decoded.
///
/// All of them divide by the same root mean square, so what one reads is what the experts read, each channel times the quotient of
/// both weights. That asks for weights of the experts' norm that are not 0.
struct OwnNorms: Sendable {
  /// By channel: from what the experts read to what the shared MLP and the router read.
  private let shared: [Float]
  let router: [Float]
  private let sharedOutput: DecodedNorm
  private let expertsOutput: DecodedNorm

  /// - Returns: nil for a mixture without.
  init?(_ mixture: Mixture, _ model: Model, layer: Int) throws(FormatError) {
    guard let norm = mixture.ownNorms else { return nil }
    let experts = try model.normWeights(.feedForwardNorm, layer: layer, norm)
    if let channel = experts.firstIndex(where: { $0 == 0 || !$0.isFinite }) {
      throw try model.required(.feedForwardNorm, layer: layer).error(
        "weights that are finite and not 0, since the router reads the same channels without them",
        found: "\(experts[channel]) at channel \(channel) of layer \(layer)")
    }
    let share = 1 / Float(mixture.hiddenSize).squareRoot()
    shared = zip(try model.normWeights(.sharedNorm, layer: layer, norm), experts).map { $0 / $1 }
    router = zip(try model.values(.routerScale, layer: layer), experts).map { $0 * share / $1 }
    sharedOutput = try model.norm(.sharedOutputNorm, layer: layer, norm)
    expertsOutput = try model.norm(.expertsOutputNorm, layer: layer, norm)
  }

  func makeSharedInputs(_ rows: inout [Float], tokens: Int) {
    for index in 0..<tokens * shared.count { rows[index] *= shared[index % shared.count] }
  }

  func sharedOutputs(_ rows: [Float]) -> [Float] { sharedOutput.rows(rows) }

  func endExperts(_ sum: inout [Float]) { sum = expertsOutput.rows(sum) }
}
