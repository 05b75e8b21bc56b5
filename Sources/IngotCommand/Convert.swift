import ArgumentParser
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

struct Convert: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Repack a model into another format without touching a number, or refuse.",
    usage: "ingot convert <model> --output <path> [--format <format>] [--decode <type>] [options]",
    discussion: """
      Codes and scales are copied bit for bit; the first value that is not finite stops it. With --decode, every quantized tensor is turned into dense \
      values of that type, which rounds; the command then says so. A run that was stopped is continued by the same command.
      """)

  enum Dense: String, ExpressibleByArgument, CaseIterable {
    case bf16, f16, f32

    var type: DType { DType(rawValue: rawValue.uppercased())! }
  }

  @Argument(help: "Folder, .safetensors, .gguf or .ingot file, or name in the HF cache.")
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp("Turn quantized tensors into dense values: bf16, f16 or f32.", valueName: "type"))
  var decode: Dense?

  @Flag(
    name: .long,
    help: "Copy NaN and infinities of the source, or with --decode replace them by 0, instead of stopping.")
  var allowNonfinite = false

  @OptionGroup var format: FormatOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let format = try format.format(forOutput: output.output)
    let source = try Model.read(model, reading.options)
    var allowed = QuantizationOptions()
    allowed.allowNonfinite = allowNonfinite
    let result =
      try decode.map { try source.decoded(to: $0.type, allowed) }
      ?? (allowNonfinite ? source : try source.checkedForFinite())
    var options = output.options(work.workers)
    options.identity["allow-nonfinite"] = .bool(allowNonfinite)
    if let decode { options.provenance["decoded"] = .string(decode.rawValue) }
    let changed = zip(source.tensors, result.tensors).count { $0.encoding != $1.encoding }
    let progress = Progress("convert", total: result.bytes)
    defer { progress.finish() }
    options.progress = { progress.add($0) }
    let written = try await result.write(output.output, as: format, options)
    progress.finish()
    if json.json {
      let summary: JSON = [
        "format": .string(format.name), "files": .array(written.files.map { .string($0) }),
        "bytes": JSON(written.bytes), "carried": JSON(source.tensors.count - changed),
        "rounded": JSON(changed),
        "seconds": JSON(progress.seconds),
      ]
      print(summary.text(indented: true))
      return
    }
    print("\(written.files[0])\(written.files.count > 1 ? " and \(written.files.count - 1) more files" : "")")
    print(
      "\(grouped(written.bytes)) bytes; \(grouped(source.tensors.count - changed)) tensors carried through bit for bit"
    )
    if let decode, changed > 0 {
      print(
        decode == .f32
          ? "\(grouped(changed)) quantized tensors written as the F32 values that they decode to"
          : "\(grouped(changed)) quantized tensors decoded and rounded to \(decode.rawValue.uppercased()): "
            + "these are not the artifact's exact values")
    }
  }
}
