import ArgumentParser
import IngotSystem
import IngotTensors
import IngotWorkflows

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The command. Exit codes: 0 done, 1 failed, 2 outside tolerance, 64 usage, 75 stopped and resumable.
@main
struct RootCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ingot",
    abstract: "Make large language models fit your hardware, and measure what it cost.",
    discussion: """
      ingot inspect MODEL                      what is in the files
      ingot fit MODEL --machine mac-128        all of what follows, for a machine
      ingot plan MODEL --recipe int4           the size of the result, to the byte
      ingot quantize MODEL -o X.ingot --recipe int4
      ingot check X.ingot                      every checksum
      ingot verify X.ingot --against MODEL --text held-out.txt
      ingot generate X.ingot                   a chat with it
      ingot serve X.ingot                      the same for programs, by two usual APIs

      MODEL is a folder with config.json and SafeTensors, a .gguf or .ingot file, or a name on the \
      Hugging Face Hub, such as MiniMaxAI/MiniMax-M2, name@revision or name:file.gguf: read from the \
      cache if it is there, else over the network, as it is needed.
      Exit codes: 0 done, 1 failed, 2 outside tolerance, 64 usage, 75 interrupted; run the same \
      command again to resume.
      """,
    version: Tool.version,
    subcommands: [
      Inspect.self, Fit.self, PlanCommand.self, Calibrate.self, SensitivityCommand.self, Quantize.self,
      Assemble.self, Convert.self,
      Verify.self, Generate.self, Serve.self, Logits.self,
      Check.self,
      Recipes.self,
    ])

  static func main() async {
    Terminal.prepare()
    raiseOpenFileLimit()
    do {
      var command = try parseAsRoot()
      if var reading = command as? any ReadsModels {
        try reading.locateModels()
        command = reading
      }
      if var asynchronous = command as? any AsyncParsableCommand {
        try requireAddressSpace()
        try await asynchronous.run()
      } else {
        try command.run()
      }
      try Terminal.finish()
    } catch let error as FormatError {
      // Programs that asked for JSON get the error on stdout too, one object as for any result.
      if CommandLine.arguments.contains("--json") { print(error.json.text(indented: true)) }
      if error.cause != .stopped { Terminal.error("error: \(error.text)") }
      if error.isResumable {
        Terminal.error(
          error.limit == nil
            ? "interrupted; run the same command again to resume"
            : "interrupted; with the limit raised, the same command resumes")
      }
      exit(withError: ExitCode(error.isResumable ? 75 : 1))
    } catch let error as RequestError {
      // What the request asks for is understood: the usage would not help.
      let message = "--\(error.member.rawValue): \(error.message)"
      printJSON(error: message)
      Terminal.error("error: \(message)")
      exit(withError: error.isUnmet ? ExitCode(1) : ExitCode.validationFailure)
    } catch {
      // Help and versions are results too.
      if exitCode(for: error).isSuccess {
        do throws(FormatError) {
          try Terminal.output(CompletionScript.withFileNames(fullMessage(for: error)))
          exit(withError: ExitCode.success)
        } catch {
          Terminal.error("error: \(error.text)")
          exit(withError: ExitCode(1))
        }
      }
      // What was printed before must have arrived whatever the exit code.
      if error is ExitCode, (try? Terminal.finish()) == nil {
        Terminal.error("error: standard output cannot be written")
        exit(withError: ExitCode(1))
      }
      if !(error is ExitCode) {
        let said = message(for: error)
        printJSON(error: said)
        if let hint = ForeignOptions.hint(said, Array(CommandLine.arguments.dropFirst())) {
          Terminal.error("hint: \(hint)")
        }
      }
      exit(withError: error)
    }
  }

  /// For programs that asked for JSON: what was asked wrong, as an error of files is printed.
  private static func printJSON(error message: String) {
    guard CommandLine.arguments.contains("--json") else { return }
    let members: JSONObject = [
      "path": .null, "tensor": .null, "offset": .null, "expected": .null, "found": .null,
      "message": .string(message), "remedy": .null,
    ]
    print(JSON.object(["error": .object(members)]).text(indented: true))
  }
}

extension FormatError {
  /// The description, with the option that would help.
  var text: String {
    if remedy == .replace { return "output already exists: \(printable(path)) (use --force to replace it)" }
    let hint: String? =
      switch remedy {
      case nil, .replace: nil
      case .discard: "use --force to discard it and begin anew"
      case .takeOver: "use --take-over when that run has ended"
      case .keepUnknown: "use --keep-unknown to copy it"
      case .allowNonfinite: "use --allow-nonfinite to replace such values by 0"
      case .decode: "convert with --decode bf16 to write rounded values"
      case .quantize: "'ingot recipes' lists recipes for each format"
      case .giveTemplate: "use --chat-template FILE to give one"
      case .otherFile: "'ingot inspect \(printable(path))' says what that is for"
      case .measure: "'ingot sensitivity' measures them: --format FORMAT, or --candidates with each"
      case .predict:
        "'ingot plan MODEL --plan \(printable(path)) --sensitivity FILE -o NEW' predicts it anew"
      case .nameOriginal: "name it: --against ORIGINAL"
      case .calibrate: "'ingot calibrate' collects them, --importance FILE uses them"
      }
    return description + ((hint ?? limit).map { " (\($0))" } ?? "")
  }

  /// What the user can do about a limit of the system that was reached.
  var limit: String? {
    guard case .system(let code) = cause else { return nil }
    return switch code {
    case EMFILE: "raise the limit of open files: ulimit -n"
    case ENFILE: "too many files are open on this machine: close other programs"
    case ENOMEM: "raise the limit of address space (ulimit -v), or use a machine with more memory"
    case EFBIG: "raise the limit of file sizes (ulimit -f), or use --split-size"
    default: nil
    }
  }

  /// The error under the names that programs read.
  var json: JSON {
    [
      "error": [
        "path": .string(path), "tensor": JSON(tensor),
        "offset": offset.map { JSON(Int(clamping: $0)) } ?? .null,
        "expected": .string(expected), "found": .string(found), "message": .string(text),
        "remedy": JSON(remedy?.rawValue),
      ]
    ]
  }
}
