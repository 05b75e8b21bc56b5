import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Chat templates in a GGUF file: the default one under a key, each other under this key with its name, and a list of
/// the names.
struct GGUFChatTemplates {
  private static let namesKey = "tokenizer.chat_templates"
  private let model: Model

  init(_ model: Model) { self.model = model }

  func add(to metadata: inout GGUFMetadata) throws(FormatError) {
    var names: [String] = []
    for template in try ChatTemplates(of: model).templates {
      guard template.name != ChatTemplates.defaultName else {
        metadata[GGUFTokenizer.templateKey] = .string(template.source)
        continue
      }
      // As llama.cpp's converter spells names.
      let plain = String(
        template.name.map { $0.isASCII && ($0.isLetter || $0.isNumber) || $0 == "_" ? $0 : "_" })
      names.append(plain)
      metadata["\(GGUFTokenizer.templateKey).\(plain)"] = .string(template.source)
    }
    if !names.isEmpty { metadata[Self.namesKey] = .strings(names) }
  }

  /// A template, or a list of named ones as tokenizer_config.json has it; null for none.
  static func read(_ metadata: GGUFMetadata) -> JSON {
    let template = metadata[GGUFTokenizer.templateKey]?.string
    guard let names = try? metadata[namesKey].map({ _ in try metadata.strings(namesKey) }), !names.isEmpty
    else {
      return JSON(template)
    }
    func entry(_ name: String, _ text: String) -> JSON { ["name": .string(name), "template": .string(text)] }
    return .array(
      (template.map { [entry(ChatTemplates.defaultName, $0)] } ?? [])
        + names.compactMap { name in
          metadata["\(GGUFTokenizer.templateKey).\(name)"]?.string.map { entry(name, $0) }
        })
  }
}
