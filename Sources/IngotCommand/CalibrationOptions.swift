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

  var techniques: CalibrationTechniques { .init(without: without, rescueOverflow: rescueOverflow) }
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
