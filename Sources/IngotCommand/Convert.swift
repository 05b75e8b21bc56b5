import ArgumentParser
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import IngotWorkflows

struct Convert: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a model to another format without changing a number.",
    usage: "ingot convert <model> --output <path> [--format <format>] [--decode <type>] [options]",
    discussion: """
      Codes and scales are copied bit for bit, or the conversion is refused; a NaN or infinity aborts \
      it. With --decode, every quantized tensor is turned into dense values of that type, which may \
      round; the command then says so. An interrupted run resumes when the same command is run again.
      """)

  enum Dense: String, ExpressibleByArgument, CaseIterable {
    case bf16, f16, f32

    var type: DType { DType(rawValue: rawValue.uppercased())! }
  }

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp("Turn quantized tensors into dense values.", valueName: "type"))
  var decode: Dense?

  @Flag(
    name: .long,
    help: "Copy NaN and infinities in the source, or replace them by 0 with --decode, instead of aborting.")
  var allowNonfinite = false

  @OptionGroup var format: FormatOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    var request = ConvertRequest(model, to: output.output)
    request.format = format.format
    request.decoded = decode?.type
    request.allowsNonfinite = allowNonfinite
    request.reading = reading.options
    request.writing = output.options
    let result = try await Progress.showing("convert", work) { try await request.run($0) }
    if json.json {
      print(result.json.text(indented: true))
      return
    }
    let files = result.written.files
    print("\(files[0])\(files.count > 1 ? " and \(files.count - 1) more files" : "")")
    print(
      "\(grouped(result.written.bytes)) bytes; \(grouped(result.carried)) tensors copied bit for bit"
    )
    if let decode, result.rounded > 0 {
      print(
        decode == .f32
          ? "\(grouped(result.rounded)) quantized tensors written as the F32 values that they decode to"
          : "\(grouped(result.rounded)) quantized tensors decoded and rounded to \(decode.rawValue.uppercased()): "
            + "these are not the artifact's exact values")
    }
    for line in result.written.changes { print(line) }
  }
}
