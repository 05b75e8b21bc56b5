import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Chat templates in a GGUF file: the default one under a key, each other under this key with its name, and a list of
/// the names.
struct GGUFChatTemplates {
  private static let namesKey = "tokenizer.chat_templates"
  private static let defaultName = "default"
  private let model: Model

  init(_ model: Model) { self.model = model }

  func add(to metadata: inout GGUFMetadata) throws(FormatError) {
    let templates = try all()
    var names: [String] = []
    for (name, text) in templates {
      guard name != Self.defaultName else {
        metadata[GGUFTokenizer.templateKey] = .string(text)
        continue
      }
      // As llama.cpp's converter spells names.
      let plain = String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) || $0 == "_" ? $0 : "_" })
      names.append(plain)
      metadata["\(GGUFTokenizer.templateKey).\(plain)"] = .string(text)
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
      (template.map { [entry(defaultName, $0)] } ?? [])
        + names.compactMap { name in
          metadata["\(GGUFTokenizer.templateKey).\(name)"]?.string.map { entry(name, $0) }
        })
  }

  /// Templates by name, found as transformers finds them.
  private func all() throws(FormatError) -> [(name: String, text: String)] {
    if let file = model.sideFile("chat_template.jinja") {
      guard let text = String(validating: file.bytes.array, as: UTF8.self) else {
        throw FormatError(path: path("chat_template.jinja"), expected: "UTF-8", found: "other bytes")
      }
      return [(Self.defaultName, text)]
    }
    for name in ["tokenizer_config.json", "chat_template.json", "processor_config.json"] {
      guard let file = model.sideFile(name) else { continue }
      let found = try named(JSON.parse(file.bytes.array, path: path(name))["chat_template"] ?? .null, name)
      if !found.isEmpty { return found }
    }
    return []
  }

  private func named(_ json: JSON, _ file: String) throws(FormatError) -> [(name: String, text: String)] {
    switch json {
    case .null: return []
    case .string(let text): return [(Self.defaultName, text)]
    case .object(let object):
      return object.compactMap { name, text in text.string.map { (name, $0) } }
    case .array(let list):
      var templates: [(String, String)] = []
      for entry in list {
        guard let name = entry["name"]?.string, let text = entry["template"]?.string else {
          throw FormatError(
            path: path(file), expected: "chat_template: a list of objects with name and template",
            found: entry.kind)
        }
        templates.append((name, text))
      }
      return templates
    default:
      throw FormatError(
        path: path(file), expected: "chat_template: a text, or texts with names", found: json.kind)
    }
  }

  private func path(_ name: String) -> String { "\(model.path) (\(name))" }
}
