/// What an expression of a template gives: a value of Python's.
enum Value {
  /// A name, member or item that is not there. It prints as nothing; most other uses are errors.
  case undefined(Undefined)
  case null
  case bool(Bool)
  case int(Int)
  /// An integer that does not fit `int`.
  case big(BigInt)
  case float(Double)
  case text(Text)
  case list(List)
  case tuple(List)
  case dict(Dict)
  /// Everything else: macros, namespaces, iterators…
  case object(Object)

  static func integer(_ value: BigInt) -> Value { value.int.map { .int($0) } ?? .big(value) }

  static func string(_ value: String) -> Value { .text(Text(value)) }

  /// How deep lists, dicts and the like are nested; 0 for what holds nothing.
  var depth: Int {
    switch self {
    case .list(let list), .tuple(let list): list.depth
    case .dict(let dict): dict.depth
    case .object(let object): object.depth
    default: 0
    }
  }

  /// The name of the type, as Python has it.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .null: "NoneType"
    case .bool: "bool"
    case .int, .big: "int"
    case .float: "float"
    case .text(let text): text.isMarkup ? "Markup" : "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dict: "dict"
    case .object(let object): object.typeName
    }
  }

  var text: Text? { if case .text(let text) = self { text } else { nil } }
  var dict: Dict? { if case .dict(let dict) = self { dict } else { nil } }
  var isUndefined: Bool { if case .undefined = self { true } else { false } }
  var isNull: Bool { if case .null = self { true } else { false } }

  /// As an index or a count: integers and truth values; nil for the rest, and for integers that do not fit.
  var index: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): value
    default: nil
    }
  }
}

/// Why a value is undefined.
final class Undefined: Sendable {
  enum Reason: Sendable {
    case name(String)
    case member(of: String, String)
    /// A member that the sandbox does not give out.
    case unsafe(of: String, String)
    case hint(String)
  }
  let reason: Reason

  init(_ reason: Reason) { self.reason = reason }

  var message: String {
    switch reason {
    case .name(let name): "'\(name)' is undefined"
    case .member(let type, let name): "'\(name)', which a value of type \(type) does not have"
    case .unsafe(let type, let name): "'\(name)' of \(type), which templates may not use"
    case .hint(let hint): hint
    }
  }

  /// For uses that need a value.
  var fault: Fault { Fault(expected: "a value", found: message) }
}

/// The items of a list or tuple. They never change.
final class List {
  let items: [Value]
  let depth: Int
  /// Whether this is a pair that `groupby` made, whose members have names.
  let isGroup: Bool

  init(_ items: [Value], isGroup: Bool = false) {
    self.items = items
    self.isGroup = isGroup
    depth = items.reduce(0) { max($0, $1.depth) } + 1
  }
}

/// What has a place of its own and is compared by it. Subclasses say what they can do beyond.
class Object {
  var typeName: String { "object" }
  var depth: Int { 1 }
  var isCallable: Bool { false }

  /// The member called `name`; nil when there is none.
  func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? { nil }

  /// The item at `index`; nil when there is none or there are no items at all.
  func item(_ index: Value, _ run: Rendering) throws(Fault) -> Value? { nil }

  func call(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    throw Fault(expected: "something to call", found: "a value of type \(typeName)")
  }

  /// What goes through the items; nil when there are none to go through.
  func iterate(_ run: Rendering) throws(Fault) -> Iteration? { nil }

  /// The same from the last item to the first; nil where Python has no such order.
  func iterateBackward(_ run: Rendering) throws(Fault) -> Iteration? { nil }

  /// The number of items; nil where Python gives none.
  func length(_ run: Rendering) throws(Fault) -> Int? { nil }

  func isEqual(_ other: Object, _ run: Rendering) throws(Fault) -> Bool { self === other }

  /// Whether it can be a key.
  var isHashable: Bool { true }

  /// Whether items have an order and numbers, for the test `sequence`.
  var hasItems: Bool { false }

  func representation(_ run: Rendering, depth: Int) throws(Fault) -> Text { Text("<\(typeName) object>") }
}

/// Gives values one after the other; itself a value that can be gone through once.
class Iteration: Object {
  private let nesting: Int

  init(over source: Value? = nil) { nesting = (source?.depth ?? 0) + 1 }

  override var typeName: String { "generator" }
  override var depth: Int { nesting }

  /// The next value; nil after the last.
  func next(_ run: Rendering) throws(Fault) -> Value? { nil }

  override func iterate(_ run: Rendering) throws(Fault) -> Iteration? { self }

  /// All values that are left.
  final func rest(_ run: Rendering) throws(Fault) -> [Value] {
    var values: [Value] = []
    while let value = try next(run) {
      try run.spend(1)
      values.append(value)
    }
    return values
  }
}
