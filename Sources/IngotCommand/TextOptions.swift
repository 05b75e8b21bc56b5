import ArgumentParser
import IngotWorkflows

/// Texts, and how they are cut into contexts.
struct TextOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Texts in UTF-8, .jsonl with one text or conversation per line, or .json with a list of conversations.",
      valueName: "file"), completion: .path)
  var text: [String]

  @OptionGroup var contexts: ContextOptions

  var selection: TextSelection { contexts.selection(text) }
}

/// How texts are cut into contexts.
struct ContextOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Tokens per context.", valueName: "n"))
  var context: Int = 512

  @Option(name: .long, help: ArgumentHelp("Maximum contexts per text.", valueName: "n"))
  var chunks: Int?

  @OptionGroup var template: ChatTemplateOption

  func validate() throws {
    guard context >= 4, context <= 1 << 20 else { throw ValidationError("--context must be 4 to 1048576.") }
    guard chunks.map({ $0 >= 1 }) ?? true else { throw ValidationError("--chunks must be at least 1.") }
  }

  func selection(_ text: [String]) -> TextSelection {
    var selection = TextSelection(text, context: context, chunks: chunks)
    selection.chatTemplate = template.chatTemplate
    return selection
  }
}

/// What conversations are rendered by.
struct ChatTemplateOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Render conversations by this file instead of the model's template.", valueName: "jinja"),
    completion: .path)
  var chatTemplate: String?
}
