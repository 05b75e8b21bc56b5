import ArgumentParser
import IngotModels
import IngotSystem
import IngotWorkflows

struct Logits: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the logits of the reference forward pass for given token ids.",
    usage: "ingot logits <model> --tokens <file> --output <path> [options]",
    discussion: """
      For comparison with other engines. The token file is a JSON array of contexts, each an array of \
      token ids, all of the same length. The output is a SafeTensors file with ids, I64 (contexts, \
      tokens), and logits, F32 (contexts, tokens, vocabulary). All logits are held in memory: \
      4 bytes x vocabulary per token, for a vocabulary of 200,064 about 800 kB.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(name: .long, help: ArgumentHelp("Token ids, JSON.", valueName: "file"), completion: .json)
  var tokens: String

  @Option(
    name: [.short, .long], help: ArgumentHelp("SafeTensors file to write.", valueName: "path"),
    completion: .path)
  var output: String

  @Flag(name: .long, help: "Replace an existing output, and discard an unfinished one.")
  var force = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    var request = LogitsRequest(model, tokens: tokens, to: output)
    request.force = force
    request.reading = reading.options
    let start = ContinuousClock.now
    let shape = try await Progress.showing("logits", work, resumes: false) { [request] in
      try await request.run($0)
    }
    if json.json {
      let result: JSON = [
        "file": .string(output), "shape": .array(shape.map { JSON($0) }),
        "seconds": JSON((ContinuousClock.now - start).seconds),
      ]
      print(result.text(indented: true))
    } else {
      print("\(output)\nlogits of \(grouped(shape[0] * shape[1])) tokens x \(grouped(shape[2])) entries")
    }
  }
}
