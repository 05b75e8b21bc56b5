import IngotSystem

/// Makes a grammar of a JSON schema: texts by the grammar are JSON that the schema allows.
///
/// Members of objects come in the order of the schema. What cannot be kept to is refused, not passed over: patterns, `not`, conditions,
/// bounds of numbers that are no whole ones in a small range. Titles, descriptions, defaults, examples and formats mean nothing.
package struct SchemaGrammar {
  package private(set) var grammar = Grammar()
  private let root: JSON
  private let place: String
  /// By their names.
  private var references: [String: Grammar.Rule] = [:]
  private var common: [String: Grammar.Rule] = [:]

  /// Members that change nothing.
  private static let annotations: Set<String> = [
    "title", "description", "default", "examples", "format", "$schema", "$id", "$comment", "$defs",
    "definitions",
    "deprecated", "readOnly", "writeOnly", "strict", "contentEncoding", "contentMediaType",
  ]
  private static let types = ["string", "integer", "number", "boolean", "null", "object", "array"]
  /// Letters and entries that are counted one by one.
  private static let mostCounted = 1024
  private static let mostMembers = 256

  /// - Parameters:
  ///   - root: the schema that references are looked up in.
  ///   - place: of it in the request.
  init(_ root: JSON, place: String) { (self.root, self.place) = (root, place) }

  /// A further schema in the grammar of another.
  init(_ root: JSON, place: String, adding other: SchemaGrammar) {
    self.init(root, place: place)
    (grammar, common) = (other.grammar, other.common)
  }

  /// The grammar of a whole answer, with white space before it.
  package static func grammar(of schema: JSON, place: String) throws(ServingError) -> Grammar {
    var maker = SchemaGrammar(schema, place: place)
    let value = try maker.value(schema)
    let space = maker.space
    maker.grammar.root = maker.grammar.add([[space, space] + value])
    return maker.grammar
  }

  /// A rule to be the root.
  mutating func setRoot(_ alternatives: [[Grammar.Element]]) { grammar.root = grammar.add(alternatives) }

  mutating func rule(_ alternatives: [[Grammar.Element]]) -> Grammar.Element {
    .rule(grammar.add(alternatives))
  }

  mutating func repeated(_ element: [Grammar.Element], most: Int?) -> [Grammar.Element] {
    grammar.repeated(element, most: most)
  }

  private func refuse(_ what: String) -> ServingError {
    ServingError(.invalid, "\(place): \(printable(what, limit: 200)) cannot be enforced", parameter: place)
  }

  // ---- values ---------------------------------------------------------------------------------------------------------

  /// The elements of a value by a schema.
  mutating func value(_ schema: JSON, depth: Int = 0) throws(ServingError) -> [Grammar.Element] {
    guard depth < 64 else { throw refuse("a schema of more than 64 levels") }
    if schema.bool == true { return [any] }
    guard let object = schema.object else { throw refuse("the schema \(schema.kind)") }
    if let reference = object["$ref"]?.string {
      try allow(object, ["$ref"])
      return [.rule(try referenced(reference, depth: depth))]
    }
    if let constant = object["const"] { return Grammar.text(constant.text()) }
    if let values = object["enum"]?.array {
      guard !values.isEmpty, values.count <= Self.mostCounted else {
        throw refuse("an enum of \(values.count)")
      }
      return [rule(values.map { Grammar.text($0.text()) })]
    }
    for key in ["anyOf", "oneOf"] {
      guard let options = object[key]?.array, !options.isEmpty else { continue }
      try allow(object, [key, "type", "discriminator"])
      var alternatives: [[Grammar.Element]] = []
      for option in options { alternatives.append(try value(option, depth: depth + 1)) }
      return [rule(alternatives)]
    }
    if let all = object["allOf"]?.array, all.count == 1 {
      try allow(object, ["allOf", "type"])
      return try value(all[0], depth: depth + 1)
    }
    var names = object["type"]?.array?.compactMap(\.string) ?? [object["type"]?.string].compactMap { $0 }
    if names.isEmpty {
      if object["properties"] != nil {
        names = ["object"]
      } else if object["items"] != nil {
        names = ["array"]
      }
    }
    if names.isEmpty {
      try allow(object, [])
      return [any]
    }
    var alternatives: [[Grammar.Element]] = []
    for name in names { alternatives.append(try value(name, object, depth)) }
    return alternatives.count == 1 ? alternatives[0] : [rule(alternatives)]
  }

  private func allow(_ object: JSONObject, _ keys: Set<String>) throws(ServingError) {
    for key in object.keys where !keys.contains(key) && !Self.annotations.contains(key) {
      throw refuse("'\(key)'")
    }
  }

  private mutating func referenced(_ reference: String, depth: Int) throws(ServingError) -> Grammar.Rule {
    if let rule = references[reference] { return rule }
    guard let target = root.part(named: reference) else { throw refuse("the reference '\(reference)'") }
    // Before it is read, since it may refer to itself.
    let rule = grammar.add()
    references[reference] = rule
    let elements = try value(target, depth: depth + 1)
    if case .rule(rule)? = elements.first { throw refuse("the reference '\(reference)' to itself") }
    grammar.set(rule, [elements])
    return rule
  }

  private mutating func value(_ type: String, _ schema: JSONObject, _ depth: Int) throws(ServingError)
    -> [Grammar.Element]
  {
    let others = Set(schema.keys).intersection([
      "minLength", "maxLength", "minimum", "maximum", "properties", "required", "additionalProperties",
      "items",
      "minItems", "maxItems",
    ])
    try allow(schema, others.union(["type"]))
    switch type {
    case "string":
      guard schema["minLength"] != nil || schema["maxLength"] != nil else { return [string] }
      let (least, most) = try bounds(schema, "minLength", "maxLength")
      let letter = self.letter
      return Grammar.text("\"") + grammar.repeated([letter], least: least, most: most) + Grammar.text("\"")
    case "integer": return try integer(schema)
    case "number":
      guard schema["minimum"] == nil, schema["maximum"] == nil else { throw refuse("a bound of a number") }
      return [number]
    case "boolean": return [rule([Grammar.text("true"), Grammar.text("false")])]
    case "null": return Grammar.text("null")
    case "object": return try members(schema, depth)
    case "array": return try entries(schema, depth)
    default: throw refuse("the type '\(type)'")
    }
  }

  private func bounds(_ schema: JSONObject, _ lower: String, _ upper: String) throws(ServingError) -> (
    Int, Int?
  ) {
    let (least, most) = (schema[lower]?.int ?? 0, schema[upper]?.int)
    guard (0...Self.mostCounted).contains(least),
      most.map({ ($0 - least) >= 0 && $0 <= Self.mostCounted }) ?? true
    else { throw refuse("\(lower) and \(upper) beyond 0 to \(Self.mostCounted)") }
    return (least, most)
  }

  private mutating func integer(_ schema: JSONObject) throws(ServingError) -> [Grammar.Element] {
    switch (schema["minimum"]?.int, schema["maximum"]?.int) {
    case (nil, nil):
      guard schema["minimum"] == nil, schema["maximum"] == nil else {
        throw refuse("a bound that is no whole number")
      }
      return [wholeNumber]
    case (let least?, let most?):
      guard least <= most, most - least < Self.mostCounted else {
        throw refuse("a range of \(least) to \(most)")
      }
      return [rule((least...most).map { Grammar.text(String($0)) })]
    case (0?, nil), (1?, nil):
      let digit = Grammar.Element.bytes(ByteSet([0x30...0x39]))
      let rest = grammar.repeated([digit], most: 15)
      let positive = [.bytes(ByteSet([0x31...0x39]))] + rest
      return [rule(schema["minimum"]?.int == 1 ? [positive] : [positive, Grammar.text("0")])]
    default: throw refuse("one bound of a whole number other than a minimum of 0 or 1")
    }
  }

  /// `{` and members in the order of the schema, `}`. Members that are not required may be left out.
  private mutating func members(_ schema: JSONObject, _ depth: Int) throws(ServingError) -> [Grammar.Element]
  {
    let properties = schema["properties"]?.object ?? [:]
    let required = Set((schema["required"]?.array ?? []).compactMap(\.string))
    guard required.allSatisfy({ properties[$0] != nil }) else {
      throw refuse("a required member without schema")
    }
    guard properties.count <= Self.mostMembers else {
      throw refuse("an object of \(properties.count) members")
    }
    guard properties.count > 0 else {
      if schema["additionalProperties"]?.bool == false { return Grammar.text("{}") }
      guard let other = schema["additionalProperties"], other.object != nil else {
        return try anyMembers([any])
      }
      return try anyMembers(try value(other, depth: depth + 1))
    }
    let space = self.space
    // From the last member on: what may follow where a member came before, and where none did.
    var (later, first): ([[Grammar.Element]], [[Grammar.Element]]) = ([[]], [[]])
    for (key, property) in Array(properties).reversed() {
      let member =
        Grammar.text(JSON.string(key).text()) + Grammar.text(":") + [space]
        + (try value(property, depth: depth + 1))
      let rest = rule(later)
      let none = rule(first)
      let isRequired = required.contains(key)
      later = [Grammar.text(",") + [space] + member + [rest]] + (isRequired ? [] : [[rest]])
      first = [member + [rest]] + (isRequired ? [] : [[none]])
    }
    return Grammar.text("{") + [space, rule(first), space] + Grammar.text("}")
  }

  private mutating func anyMembers(_ value: [Grammar.Element]) throws(ServingError) -> [Grammar.Element] {
    let (space, string) = (self.space, self.string)
    let member = [string] + Grammar.text(":") + [space] + value
    let more = grammar.repeated(Grammar.text(",") + [space] + member)
    return Grammar.text("{") + [space, rule([member + more, []]), space] + Grammar.text("}")
  }

  private mutating func entries(_ schema: JSONObject, _ depth: Int) throws(ServingError) -> [Grammar.Element]
  {
    let entry =
      try schema["items"].map { items throws(ServingError) in try value(items, depth: depth + 1) } ?? [any]
    let (least, most) = try bounds(schema, "minItems", "maxItems")
    let space = self.space
    if most == 0 { return Grammar.text("[]") }
    let more = grammar.repeated(
      Grammar.text(",") + [space] + entry, least: max(least - 1, 0), most: most.map { $0 - 1 })
    let list = rule([entry + more] + (least == 0 ? [[]] : []))
    return Grammar.text("[") + [space, list, space] + Grammar.text("]")
  }

  // ---- what values are made of ----------------------------------------------------------------------------------------

  private mutating func shared(_ name: String, _ make: (inout SchemaGrammar) -> [[Grammar.Element]])
    -> Grammar.Element
  {
    if let rule = common[name] { return .rule(rule) }
    let rule = grammar.add()
    common[name] = rule
    grammar.set(rule, make(&self))
    return .rule(rule)
  }

  /// None, one, or a line's end with some.
  var space: Grammar.Element {
    mutating get {
      shared("space") {
        let more = $0.grammar.repeated(Grammar.text(" "), most: 16)
        return [[], Grammar.text(" "), Grammar.text("\n") + more]
      }
    }
  }

  /// A letter of a string in JSON: one of UTF-8, or an escape.
  private var letter: Grammar.Element {
    mutating get {
      shared("letter") {
        let digit = Grammar.Element.bytes(ByteSet([0x30...0x39, 0x41...0x46, 0x61...0x66]))
        let plain = Grammar.Element.bytes(ByteSet([0x20...0x7E], without: [0x22, 0x5C]))
        let simple = Grammar.Element.bytes(ByteSet(0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74))
        // Of what \u writes, what is no half of a pair.
        let first = $0.rule([
          [.bytes(ByteSet([0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66])), digit],
          [.bytes(ByteSet(0x44, 0x64)), .bytes(ByteSet([0x30...0x37]))],
        ])
        return [
          [plain], Grammar.text("\\") + [simple], Grammar.text("\\u") + [first, digit, digit],
        ] + SchemaGrammar.wide
      }
    }
  }

  /// Letters of more than one byte (Unicode, table 3-7).
  static var wide: [[Grammar.Element]] {
    let tail = Grammar.Element.bytes(ByteSet([0x80...0xBF]))
    func bytes(_ range: ClosedRange<UInt8>) -> Grammar.Element { .bytes(ByteSet([range])) }
    return [
      [bytes(0xC2...0xDF), tail], [bytes(0xE0...0xE0), bytes(0xA0...0xBF), tail],
      [bytes(0xE1...0xEC), tail, tail], [bytes(0xED...0xED), bytes(0x80...0x9F), tail],
      [bytes(0xEE...0xEF), tail, tail], [bytes(0xF0...0xF0), bytes(0x90...0xBF), tail, tail],
      [bytes(0xF1...0xF3), tail, tail, tail], [bytes(0xF4...0xF4), bytes(0x80...0x8F), tail, tail],
    ]
  }

  private var string: Grammar.Element {
    mutating get {
      shared("string") {
        let letter = $0.letter
        return [Grammar.text("\"") + $0.grammar.repeated([letter]) + Grammar.text("\"")]
      }
    }
  }

  private var wholeNumber: Grammar.Element {
    mutating get {
      shared("integer") {
        let rest = $0.grammar.repeated([.bytes(ByteSet([0x30...0x39]))], most: 15)
        let sign = $0.rule([[], Grammar.text("-")])
        return [[sign, .bytes(ByteSet([0x31...0x39]))] + rest, Grammar.text("0")]
      }
    }
  }

  private var number: Grammar.Element {
    mutating get {
      shared("number") {
        let digit = Grammar.Element.bytes(ByteSet([0x30...0x39]))
        let more = $0.grammar.repeated([digit], most: 15)
        let fraction = Grammar.text(".") + $0.grammar.repeated([digit], least: 1, most: 16)
        let exponent =
          [.bytes(ByteSet(0x65, 0x45)), $0.rule([[], [.bytes(ByteSet(0x2B, 0x2D))]])]
          + $0.grammar.repeated([digit], least: 1, most: 2)
        return [
          [
            $0.rule([[], Grammar.text("-")]),
            $0.rule([[.bytes(ByteSet([0x31...0x39]))] + more, Grammar.text("0")]),
            $0.rule([[], fraction]), $0.rule([[], exponent]),
          ]
        ]
      }
    }
  }

  /// Any JSON.
  var any: Grammar.Element {
    mutating get {
      shared("any") {
        let any = $0.any
        let (string, number, space) = ($0.string, $0.number, $0.space)
        let list =
          Grammar.text("[") + [
            space, $0.rule([[any] + $0.grammar.repeated(Grammar.text(",") + [space, any]), []]),
          ]
          + [space] + Grammar.text("]")
        let member = [string] + Grammar.text(":") + [space, any]
        let object =
          Grammar.text("{")
          + [
            space, $0.rule([member + $0.grammar.repeated(Grammar.text(",") + [space] + member), []]), space,
          ]
          + Grammar.text("}")
        return [
          [string], [number], Grammar.text("true"), Grammar.text("false"), Grammar.text("null"), list, object,
        ]
      }
    }
  }
}
