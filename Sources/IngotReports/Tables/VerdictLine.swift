import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

extension VerificationReport {
  /// What the figures come to, in words.
  package var verdict: String {
    let mean = divergence.mean.value
    guard mean > 0 else { return "verdict: no drift: both models predict the same" }
    let bounds = Drift.allCases.compactMap(\.limit)
    let range =
      switch drift {
      case .nearLossless: "at most \(bound(bounds[0]))"
      case .large: "above \(bound(bounds[bounds.count - 1]))"
      case let drift:
        "\(bound(bounds.last { $0 < drift.limit! }!)) to \(bound(drift.limit!))"
      }
    var places: [String] = []
    if texts.count > 1, let text = texts.max(by: { $0.divergence.value < $1.divergence.value }) {
      places.append("text \(String(printable(text.name).prefix(40)))")
    }
    if let layer = layers.filter({ $0.router != nil }).max(by: { $0.router!.changed < $1.router!.changed }) {
      places.append("router of layer \(layer.layer)")
    }
    var worst: (error: Double, layer: Int, expert: Int)?
    for layer in layers {
      for (expert, error) in layer.expertErrors.enumerated() where (error ?? 0) > worst?.error ?? 0 {
        worst = (error ?? 0, layer.layer, expert)
      }
    }
    if let worst { places.append("expert \(worst.expert) of layer \(worst.layer)") }
    return """
      verdict: \(drift == .nearLossless ? "near-lossless" : "\(drift.rawValue) drift") \
      (mean KL divergence \(significant(mean)), \(range)); \(fixed(100 * (1 - sameTop), 1)) % of top tokens differ\
      \(places.isEmpty ? "" : "\nworst: " + places.joined(separator: ", "))
      """
  }

  private func bound(_ value: Double) -> String { value < 0.01 ? fixed(value, 3) : fixed(value, 2) }
}

/// Several candidates beside each other.
package struct CandidateTable {
  private var table = Table(
    [
      "candidate", "bits", "KL divergence", "99 %", "same top", "ppl ratio", "verdict",
    ], left: [0, 6])

  package init() {}

  /// - Parameter name: cut where it is too long, from its beginning.
  package mutating func add(_ name: String, bitsPerWeight: Double, _ report: VerificationReport) {
    let name = printable(name)
    let error = report.divergence.mean.standardError.map { " ± " + significant($0) } ?? ""
    table.add([
      name.count > 28 ? "…" + name.suffix(27) : name, fixed(bitsPerWeight, 3),
      significant(report.divergence.mean.value) + error, significant(report.divergence.p99),
      fixed(100 * report.sameTop, 1) + " %", fixed(report.perplexity.ratio.value, 4), report.drift.rawValue,
    ])
  }

  /// At most 100 columns wide.
  package var text: String { table.text }
}
