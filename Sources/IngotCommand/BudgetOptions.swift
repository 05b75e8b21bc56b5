import ArgumentParser
import IngotSystem
import IngotWorkflows

/// How large a planned artifact may be.
struct BudgetOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Sensitivity file: plan for a budget.", valueName: "file"), completion: .path)
  var sensitivity: String?

  @Option(name: .long, help: ArgumentHelp("Budget: bits per weight, over all tensors.", valueName: "x"))
  var bits: Double?

  @Option(
    name: .long, help: ArgumentHelp("Budget: size of the whole artifact, such as 120GB.", valueName: "size"))
  var size: ByteSize?

  @Option(
    name: .long, defaultAsFlag: DropAmount.best, parsing: .next,
    help: ArgumentHelp(
      "Also drop experts, the same number in every layer: a count, a fraction such as 0.25, or \"best\".",
      valueName: "n"), completion: .list(["best"]))
  var allowDrop: DropAmount?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Encodings not to use, by name or its beginning, such as trellis or 'int2 g32'.", valueName: "encoding"),
    completion: .encoding)
  var exclude: [String] = []

  @Option(
    name: [.short, .long], help: ArgumentHelp("Plan file to write, JSON.", valueName: "plan.json"),
    completion: .json)
  var output: String?

  @Flag(name: .long, help: "Replace existing files at the paths of -o and --html.")
  var force = false

  func validate() throws {
    if let bits, !(bits > 0 && bits <= 32) { throw ValidationError("--bits must be above 0 and at most 32.") }
    guard [bits.map { _ in 0 }, size.map { _ in 0 }].compactMap({ $0 }).count <= 1 else {
      throw ValidationError("--bits and --size exclude each other.")
    }
    if sensitivity == nil, bits != nil || size != nil || output != nil || allowDrop != nil || !exclude.isEmpty
    {
      throw ValidationError(
        "--bits, --size, --allow-drop, --exclude and --output go with --sensitivity FILE, which 'ingot sensitivity' measures."
      )
    }
  }
}

extension DropAmount: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { "best" }
}
