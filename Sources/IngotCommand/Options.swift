import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotWorkflows

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
  @Flag(name: .long, help: "Copy tensors that the model family does not know instead of refusing them.")
  var keepUnknown = false

  @OptionGroup var hub: HubOptions

  var options: ReadOptions { ReadOptions(keepUnknown: keepUnknown) }
}

/// How many threads compute.
struct WorkerOptions: ParsableArguments {
  @Option(
    name: [.customLong("threads"), .customLong("workers")],
    help: ArgumentHelp("Compute threads.", valueName: "n"))
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
      "Name of a recipe (see 'ingot recipes') or path of a YAML file (default: int4; q4_k_m for an output in "
        + ".gguf, mlx-4bit for --format mlx).", valueName: "recipe"), completion: .recipe)
  var recipe: String?

  @Option(
    name: .long,
    help: ArgumentHelp("Plan file by 'ingot plan -o', instead of a recipe.", valueName: "plan.json"),
    completion: .json)
  var plan: String?

  @Flag(
    name: .long, help: "Choose the same codes as mlx_lm.convert, bit for bit, instead of closer ones.")
  var matchMlx = false

  func validate() throws {
    guard plan == nil || (recipe == nil && !matchMlx) else {
      throw ValidationError("--plan excludes --recipe and --match-mlx.")
    }
  }

  /// - Parameters: what says the format when no recipe does.
  func choice(forOutput path: String, format: String?) -> PlanChoice {
    plan.map { .plan($0) }
      ?? .recipe(recipe ?? PlanChoice.usualRecipe(forOutput: path, format: format), matchingMLX: matchMlx)
  }
}

/// The format of an output.
struct FormatOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Output format: \(Format.all.map(\.name).joined(separator: ", ")).", valueName: "format"),
    completion: .format)
  var format: String?
}

/// What decides how large an output is, beside the recipe.
struct LayoutOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Maximum file size, such as 45GB or 4GiB; a larger output is split into numbered files.",
      valueName: "size"))
  var splitSize: ByteSize?

  @Flag(name: .long, help: "Do not record the SHA-256 of the source's weight files in the artifact.")
  var noSourceHash = false

  var options: WriteOptions {
    var options = WriteOptions()
    options.splitSize = splitSize?.bytes
    options.hashSource = !noSourceHash
    options.provenance = ["tool": .string(Tool.name)]
    return options
  }
}

/// Where and how an output is written.
struct OutputOptions: ParsableArguments {
  @Option(
    name: [.short, .long], help: ArgumentHelp("Output path.", valueName: "path"), completion: .path)
  var output: String

  @OptionGroup var writing: WritingOptions

  var options: WriteOptions { writing.options }
}

/// How an output is written.
struct WritingOptions: ParsableArguments {
  @Flag(name: .long, help: "Replace an existing output, and discard an unfinished one.")
  var force = false

  @Flag(
    name: .long,
    help: "Resume an unfinished output of another host, whose run must have ended.")
  var takeOver = false

  @Flag(
    name: .long, help: "Verify source files against their Hub SHA-256.")
  var verifySource = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Memory for buffers (default: 1.5GB, or 0.25GB per thread if that is more).", valueName: "size"))
  var memory: ByteSize?

  @OptionGroup var layout: LayoutOptions

  var options: WriteOptions {
    var options = layout.options
    options.force = force
    options.takeOver = takeOver
    options.verifiesSource = verifySource
    options.memory = memory?.bytes
    return options
  }
}

extension ByteSize: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { description }
}
