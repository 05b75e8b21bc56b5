import ArgumentParser
import IngotReports
import IngotSystem
import IngotTensors
import IngotWorkflows

extension WrittenFile {
  /// The command that writes such a file, the option that asks for it, and what uses the file.
  private var words: (command: String, option: String, use: String?) {
    switch kind {
    case .unfinished: ("a command that was interrupted, or is at work", "", Self.again)
    case .share: ("ingot quantize", "--shard", "ingot assemble on its folder, with the other shares")
    case .verificationShare:
      ("ingot verify", "--shard", "ingot assemble on its folder, with the other shares")
    case .sensitivityShare:
      (
        "ingot sensitivity", "--shard",
        "ingot assemble on its folder, with the other shares, to one file that ends in .sens"
      )
    case .journal:
      ("the command that writes \(figures.first { $0.name == "output" }?.value ?? "it")", "", Self.again)
    case .calibration where figures.contains { $0.name == "share" }:
      (
        "ingot calibrate", "--shard",
        "ingot assemble on its folder, with the other shares, to one file that ends in .calib"
      )
    case .calibration:
      (
        "ingot calibrate", "",
        "ingot quantize MODEL --importance \(name), and ingot sensitivity --importance"
      )
    case .importance: ("ingot calibrate", "-o NAME.gguf, or llama-imatrix", importanceUse)
    case .legacyImportance: ("ingot calibrate", "-o NAME.dat, or llama-imatrix", importanceUse)
    case .sensitivity:
      ("ingot sensitivity", "", "ingot plan MODEL --sensitivity \(name) --bits N, --size or --fit")
    case .plan:
      (
        "ingot plan", "-o",
        "ingot quantize MODEL --plan \(name)" + (importance.map { " --importance \($0)" } ?? "")
          + ", and ingot verify --plan \(name)"
      )
    case .logits: ("ingot logits", "", "your own comparison with another engine's logits")
    case .recipe: ("ingot recipes NAME, or by hand", "", "ingot quantize MODEL --recipe \(name)")
    case .chatTemplate:
      (
        "who made the model; commands carry it along", "",
        "ingot verify, calibrate or inspect --render, --chat-template \(name)"
      )
    case .modelCard:
      (
        "ingot quantize or ingot convert, beside the weights", "",
        "ingot verify --card, which adds what it measured"
      )
    case .report: (Self.root, "", nil)
    case .recipes: ("ingot recipes", "--json", "ingot recipes NAME, which prints one")
    case .verification: ("ingot verify", "--json", nil)
    case .fits: ("ingot plan", "--json", "ingot plan MODEL --fit MACHINE")
    case .machineFits: ("ingot plan --machine or --fit", "--json", "ingot quantize")
    case .sensitivityResult:
      ("ingot sensitivity", "--json", "the file under \"output\" with ingot plan --sensitivity")
    case .sensitivityCost: ("ingot sensitivity --cost", "--json", nil)
    case .recipeSize: ("ingot plan --recipe", "--json", "ingot quantize --recipe")
    case .planSize: ("ingot plan", "--json", "the file under \"output\" with ingot quantize --plan")
    case .quantized: ("ingot quantize", "--json", "ingot verify on these files")
    case .converted: ("ingot convert", "--json", "ingot check on these files")
    case .calibrated:
      ("ingot calibrate", "--json", "the file under \"output\" with ingot quantize --importance")
    case .shareMade:
      ("ingot verify or ingot sensitivity", "--shard --json", "ingot assemble on the folder under \"output\"")
    case .logitsPlace: ("ingot logits", "--json", nil)
    case .generation: ("ingot generate", "--json", nil)
    case .fitDecision: ("ingot fit --dry-run", "--json", "ingot fit without --dry-run")
    case .fitRecord: ("ingot fit", "", "the same ingot fit again, which resumes where it is not finished")
    case .check: ("ingot check", "--json", nil)
    case .conversations: ("ingot inspect --render", "--json", nil)
    case .model, .file: ("ingot inspect", "--json", nil)
    case .tensors: ("ingot inspect --tensors", "--json", nil)
    case .error: (Self.root, "--json", nil)
    }
  }

  private static let root = RootCommand.configuration.commandName ?? ""
  private static let again = "the same command again, which resumes; or --force, which begins anew"

  private var importanceUse: String {
    "ingot quantize MODEL --importance \(name), and llama-quantize --imatrix"
  }

  /// The command that wrote it, and the version where the file has it.
  var madeBy: String {
    let words = words
    let option = isPage ? "--html" : words.option
    return words.command + (option.isEmpty ? "" : " " + option)
      + (tool.map { " (\(printable($0, limit: 40)))" } ?? "")
  }

  /// What uses it; nil where it is for people.
  var use: String? { isPage ? "a browser" : words.use }

  /// The result under the names that programs read.
  var json: JSON {
    [
      "kind": .string(title), "madeBy": .string(madeBy), "model": JSON(model),
      "figures": .object(
        figures.reduce(into: [:] as JSONObject) { object, figure in
          object[figure.name] = .string(figure.value)
        }),
      "use": JSON(use),
    ]
  }

  /// The same for people.
  func text(_ path: String) -> String {
    var table = Table(["", ""], left: [0, 1])
    table.add(["file", "\(printable(path)): \(title)"])
    table.add(["made by", madeBy])
    table.add(["model", model ?? "not named in the file"])
    for (name, value) in figures { table.add([name, printable(value, limit: 200)]) }
    if let use { table.add(["used by", printable(use)]) }
    return String(table.text.drop { $0.isNewline })
  }
}
