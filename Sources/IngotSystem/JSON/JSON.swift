/// A JSON value. Objects keep the order of their keys, so what is read can be written again.
public enum JSON: Hashable, Sendable {
  case null
  case bool(Bool)
  case number(JSONNumber)
  case string(String)
  case array([JSON])
  case object(JSONObject)

  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  /// The value as an integer, when it is a number written without fraction that fits.
  public var int: Int? { if case .number(let value) = self { value.int } else { nil } }
  public var double: Double? { if case .number(let value) = self { value.double } else { nil } }
  public var isNull: Bool { self == .null }

  /// Member `key` of an object; nil for other values and for keys that are not there.
  public subscript(key: String) -> JSON? { object?[key] }

  /// Whether both mean the same: numbers by their values, objects whatever the order of their keys.
  public func isEqual(to other: JSON) -> Bool {
    switch (self, other) {
    case (.number(let value), .number(let second)): value.text == second.text || value.double == second.double
    case (.array(let list), .array(let second)):
      list.count == second.count && zip(list, second).allSatisfy { $0.isEqual(to: $1) }
    case (.object(let object), .object(let second)):
      object.count == second.count && object.allSatisfy { second[$0.key]?.isEqual(to: $0.value) ?? false }
    default: self == other
    }
  }

  /// What kind of value this is, for error messages: `a string`, `the number 3`…
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .number(let value): "the number \(value.text)"
    case .string(let value): "the string \"\(printable(value, limit: 60))\""
    case .array(let value): "an array of \(value.count)"
    case .object(let value): "an object of \(value.count) keys"
    }
  }
}

/// A number as it stands in the text: no digit is lost on the way through.
public struct JSONNumber: Hashable, Sendable {
  public let text: String

  /// - Parameter text: a number by the JSON grammar; the scanner has checked it.
  init(checked text: String) { self.text = text }

  public init(_ value: Int) { text = String(value) }

  /// A finite number in the shortest form that reads back equal. JSON has no NaN and no infinity.
  public init(_ value: Double) {
    precondition(value.isFinite, "JSON cannot hold \(value)")
    let plain = "\(value)"
    text = plain.hasSuffix(".0") ? String(plain.dropLast(2)) : plain
  }

  public var int: Int? { Int(text) }
  public var double: Double? { Double(text) }
}

/// The members of an object in their order. Keys are unique.
public struct JSONObject: Hashable, Sendable, Sequence, ExpressibleByDictionaryLiteral {
  public private(set) var keys: [String] = []
  private var values: [String: JSON] = [:]

  public init() {}

  public init(dictionaryLiteral elements: (String, JSON)...) {
    for (key, value) in elements { self[key] = value }
  }

  public var count: Int { keys.count }

  public subscript(key: String) -> JSON? {
    get { values[key] }
    set {
      let old = values[key]
      values[key] = newValue
      if old == nil && newValue != nil { keys.append(key) }
      if old != nil && newValue == nil { keys.removeAll { $0 == key } }
    }
  }

  /// Adds a member; false when `key` is there already.
  mutating func insert(_ key: String, _ value: JSON) -> Bool {
    guard values.updateValue(value, forKey: key) == nil else { return false }
    keys.append(key)
    return true
  }

  public func makeIterator() -> AnyIterator<(key: String, value: JSON)> {
    var rest = keys.makeIterator()
    return AnyIterator { [values] in rest.next().map { (key: $0, value: values[$0]!) } }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .number(JSONNumber(value)) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    var object = JSONObject()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
  public init(_ value: Int) { self = .number(JSONNumber(value)) }
  /// A finite value as a number; NaN and infinities, which JSON does not have, as null.
  public init(_ value: Double) { self = value.isFinite ? .number(JSONNumber(value)) : .null }
  public init(_ value: String?) { self = value.map { .string($0) } ?? .null }
}
