import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// What a shell offers for the values of arguments. Options whose type lists its cases need none of these.
extension CompletionKind {
  /// A model (a folder, or a file in any container), or another file of any name.
  static let path = CompletionKind.file()
  static let json = CompletionKind.file(extensions: ["json"])
  static let yaml = CompletionKind.file(extensions: ["yaml", "yml"])
  static let html = CompletionKind.file(extensions: ["html", "htm"])
  static let format = CompletionKind.list(Format.all.map(\.name))
  static let claim = CompletionKind.list(Claim.names.map { $0 + "=" })

  // Computed when a shell asks, not at every start of the command.

  static let builtInRecipe = CompletionKind.custom { _, _, _ in Recipe.builtIn.map(\.name) }

  /// The name of a built-in recipe, or a file.
  static let recipe = CompletionKind.custom { _, _, prefix in
    Recipe.builtIn.map(\.name) + recipeFiles(beginning: prefix)
  }

  /// The name of a built-in machine, or of one in the file that --machines gives.
  static let machine = CompletionKind.custom { words, _, _ in
    let file = words.drop { $0 != "--machines" }.dropFirst().first
    return ((try? Machine.all(adding: file)) ?? Machine.builtIn).map(\.name).filter(isPlain)
  }

  /// Encodings that plans choose among, in any format.
  static let encoding = CompletionKind.custom { _, _, _ in
    let names = Format.all.flatMap { $0.traits.candidates.flatMap(\.names) }
    return names.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// YAML files and folders in the folder that the word names so far.
  private static func recipeFiles(beginning prefix: String) -> [String] {
    let folder = prefix.lastIndex(of: "/").map { String(prefix[...$0]) } ?? ""
    let names = (try? Folder.names(folder.isEmpty ? "." : folder)) ?? []
    return names.filter(isPlain).compactMap { name -> String? in
      switch Folder.kind(folder + name) {
      case .folder: folder + name + "/"
      case .file where name.hasSuffix(".yaml") || name.hasSuffix(".yml"): folder + name
      default: nil
      }
    }
  }

  /// Whether a name from a file or folder can be offered: bash expands words that it is given, `$(…)` too.
  private static func isPlain(_ name: String) -> Bool {
    name.first != "." && name.first != "-"
      && name.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"):
          true
        default: "._-+".utf8.contains($0)
        }
      }
  }
}

/// Completion scripts as the parser writes them, completed: after the first of several values, as in `--text a b`, it
/// offers nothing, in bash also for values that it knows nothing of.
enum CompletionScript {
  /// Options that take several files.
  private static let files = ["text", "sequential"]

  /// - Parameter text: what the parser prints; anything but a script is returned as it is.
  static func withFileNames(_ text: String) -> String {
    if text.hasPrefix("#compdef ingot\n") { return zsh(text) }
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      if line == "complete -o filenames -F _ingot ingot" {
        return "complete -o default -o filenames -F _ingot ingot"
      }
      return ([String(line)] + fish(line)).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  /// What follows a line about one of these options in the script for fish.
  private static func fish(_ line: Substring) -> [String] {
    guard line.hasPrefix("complete -c 'ingot' "), files.contains(where: { line.contains(" -l '\($0)' ") }),
      let command = line.firstMatch(of: /"(ingot \w+)"/)?.1
    else { return [] }
    return [
      "complete -c 'ingot' -n '__ingot_should_offer_completions_for_positional \"\(command)\" -ge 2' -F"
    ]
  }

  private static func zsh(_ script: String) -> String {
    var (takesFiles, takesRest) = (false, false)
    var lines: [Substring] = []
    for line in script.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.contains("local -ar arg_specs=(") { (takesFiles, takesRest) = (false, false) }
      if files.contains(where: { line.contains("'--\($0)[") }) { takesFiles = true }
      // Arguments of any number: what is left over is theirs already.
      if line.hasPrefix("        '*:") { takesRest = true }
      if line == "    )", takesFiles, !takesRest { lines.append("        '*:file:_files'") }
      lines.append(line)
    }
    return lines.joined(separator: "\n")
  }
}
