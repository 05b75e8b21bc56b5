import ArgumentParser
import IngotSystem
import IngotTensors

/// The command. Exit codes: 0 done, 1 failed, 2 outside tolerance, 64 usage, 75 stopped and resumable.
@main
struct RootCommand: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "ingot",
    abstract: "Shrink mixture-of-experts checkpoints until they fit, and measure what it cost.",
    discussion: """
      ingot inspect MODEL                      what the files say it is
      ingot plan MODEL --recipe int4           what would become of it, to the byte
      ingot quantize MODEL -o X.ingot --recipe int4
      ingot check X.ingot                      every checksum
      ingot verify X.ingot --against MODEL --text held-out.txt

      MODEL is a folder with config.json and SafeTensors, an .ingot file, or a name such as \
      MiniMaxAI/MiniMax-M2 that is in the Hugging Face cache.
      Exit codes: 0 done, 1 failed, 2 outside tolerance, 64 usage, 75 stopped and to be continued \
      by the same command.
      """,
    version: version,
    subcommands: [
      Inspect.self, PlanCommand.self, Calibrate.self, SensitivityCommand.self, Quantize.self, Convert.self,
      Verify.self, Logits.self,
      Check.self,
      Recipes.self,
    ])

  static func main() async {
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch let error as FormatError {
      // Programs that asked for JSON get the error on stdout too, one object as for any result.
      if CommandLine.arguments.contains("--json") { print(error.json.text(indented: true)) }
      if error.cause != .stopped { Terminal.error("error: \(error)") }
      if error.isResumable { Terminal.error("stopped; the same command continues") }
      exit(withError: ExitCode(error.isResumable ? 75 : 1))
    } catch {
      exit(withError: error)
    }
  }
}

extension FormatError {
  /// The error under the names that programs read.
  var json: JSON {
    [
      "error": [
        "path": .string(path), "tensor": JSON(tensor),
        "offset": offset.map { JSON(Int(clamping: $0)) } ?? .null,
        "expected": .string(expected), "found": .string(found), "message": .string(description),
      ]
    ]
  }
}
