import IngotSystem

/// The chat templates that came with a model, found as transformers finds them.
///
/// The first of these that is there counts, alone: chat_template.jinja with what is in additional_chat_templates;
/// `chat_template` of tokenizer_config.json, a text, a list of objects with `name` and `template`, or an object of texts by
/// name; the same in chat_template.json and processor_config.json, which are for models that also take images.
public struct ChatTemplates: Sendable {
  public struct Template: Hashable, Sendable {
    /// `default` for the only one of a model; `tool_use` for conversations with tools.
    public let name: String
    /// Text in Jinja's language.
    public let source: String
    /// The file it comes from.
    public let path: String
  }

  /// Names are unique; in the order of the file, the default one of a folder first. Empty for a model without templates.
  public let templates: [Template]
  /// The folder or file of the model, for errors.
  public let path: String

  /// The file of the default template.
  public static let file = "chat_template.jinja"
  /// The folder of the others, each in NAME.jinja.
  public static let folder = "additional_chat_templates"
  public static let defaultName = "default"
  /// The template for conversations with tools, if there is one of this name.
  public static let toolsName = "tool_use"
  /// Files of JSON with a member `chat_template`.
  private static let configs = ["tokenizer_config.json", "chat_template.json", "processor_config.json"]

  /// The file of a template of this name, under the model's folder.
  public static func file(of name: String) -> String {
    name == defaultName ? file : "\(folder)/\(name).jinja"
  }

  /// Whether a file's path under the model's folder is that of an additional template.
  public static func isAdditional(_ path: String) -> Bool {
    guard path.hasPrefix(folder + "/"), path.hasSuffix(".jinja") else { return false }
    let name = path.utf8.dropFirst(folder.utf8.count + 1)
    return name.count <= 255 && name.first != UInt8(ascii: ".")
      && !name.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 == 0 }
  }

  /// - Parameters:
  ///   - path: where the files are, for errors.
  ///   - additional: names of the files in additional_chat_templates.
  ///   - contents: a file's bytes by its path in the folder; nil if there is none.
  /// - Throws: `FormatError` for a file that is not UTF-8 or not as described above.
  public init(path: String, additional: [String], contents: (String) throws(FormatError) -> [UInt8]?)
    throws(FormatError)
  {
    self.path = path
    var names = additional.filter { $0.hasSuffix(".jinja") }.map { String($0.dropLast(6)) }.sorted()
    names.removeAll { $0.isEmpty || $0 == ChatTemplates.defaultName }
    var found: [Template] = []
    for name in [ChatTemplates.defaultName] + names {
      let file = ChatTemplates.file(of: name)
      guard let bytes = try contents(file) else { continue }
      let place = "\(path) (\(file))"
      guard let source = String(validating: bytes, as: UTF8.self) else {
        throw FormatError(path: place, expected: "UTF-8", found: "other bytes")
      }
      found.append(Template(name: name, source: source, path: place))
    }
    for file in ChatTemplates.configs where found.isEmpty {
      guard let bytes = try contents(file) else { continue }
      let place = "\(path) (\(file))"
      let json = try JSON.parse(bytes, path: place)
      found = try ChatTemplates.templates(json["chat_template"], path: place)
    }
    templates = found
  }

  private static func templates(_ json: JSON?, path: String) throws(FormatError) -> [Template] {
    var found: [Template] = []
    func add(_ name: String?, _ source: JSON?) throws(FormatError) {
      guard let name, let source = source?.string else {
        throw FormatError(
          path: path, expected: "a \"chat_template\" that is a text, or texts with names",
          found: source.map(\.kind) ?? "an entry without \"name\" and \"template\"")
      }
      found.removeAll { $0.name == name }
      found.append(Template(name: name, source: source, path: path))
    }
    switch json {
    case .none, .null: break
    case .array(let entries):
      for entry in entries { try add(entry["name"]?.string, entry["template"]) }
    case .object(let object):
      for (name, source) in object { try add(name, source) }
    case .some(let source): try add(defaultName, source)
    }
    return found
  }

  /// The template of a name; nil if there is none.
  public subscript(name: String) -> Template? { templates.first { $0.name == name } }

  /// The template for a conversation: `tool_use` for one with tools where there is such, else the default one.
  ///
  /// - Throws: `FormatError` naming where was looked.
  public func template(withTools: Bool) throws(FormatError) -> Template {
    if withTools, let template = self[ChatTemplates.toolsName] { return template }
    if let template = self[ChatTemplates.defaultName] { return template }
    guard templates.isEmpty else {
      throw FormatError(
        path: path, expected: "a chat template called '\(ChatTemplates.defaultName)'",
        found: templates.map { "'\(printable($0.name, limit: 40))'" }.joined(separator: ", "))
    }
    throw FormatError(
      path: path,
      expected: "a chat template: \(ChatTemplates.file), or \"chat_template\" in "
        + ChatTemplates.configs.joined(separator: ", ") + " or in a GGUF file's keys",
      found: "none", remedy: .giveTemplate)
  }
}
