import IngotFormats
import IngotQuantization
import IngotSystem
import IngotWorkflows

/// Quantizes a model, straight from its files to an artifact.
///
///     let made = try await Quantization(of: "Qwen/Qwen3-0.6B", to: "qwen3.ingot", recipe: "int4").run()
///     print(made.bitsPerWeight)
///
/// The output appears under its name when it is complete. An interrupted run resumes when the same call is made again; the bytes do not
/// depend on threads or interruptions.
public struct Quantization: Sendable {
  /// Folder, file, or name on the Hub.
  public var model: String
  /// Path of the artifact.
  public var output: String
  /// Name of a built-in recipe, or path of a YAML file.
  public var recipe: String
  /// Path of a plan that `ingot plan` or ``Fitting`` made, in place of the recipe.
  public var plan: String?
  /// `ingot`, `gguf`, `mlx`, `compressed-tensors`, `gptq`, `awq`, `exl3` or `safetensors`; nil for what the recipe or the output's
  /// name says.
  public var format: String?
  /// Statistics by ``Calibration``, or an importance matrix of llama.cpp.
  public var importance: String?
  /// Texts that each layer is calibrated on anew, on what the quantized layers before it make of them; needs `importance`.
  public var sequentialTexts: [String] = []
  /// Chooses codes of integers itself; nil for the built-in quantizers.
  public var quantizer: (any IntegerQuantizer)?
  /// Replace NaN and infinities in the source by 0 instead of throwing at the first.
  public var replacesNonFinite = false
  /// Replace what is at the output's path.
  public var overwrites = false

  public init(of model: String, to output: String, recipe: String = "int4") {
    (self.model, self.output, self.recipe) = (model, output, recipe)
  }

  /// Names of the built-in recipes.
  public static var recipes: [String] { Recipe.builtIn.map(\.name) }

  /// - Throws: IngotError for what is wrong with files or the request, a resumable one when the run was stopped.
  public func run(_ options: RunOptions = RunOptions()) async throws(IngotError) -> Artifact {
    try await translating {
      var request = QuantizeRequest(try located(model), to: output)
      request.choice = plan.map { .plan($0) } ?? .recipe(recipe)
      (request.format, request.importance) = (format, importance)
      request.sequentialTexts = sequentialTexts
      request.allowsNonfinite = replacesNonFinite
      request.writing.force = overwrites
      if let quantizer {
        request.custom = CustomCodes(quantizer)
        request.techniques.without = [.gptq]
      }
      let result = try await request.run(options.control)
      return Artifact(
        files: result.written.files, byteCount: result.written.bytes, bitsPerWeight: result.bitsPerWeight,
        json: result.json.text())
    }
  }
}

/// Converts a model to another format without changing a number, or says why that cannot be.
public struct Conversion: Sendable {
  /// Folder, file, or name on the Hub.
  public var model: String
  /// Path of the artifact.
  public var output: String
  /// As ``Quantization/format``.
  public var format: String?
  /// Replace what is at the output's path.
  public var overwrites = false

  public init(of model: String, to output: String) { (self.model, self.output) = (model, output) }

  /// - Throws: IngotError for what is wrong with files, or where the format cannot hold the numbers.
  public func run(_ options: RunOptions = RunOptions()) async throws(IngotError) -> Artifact {
    try await translating {
      var request = ConvertRequest(try located(model), to: output)
      request.format = format
      request.writing.force = overwrites
      let result = try await request.run(options.control)
      let made = try Checkpoint(output)
      return Artifact(
        files: result.written.files, byteCount: result.written.bytes, bitsPerWeight: made.bitsPerWeight,
        json: result.json.text())
    }
  }
}

/// What was written.
public struct Artifact: Sendable {
  /// Paths of the files with weights.
  public let files: [String]
  /// Bytes of these files.
  public let byteCount: Int
  /// Bits that a weight takes, scales included.
  public let bitsPerWeight: Double
  /// What the command prints with `--json`.
  public let json: String
}
