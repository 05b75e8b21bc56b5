import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Results for programs.
struct JSONOption: ParsableArguments {
  @Flag(name: .long, help: "Print one JSON object instead of text.")
  var json = false
}

/// How a source is read.
struct ReadingOptions: ParsableArguments {
  @Flag(name: .long, help: "Copy tensors that the family does not know instead of refusing them.")
  var keepUnknown = false

  var options: ReadOptions { ReadOptions(keepUnknown: keepUnknown) }
}

/// How many threads compute.
struct WorkerOptions: ParsableArguments {
  @Option(
    name: [.customLong("threads"), .customLong("workers")],
    help: ArgumentHelp("Threads that compute.", valueName: "n"))
  var workers: Int = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

  func validate() throws {
    guard (1...1024).contains(workers) else { throw ValidationError("--threads must be 1 to 1024.") }
  }
}

/// What becomes of each tensor.
struct RecipeOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Name of a recipe (see 'ingot recipes') or path of a YAML file (default: int4).", valueName: "recipe"))
  var recipe: String?

  @Option(
    name: .long,
    help: ArgumentHelp("What 'ingot plan -o' wrote, instead of a recipe.", valueName: "plan.json"))
  var plan: String?

  @Flag(
    name: .long, help: "Choose the codes that mlx_lm.convert would, bit for bit, instead of closer ones.")
  var matchMlx = false

  func validate() throws {
    guard plan == nil || (recipe == nil && !matchMlx) else {
      throw ValidationError("--plan excludes --recipe and --match-mlx.")
    }
  }

  /// A plan, and what is to be said of where it comes from.
  struct Chosen {
    var plan: Plan
    /// The format it is made for; nil for any.
    var format: String?
    var provenance: JSON
    /// `recipe` or `plan`.
    var kind: String
  }

  func read(for model: Model) throws(FormatError) -> Chosen {
    if let path = plan {
      let file = try PlanFile.read(path)
      let plan = try file.plan(for: model, path: path)
      // By what it does, not by how its lines are written.
      let same = PlanFile(plan, format: file.format, for: try model.dropping(plan.dropped))
      return Chosen(plan: plan, format: file.format, provenance: same.provenance, kind: "plan")
    }
    var recipe = try Recipe.named(recipe ?? "int4")
    if matchMlx { recipe = try recipe.matchingMLX() }
    return Chosen(
      plan: try recipe.plan(for: model), format: recipe.format, provenance: recipe.provenance, kind: "recipe")
  }
}

/// The format of an output.
struct FormatOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Format of the output: \(Format.all.map(\.name).joined(separator: ", ")).", valueName: "format"))
  var format: String?

  /// The format that was named, else the recipe's, else the one that the output's name suggests.
  func format(forOutput path: String, _ recipe: Recipe? = nil) throws -> Format {
    try format(forOutput: path, named: recipe?.format)
  }

  func format(forOutput path: String, named suggestion: String?) throws -> Format {
    guard let name = format ?? suggestion else { return Format.of(path) }
    guard let format = Format.named(name) else {
      throw ValidationError("--format must be one of \(Format.all.map(\.name).joined(separator: ", ")).")
    }
    return format
  }
}

/// What decides how large an output is, beside the recipe.
struct LayoutOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Largest file, such as 45GB or 4GiB; more are written in numbered parts.", valueName: "size"))
  var splitSize: ByteSize?

  @Flag(name: .long, help: "Leave SHA-256 of the source's weight files out of the artifact.")
  var noSourceHash = false

  var options: WriteOptions {
    var options = WriteOptions()
    options.splitSize = splitSize?.bytes
    options.hashSource = !noSourceHash
    options.provenance = ["tool": .string("ingot \(RootCommand.version)")]
    return options
  }
}

/// Where and how an output is written.
struct OutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: ArgumentHelp("Path to write.", valueName: "path"))
  var output: String

  @Flag(name: .long, help: "Replace what stands at the output path, and discard an unfinished output there.")
  var force = false

  @Flag(
    name: .long,
    help: "Continue an unfinished output of a run on another host, which must have ended.")
  var takeOver = false

  @Flag(
    name: .long, help: "Hold the source against the SHA-256 that its files have in the Hugging Face cache.")
  var verifySource = false

  @Option(
    name: .long, help: ArgumentHelp("Memory for buffers, such as 1.5GB.", valueName: "size"))
  var memory: ByteSize = ByteSize(argument: "1.5GB")!

  @OptionGroup var layout: LayoutOptions

  func options(_ workers: Int) -> WriteOptions {
    var options = layout.options
    options.force = force
    options.takeOver = takeOver
    options.verifiesSource = verifySource
    Interrupt.handle()
    options.shouldStop = Interrupt.isRequested
    options.workers = workers
    options.memory = memory.bytes
    return options
  }
}

extension ByteSize: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { description }
}

extension Recipe {
  /// What an artifact says of the recipe that made it.
  var provenance: JSON { ["name": .string(name), "text": .string(source)] }
}
