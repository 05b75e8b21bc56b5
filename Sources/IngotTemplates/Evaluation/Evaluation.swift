/// An expression, ready to be evaluated.
protocol Evaluation: Sendable {
  func value(in scope: Scope) throws(Fault) -> Value
}

/// A statement, ready to be run.
protocol Execution: Sendable {
  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow
}

/// How it goes on behind a statement.
enum Flow { case next, breakLoop, continueLoop }

/// What a template, a macro or a block has written so far.
struct Output {
  private(set) var text = Text()

  mutating func append(_ more: Text, _ run: Rendering) throws(Fault) {
    try run.make(bytes: more.bytes.count, after: text.bytes.count)
    text.append(more)
  }
}

/// Statements in a row.
struct Body: Sendable {
  let statements: [any Execution]

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    for statement in statements {
      let flow = try statement.run(in: scope, &out)
      if flow != .next { return flow }
    }
    return .next
  }
}

/// What happens to variables where a scope begins and ends.
struct ScopeEntry: Sendable {
  enum Load: Sendable {
    case resolve(String)
    case copy(Scope.Place)
    case undefined
  }
  let loads: [(place: Scope.Place, load: Load)]
  /// Variables that are gone behind the scope.
  let places: [Scope.Place]

  func enter(_ scope: Scope) throws(Fault) {
    try scope.run.spend(loads.count >> 1)
    for (place, load) in loads {
      switch load {
      case .resolve(let name): scope[place] = scope.run.resolve(name)
      case .copy(let other): scope[place] = scope[other]
      case .undefined: scope[place] = nil
      }
    }
  }

  func leave(_ scope: Scope) {
    for place in places { scope[place] = nil }
  }
}

/// What an assignment sets, with places for names.
indirect enum Assignee: Sendable {
  case variable(Scope.Place)
  case namespaceMember(Scope.Place, Text)
  case tuple([Assignee])

  func set(_ value: Value, in scope: Scope) throws(Fault) {
    switch self {
    case .variable(let place): scope[place] = value
    case .namespaceMember(let place, let name): try Assignee.namespace(place, in: scope).set(name, value)
    case .tuple(let parts):
      let items: [Value]
      switch value {
      case .list(let list), .tuple(let list): items = list.items
      default: items = try value.items(scope.run)
      }
      try scope.run.spend(parts.count >> 2)
      guard items.count == parts.count else {
        throw Fault(expected: "\(parts.count) values for as many names", found: "\(items.count)")
      }
      for (part, item) in zip(parts, items) { try part.set(item, in: scope) }
    }
  }

  private static func namespace(_ place: Scope.Place, in scope: Scope) throws(Fault) -> Namespace {
    guard case .object(let object as Namespace) = scope[place] else {
      throw Fault(expected: "a namespace whose member is set", found: "another value")
    }
    return object
  }

  /// - Throws: when a member would be set of what is no namespace.
  func check(in scope: Scope) throws(Fault) {
    switch self {
    case .variable: break
    case .namespaceMember(let place, _): _ = try Assignee.namespace(place, in: scope)
    case .tuple(let parts):
      for part in parts { try part.check(in: scope) }
    }
  }

  /// The values that were set, as the test of a loop hands them on.
  func value(in scope: Scope) -> Value {
    switch self {
    case .variable(let place), .namespaceMember(let place, _): scope[place] ?? .null
    case .tuple(let parts): .tuple(List(parts.map { $0.value(in: scope) }))
    }
  }
}
