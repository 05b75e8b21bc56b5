/// How much a template may use. A template comes with a model, so it is not to be trusted with time or
/// memory.
public struct TemplateLimits: Sendable, Hashable {
  /// Steps of one rendering: a statement, a call, an operation, an item that is gone through, 128 bytes of
  /// text that are looked at or made.
  public var steps = 10_000_000
  /// Bytes of any one text, the result among them.
  public var textBytes = 64 << 20
  /// Items of a `range`, as in jinja2's sandbox.
  public var rangeItems = 100_000
  /// How deep lists and dicts may be nested.
  public var valueDepth = 200
  /// How deep calls of macros and loops may be nested, counted in what takes stack: a call 6, an expression
  /// or statement that it stands in 1 to 3. 1000 fit half a megabyte, the smallest stack of a task anywhere.
  public var callDepth = 1000

  public init() {}
}

/// One rendering: what it was given, what it has used so far.
final class Rendering {
  let limits: TemplateLimits
  let now: TemplateTime?
  /// What the template is rendered with.
  private let variables: [String: Value]
  /// Variables of the template itself that its blocks may see.
  var exported: [String: Value] = [:]
  /// The line of the statement or operation under way.
  var line = 0
  private var steps = 0
  private var depth = 0
  /// What may hold references in a circle, or in a chain too long to be let go of at once; they are cut at
  /// the end.
  private var held: [any Holder] = []

  init(_ variables: [String: Value], now: TemplateTime?, limits: TemplateLimits) {
    self.variables = variables
    self.now = now
    self.limits = limits
  }

  /// The variable called `name`, or what templates find under that name anyway.
  func resolve(_ name: String) -> Value? {
    exported[name] ?? variables[name] ?? GlobalFunction(name).map { .object($0) }
  }

  /// - Throws: when the steps are used up.
  func spend(_ count: Int) throws(Fault) {
    steps += count
    if steps > limits.steps {
      throw Fault(expected: "a template that ends within \(limits.steps) steps", found: "one that goes on")
    }
  }

  /// Counts `bytes` of text that are looked at or made.
  func spend(bytes: Int) throws(Fault) { try spend(bytes >> 7) }

  /// Counts `bytes` of text that take longer, because each character is looked at.
  func spend(slow bytes: Int) throws(Fault) { try spend(bytes >> 3) }

  /// Counts `bytes` that are about to be made or added to a text of `length`.
  func make(bytes: Int, after length: Int = 0) throws(Fault) {
    guard bytes <= limits.textBytes - length else {
      throw Fault(expected: "texts of at most \(limits.textBytes) bytes", found: "a longer one")
    }
    try spend(bytes >> 7)
  }

  /// Counts a text of `count` pieces of `bytes` that is about to be made.
  func make(_ count: Int, of bytes: Int) throws(Fault) {
    let (total, overflow) = max(count, 0).multipliedReportingOverflow(by: bytes)
    try make(bytes: overflow ? .max : total)
  }

  /// The list, counted; an error where it is nested too deep.
  func list(_ items: [Value]) throws(Fault) -> Value {
    try spend(items.count >> 1)
    let list = List(items)
    try check(depth: list.depth)
    return .list(list)
  }

  func tuple(_ items: [Value]) throws(Fault) -> Value {
    try spend(items.count >> 1)
    let list = List(items)
    try check(depth: list.depth)
    return .tuple(list)
  }

  func check(depth: Int) throws(Fault) {
    guard depth <= limits.valueDepth else {
      throw Fault(expected: "values nested \(limits.valueDepth) deep at most", found: "deeper ones")
    }
  }

  /// What a call takes beyond what it stands in.
  static let callNesting = 6

  /// Goes into a call that takes `nesting` parts of the stack with what it stands in.
  func enter(_ nesting: Int) throws(Fault) {
    depth += nesting
    guard depth <= limits.callDepth else {
      depth -= nesting
      throw Fault(expected: "calls nested \(limits.callDepth) deep at most", found: "deeper ones")
    }
  }

  func leave(_ nesting: Int) { depth -= nesting }

  func hold(_ holder: any Holder) {
    guard !holder.isHeld else { return }
    holder.isHeld = true
    held.append(holder)
  }

  /// Cuts what was held.
  func end() {
    for holder in held { holder.clear() }
    exported = [:]
  }
}

/// What refers to values that may change.
protocol Holder: AnyObject {
  var isHeld: Bool { get set }
  func clear()
}
