import ArgumentParser
import Formats
import Models
import Quantization
import Synchronization
import Tensors

struct Quantize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Quantize a model, expert by expert, straight from its files to the target.",
    usage: "ingot quantize <model> --output <path> [--recipe <recipe>] [options]",
    discussion: """
      Nothing appears under the output's name before it is complete.
      The bytes are the same for any number of workers.
      """)

  @Argument(help: "Folder, .safetensors or .ingot file, or name in the Hugging Face cache.")
  var model: String

  @Flag(name: .long, help: "Replace NaN and infinities of the source by 0 instead of stopping at the first.")
  var allowNonfinite = false

  @OptionGroup var recipe: RecipeOption
  @OptionGroup var format: FormatOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let recipe = try recipe.read()
    let format = try format.format(forOutput: output.output, recipe)
    let source = try Model.read(model, reading.options)
    let plan = try recipe.plan(for: source)
    var quantization = QuantizationOptions()
    quantization.allowNonfinite = allowNonfinite
    let replaced = Replacements()
    quantization.replaced = { tensor, count in
      replaced.count.add(count, ordering: .relaxed)
      Terminal.error(
        "warning: tensor '\(printable(tensor.name))' (\(tensor.role)): \(count) values not finite, replaced by 0"
      )
    }
    let quantized = try source.quantized(by: plan, quantization)
    var options = output.options(work.workers)
    options.provenance["recipe"] = recipe.provenance
    let progress = Progress("quantize", total: quantized.bytes)
    defer { progress.finish() }
    options.progress = { progress.add($0) }
    let written = try await quantized.write(output.output, as: format, options)
    progress.finish()
    let bits = 8 * Double(quantized.bytes) / Double(quantized.parameters)
    let seconds = progress.seconds
    if json.json {
      let result: JSON = [
        "recipe": .string(recipe.name), "format": .string(format.name),
        "files": .array(written.files.map { .string($0) }),
        "bytes": JSON(written.bytes), "sourceBytes": JSON(source.bytes), "bitsPerWeight": JSON(bits),
        "replacedNonfinite": JSON(replaced.count.load(ordering: .relaxed)), "seconds": JSON(seconds),
      ]
      print(result.text(indented: true))
    } else {
      print(
        """
        \(written.files.count == 1 ? written.files[0] : "\(written.files.count) files from \(written.files[0])")
        recipe \(recipe.name), \(fixed(bits, 3)) bits per weight, \(grouped(written.bytes)) bytes \
        (\(fixed(100 * Double(written.bytes) / Double(source.bytes), 1)) % of \(decimal(source.bytes)))
        \(duration(seconds)), \(decimal(Int(Double(source.bytes) / max(seconds, 1e-3)))) of source a second
        """)
    }
  }

  /// Counts values that were replaced, from any task.
  private final class Replacements: Sendable { let count = Atomic<Int>(0) }
}
