import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

extension VerificationReport {
  /// The report for a person, at most 100 columns wide.
  package var table: String {
    var texts = Table(
      ["text", "tokens", "ppl original", "ppl candidate", "ratio", "KL divergence", "same top"])
    for text in self.texts {
      texts.add([
        String(printable(text.name).prefix(24)), grouped(text.tokens),
        perplexity(text.perplexity.original.value),
        perplexity(text.perplexity.candidate.value), fixed(text.perplexity.ratio.value, 4),
        significant(text.divergence.value), percent(text.sameTop),
      ])
    }
    texts.add([
      "all", grouped(tokens), perplexity(self.perplexity.original.value),
      perplexity(self.perplexity.candidate.value), fixed(self.perplexity.ratio.value, 4),
      significant(divergence.mean.value), percent(sameTop),
    ])
    texts.add([
      "± standard error", "", error(self.perplexity.original, perplexity),
      error(self.perplexity.candidate, perplexity), error(self.perplexity.ratio) { fixed($0, 4) },
      error(divergence.mean) { significant($0) }, "",
    ])
    var spread = Table(["KL divergence", "median", "90 %", "95 %", "99 %", "99.9 %", "max"])
    let quantiles = [
      divergence.median, divergence.p90, divergence.p95, divergence.p99, divergence.p999, divergence.maximum,
    ]
    spread.add(["over predictions"] + quantiles.map { significant($0) })
    var layers = Table([
      "layer", "hidden-state error", "expert-set overlap", "expert sets changed", "routing-weight shift",
    ])
    for layer in self.layers {
      let router = layer.router
      layers.add(
        ["\(layer.layer)", percent(layer.hiddenStateError)]
          + [router?.overlap, router?.changed, router?.routingWeightShift].map { $0.map(percent) ?? "" })
    }
    return """
      \(texts.text)

      \(spread.text)
      change of the next token's probability: mean \(significant(100 * deltaP.mean)) %, RMS \(significant(100 * deltaP.rms)) %

      \(layers.text)
      \(expertErrors)

      \(conversationTables)\(left)\(grouped(contexts)) contexts, \(grouped(tokens)) predictions scored, \(duration(seconds))
      """
  }

  private var left: String {
    dropped.map { "\($0.left) of the original's \($0.experts) experts are left in each layer\n" } ?? ""
  }

  /// The experts' own errors in a line or two.
  private var expertErrors: String {
    var all: [(error: Double, layer: Int, expert: Int)] = []
    for layer in layers {
      for (expert, error) in layer.expertErrors.enumerated() {
        if let error { all.append((error, layer.layer, expert)) }
      }
    }
    guard let worst = all.max(by: { $0.error < $1.error }) else {
      return layers.contains { $0.router != nil }
        ? "no expert got a token" : "a dense model: no router, no experts"
    }
    let median = all.map(\.error).sorted()[all.count / 2]
    return """
      error of experts' outputs, both given the original's inputs: median \(percent(median)),
      largest \(percent(worst.error)) (layer \(worst.layer), expert \(worst.expert))
      """
  }

  private func perplexity(_ value: Double) -> String { value < 9999 ? fixed(value, 4) : significant(value) }

  private func percent(_ share: Double) -> String { fixed(100 * share, 3) + " %" }

  private func error(_ estimate: Estimate, _ text: (Double) -> String) -> String {
    estimate.standardError.map { "± " + text($0) } ?? "–"
  }
}
