import ArgumentParser
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Texts, and how they are cut into contexts.
struct TextOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Texts in UTF-8, or .jsonl with a text or a conversation a line.", valueName: "file"))
  var text: [String]

  @Option(name: .long, help: ArgumentHelp("Tokens in each context.", valueName: "n"))
  var context: Int = 512

  @Option(name: .long, help: ArgumentHelp("At most so many contexts of each text.", valueName: "n"))
  var chunks: Int?

  func validate() throws {
    guard context >= 4, context <= 1 << 20 else { throw ValidationError("--context must be 4 to 1048576.") }
    guard chunks.map({ $0 >= 1 }) ?? true else { throw ValidationError("--chunks must be at least 1.") }
  }

  var names: [String] { text.map { Folder.name(of: $0) } }

  /// The first contexts of each text, at most `chunks` of each; those of fewer chunks begin those of more.
  func contexts(_ tokenizer: Tokenizer, chunks: Int?) throws(FormatError) -> [[Context]] {
    try TextOptions.contexts(text, length: context, tokenizer, chunks: chunks)
  }

  static func contexts(_ texts: [String], length context: Int, _ tokenizer: Tokenizer, chunks: Int? = nil)
    throws(FormatError) -> [[Context]]
  {
    var found: [[Context]] = []
    for path in texts {
      let bytes = try Bytes.mapping(path)
      let content = path.hasSuffix(".jsonl") ? try ChatLines.text(of: bytes, path: path) : bytes
      let wanted = chunks.map { $0.multipliedReportingOverflow(by: context) }
      let needed = wanted.map { $0.overflow ? Int.max : $0.partialValue } ?? Int.max
      let ids = try tokenizer.encode(content, path: path, atLeast: needed)
      let cut = Context.cut(ids, length: context, text: Folder.name(of: path))
      guard !cut.isEmpty else {
        throw FormatError(
          path: path, expected: "at least \(context) tokens of text (--context)", found: "\(ids.count)")
      }
      found.append(chunks.map { Array(cut.prefix($0)) } ?? cut)
    }
    return found
  }

  /// Contexts to choose by and others to judge the choice by: of each text the first `chunks`, and of those that follow the last
  /// ones, twice as many at most. Without `chunks`, or where no context follows, the last quarter of those that there are; a
  /// text of one context is for both.
  func contextsApart(_ tokenizer: Tokenizer) throws(FormatError) -> (choosing: [Context], judging: [Context])
  {
    var (choosing, judging): ([Context], [Context]) = ([], [])
    for all in try contexts(tokenizer, chunks: nil) {
      var first = min(chunks ?? all.count, all.count)
      if first == all.count { first = max(all.count - max(all.count / 4, 1), min(all.count, 1)) }
      choosing += all.prefix(first)
      let others = all.dropFirst(first)
      judging += others.isEmpty ? all[...] : others.suffix(2 * (chunks ?? all.count))
    }
    return (choosing, judging)
  }

  /// Contexts of all texts, one after the other.
  func contexts(_ tokenizer: Tokenizer) throws(FormatError) -> [Context] {
    try contexts(tokenizer, chunks: chunks).flatMap { $0 }
  }
}
