import ArgumentParser
import IngotWorkflows

/// Figures a candidate must keep to.
struct ToleranceOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Maximum mean KL divergence, in nats.", valueName: "x"))
  var maxKld: Double?
  @Option(name: .long, help: ArgumentHelp("Maximum 99th percentile of the KL divergence.", valueName: "x"))
  var maxKldP99: Double?
  @Option(name: .long, help: ArgumentHelp("Maximum perplexity ratio, candidate / original.", valueName: "x"))
  var maxPplRatio: Double?
  @Option(
    name: .long, help: ArgumentHelp("Maximum RMS change of the next token's probability.", valueName: "x"))
  var maxDeltaP: Double?
  @Option(name: .long, help: ArgumentHelp("Minimum share of equal top tokens, in percent.", valueName: "x"))
  var minTop1: Double?
  @Option(
    name: .long,
    help: ArgumentHelp("Minimum mean expert-set overlap in any layer, in percent.", valueName: "x"))
  var minRouterOverlap: Double?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Minimum share of the tool names that greedy decoding of the original reproduces and the candidate too, in percent.",
      valueName: "x"))
  var minToolNames: Double?
  @Option(name: .long, help: ArgumentHelp("The same of tools' arguments.", valueName: "x"))
  var minToolArguments: Double?

  var tolerances: Tolerances {
    var tolerances = Tolerances()
    tolerances.divergence = maxKld
    tolerances.divergenceP99 = maxKldP99
    tolerances.perplexityRatio = maxPplRatio
    tolerances.deltaP = maxDeltaP
    tolerances.sameTop = minTop1
    tolerances.routerOverlap = minRouterOverlap
    tolerances.toolNames = minToolNames
    tolerances.toolArguments = minToolArguments
    return tolerances
  }
}
