import IngotSystem

/// What the arguments of a tool's calls are, by its JSON schema: formats that write them as text do not say whether `1` is a number.
struct ArgumentTypes {
  private let properties: JSON?
  private let isKnown: Bool

  init(_ name: String, _ tools: [ToolDefinition]) {
    let tool = tools.first { $0.name == name }
    isKnown = tool != nil
    properties = tool?.parameters["properties"]
  }

  /// The value of an argument that is written as text.
  func value(_ text: String, of argument: String) -> JSON {
    let schema = properties?[argument]
    let types = schema.map { Self.types($0) } ?? []
    let parsed = text.trimmed().parsed
    guard !types.isEmpty else {
      // A schema that leaves it open, or none: what is a text and nothing else stays one.
      guard let parsed, parsed.string == nil else { return .string(text) }
      return parsed
    }
    if let parsed, parsed.string == nil, types.contains(where: { parsed.isOf($0) }) { return parsed }
    // A string may be quoted by models that think in JSON, but only where nothing else is meant.
    return .string(text)
  }

  /// Names of the types that a schema allows; none where it does not say.
  private static func types(_ schema: JSON, depth: Int = 0) -> [String] {
    if let type = schema["type"]?.string { return [type] }
    if let list = schema["type"]?.array { return list.compactMap(\.string) }
    guard depth < 8 else { return [] }
    for key in ["anyOf", "oneOf"] {
      if let options = schema[key]?.array { return options.flatMap { types($0, depth: depth + 1) } }
    }
    if let values = schema["enum"]?.array { return values.map(\.schemaType) }
    return []
  }
}

extension JSON {
  /// The type that a JSON schema calls the value.
  var schemaType: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .number: int == nil ? "number" : "integer"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }

  func isOf(_ type: String) -> Bool {
    let own = schemaType
    return own == type || own == "integer" && type == "number"
  }
}
