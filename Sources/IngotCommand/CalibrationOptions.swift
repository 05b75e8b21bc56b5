import ArgumentParser
import IngotWorkflows

/// What is done with calibration statistics.
struct TechniqueOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Calibration techniques to leave out.",
      valueName: "technique"))
  var without: [CalibrationTechniques.Technique] = []

  @Flag(
    name: .long,
    help: ArgumentHelp(
      "Rescale experts whose inner activations exceeded F16's range (65504) during calibration, without "
        + "changing their function."))
  var rescueOverflow = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "By what share of itself the diagonal of Hessians is enlarged in GPTQ (default: 0.01 to 1, more for fewer tokens).",
      valueName: "x")
  )
  var damping: Float?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Tokens of its layer at large that each expert's own are mixed with (default: a sixteenth of the hidden size).",
      valueName: "n"))
  var pseudoTokens: Int?

  func validate() throws {
    if let damping, !(damping > 0 && damping <= 10) {
      throw ValidationError("--damping must be more than 0 and at most 10, not \(damping).")
    }
    if let pseudoTokens, pseudoTokens < 0 {
      throw ValidationError("--pseudo-tokens must be 0 or more, not \(pseudoTokens).")
    }
  }

  var techniques: CalibrationTechniques {
    var techniques = CalibrationTechniques(without: without, rescueOverflow: rescueOverflow)
    (techniques.damping, techniques.pseudoTokens) = (damping, pseudoTokens)
    return techniques
  }
}

extension CalibrationTechniques.Technique: ExpressibleByArgument {}

/// Whether layers are calibrated by what quantized ones give.
struct SequentialOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "With --importance: calibrate each layer on the outputs of the quantized layers before it, for these texts.",
      valueName: "text"), completion: .path)
  var sequential: [String] = []

  @OptionGroup var template: ChatTemplateOption

  @Flag(
    name: .long,
    help: ArgumentHelp(
      "With --sequential: refit the router bias; applied only where it restores more of the original "
        + "routing on held-out contexts."))
  var refitBias = false
}
