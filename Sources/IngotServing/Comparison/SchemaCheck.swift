import IngotSystem

/// Whether values are what a JSON schema asks for: types, members, entries, constants, alternatives, lengths and bounds. What else a
/// schema may say (patterns, conditions, formats) is not looked at.
package struct SchemaCheck {
  private let root: JSON

  package init(_ root: JSON) { self.root = root }

  package func accepts(_ value: JSON) -> Bool { accepts(value, root, depth: 0) }

  private func accepts(_ value: JSON, _ schema: JSON, depth: Int) -> Bool {
    guard depth < 64 else { return true }
    if let all = schema.bool { return all }
    guard let object = schema.object else { return true }
    func under(_ schema: JSON) -> Bool { accepts(value, schema, depth: depth + 1) }
    if let reference = object["$ref"]?.string, let found = root.part(named: reference), !under(found) {
      return false
    }
    if let constant = object["const"], constant != value { return false }
    if let values = object["enum"]?.array, !values.contains(value) { return false }
    if let options = object["anyOf"]?.array ?? object["oneOf"]?.array, !options.contains(where: under) {
      return false
    }
    if let all = object["allOf"]?.array, !all.allSatisfy(under) { return false }
    let types = object["type"]?.array?.compactMap(\.string) ?? [object["type"]?.string].compactMap { $0 }
    guard types.isEmpty || types.contains(where: { isOf($0, value) }) else { return false }
    if let members = value.object { return acceptsMembers(members, object, depth) }
    if let entries = value.array {
      let items = object["items"] ?? .bool(true)
      return entries.allSatisfy { accepts($0, items, depth: depth + 1) }
        && isWithin(Double(entries.count), object, "minItems", "maxItems")
    }
    if let text = value.string {
      return isWithin(Double(text.unicodeScalars.count), object, "minLength", "maxLength")
    }
    return value.double.map { isWithin($0, object, "minimum", "maximum") } ?? true
  }

  private func acceptsMembers(_ members: JSONObject, _ schema: JSONObject, _ depth: Int) -> Bool {
    let required = schema["required"]?.array?.compactMap(\.string) ?? []
    guard required.allSatisfy({ members[$0] != nil }) else { return false }
    let known = schema["properties"]?.object ?? [:]
    let others = schema["additionalProperties"] ?? .bool(true)
    return members.allSatisfy { name, value in accepts(value, known[name] ?? others, depth: depth + 1) }
  }

  private func isOf(_ type: String, _ value: JSON) -> Bool {
    switch type {
    case "object": value.object != nil
    case "array": value.array != nil
    case "string": value.string != nil
    case "boolean": value.bool != nil
    case "null": value.isNull
    case "number": value.double != nil
    case "integer": value.double.map { $0 == $0.rounded() } ?? false
    default: true
    }
  }

  private func isWithin(_ value: Double, _ schema: JSONObject, _ least: String, _ most: String) -> Bool {
    value >= schema[least]?.double ?? -.infinity && value <= schema[most]?.double ?? .infinity
  }
}
