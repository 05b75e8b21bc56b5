import ArgumentParser
import IngotInference
import IngotSystem

/// How a model runs that makes text.
struct RunningOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "How keys and values are held: \(CacheType.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "type"))
  var cache: CacheType = .f32

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Memory for weights, such as 16GB: experts that were not used lately are given up.", valueName: "size"))
  var memory: ByteSize?

  @Flag(name: .long, help: "Round activations to 8 bits where weights are codes; verify --fast measures it.")
  var fast = false
}
