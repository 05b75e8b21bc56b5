import IngotInference
import IngotModels

/// Figures a candidate must keep to.
public struct Tolerances: Sendable {
  /// Largest mean KL divergence, in nats.
  public var divergence: Double?
  /// Largest 99th percentile of KL divergence, in nats.
  public var divergenceP99: Double?
  /// Largest perplexity, candidate / original.
  public var perplexityRatio: Double?
  /// Largest RMS change of the next token's probability.
  public var deltaP: Double?
  /// Smallest share of equal top tokens, in percent.
  public var sameTop: Double?
  /// Smallest mean overlap of expert sets in any layer, in percent.
  public var routerOverlap: Double?
  /// Smallest share of the tool names that the original reproduces and the candidate must, in percent; and of the arguments.
  public var toolNames: Double?
  public var toolArguments: Double?

  public init() {}

  /// What is outside, one line each.
  func violations(_ report: VerificationReport) -> [String] {
    var lines: [String] = []
    func above(_ name: String, _ value: Double, _ limit: Double?) {
      guard let limit, !(value <= limit) else { return }
      lines.append("\(name) \(significant(value)) is above \(significant(limit))")
    }
    func below(_ name: String, _ value: Double, _ limit: Double?) {
      guard let limit, !(value >= limit) else { return }
      lines.append("\(name) \(fixed(value, 3)) % is below \(significant(limit)) %")
    }
    above("mean KL divergence", report.divergence.mean.value, divergence)
    above("99th percentile of KL divergence", report.divergence.p99, divergenceP99)
    above("perplexity ratio", report.perplexity.ratio.value, perplexityRatio)
    above("RMS of Δp", report.deltaP.rms, deltaP)
    below("same top token", 100 * report.sameTop, sameTop)
    func kept(
      _ name: String, _ part: KeyPath<VerificationReport.ToolCalls, VerificationReport.Reproduced>,
      _ limit: Double?
    ) {
      guard let limit else { return }
      guard let kept = report.toolCalls?[keyPath: part].kept else {
        lines.append(
          "\(name) cannot be judged: the original reproduces none of the texts' calls that are scored whole")
        return
      }
      below("\(name) kept", 100 * kept.value, limit)
    }
    kept("tool names", \.name, toolNames)
    kept("tool arguments", \.arguments, toolArguments)
    let overlaps = report.layers.compactMap { layer in layer.router.map { (layer.layer, $0.overlap) } }
    if let worst = overlaps.min(by: { $0.1 < $1.1 }) {
      below("overlap of experts in layer \(worst.0)", 100 * worst.1, routerOverlap)
    }
    return lines
  }
}
