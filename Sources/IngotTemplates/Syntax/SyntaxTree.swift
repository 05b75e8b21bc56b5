/// An expression as it was read, names not yet resolved.
final class Expression {
  indirect enum Kind {
    case name(String)
    case constant(Constant)
    case tuple([Expression])
    case list([Expression])
    case dict([(key: Expression, value: Expression)])
    case concatenation([Expression])
    case binary(BinaryOperator, Expression, Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
    case not(Expression)
    case negative(Expression)
    case positive(Expression)
    case comparison(Expression, [(comparison: Comparison, value: Expression)])
    case conditional(test: Expression, then: Expression, otherwise: Expression?)
    case member(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
    case call(Expression, CallSyntax)
    /// Without a value it is applied to what a block has written.
    case filter(Expression?, String, CallSyntax)
    case test(Expression, String, CallSyntax)
    /// `a.b` as a target of an assignment.
    case namespaceMember(String, String)
  }
  let kind: Kind
  let line: Int
  /// How many expressions are nested here.
  let depth: Int

  init(_ kind: Kind, line: Int) {
    self.kind = kind
    self.line = line
    depth = Expression.children(kind).reduce(0) { max($0, $1.depth) } + 1
  }

  var children: [Expression] { Expression.children(kind) }

  private static func children(_ kind: Kind) -> [Expression] {
    switch kind {
    case .name, .constant, .namespaceMember: []
    case .tuple(let items), .list(let items), .concatenation(let items): items
    case .dict(let pairs): pairs.flatMap { [$0.key, $0.value] }
    case .binary(_, let left, let right), .and(let left, let right), .or(let left, let right): [left, right]
    case .not(let value), .negative(let value), .positive(let value): [value]
    case .comparison(let first, let rest): [first] + rest.map(\.value)
    case .conditional(let test, let then, let otherwise): [test, then] + (otherwise.map { [$0] } ?? [])
    case .member(let value, _): [value]
    case .item(let value, let index): [value, index]
    case .slice(let value, let start, let stop, let step): [value] + [start, stop, step].compactMap { $0 }
    case .call(let callee, let call): [callee] + call.expressions
    case .filter(let value, _, let call): (value.map { [$0] } ?? []) + call.expressions
    case .test(let value, _, let call): [value] + call.expressions
    }
  }
}

/// The arguments of a call.
struct CallSyntax {
  var positional: [Expression] = []
  var named: [(name: String, value: Expression)] = []
  /// `*list`
  var list: Expression?
  /// `**dict`
  var dict: Expression?

  var expressions: [Expression] {
    positional + named.map(\.value) + (list.map { [$0] } ?? []) + (dict.map { [$0] } ?? [])
  }
}

/// A value that stands in the template.
enum Constant: Sendable {
  case null
  case bool(Bool)
  case integer(BigInt)
  case float(Double)
  case text(Text)

  var value: Value {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .float(let value): .float(value)
    case .text(let text): .text(text)
    }
  }
}

/// Operators that compare.
enum Comparison: String, Sendable {
  case equal = "=="
  case unequal = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case contained = "in"
  case notContained = "not in"
}

/// What an assignment sets.
indirect enum Target {
  case name(String)
  case namespaceMember(String, String)
  case tuple([Target])

  /// Names that are set, in order.
  var names: [String] {
    switch self {
    case .name(let name): [name]
    case .namespaceMember: []
    case .tuple(let targets): targets.flatMap(\.names)
    }
  }

  /// Namespaces of which members are set.
  var namespaces: [String] {
    switch self {
    case .name: []
    case .namespaceMember(let name, _): [name]
    case .tuple(let targets): targets.flatMap(\.namespaces)
    }
  }
}

/// A statement as it was read.
struct StatementSyntax {
  indirect enum Kind {
    case data(Text)
    case print(Expression)
    case loop(LoopSyntax)
    /// Tests with what follows them, and what follows if none holds.
    case conditional([(test: Expression, body: [StatementSyntax])], otherwise: [StatementSyntax])
    case assign(Target, Expression)
    case assignBlock(Target, filter: Expression?, [StatementSyntax])
    case macro(MacroSyntax)
    case callBlock(MacroSyntax, call: Expression)
    /// `{% generation %}`: what the model writes. Its body has variables of its own.
    case generation(MacroSyntax)
    case filterBlock(Expression, [StatementSyntax])
    case with([(target: Target, value: Expression)], [StatementSyntax])
    case autoescape(Expression, [StatementSyntax])
    case block(BlockSyntax)
    case breakLoop
    case continueLoop
    /// `include`, `import`, `extends`: other templates, of which there are none. Names that it would set.
    case otherTemplate(String, Expression, names: [String])
  }
  let kind: Kind
  let line: Int
}

struct LoopSyntax {
  var target: Target
  var source: Expression
  var test: Expression?
  var isRecursive: Bool
  var body: [StatementSyntax]
  var otherwise: [StatementSyntax]
}

/// A macro, or the body of a call block, which has no name.
struct MacroSyntax {
  var name: String?
  var parameters: [String] = []
  /// Of the last parameters.
  var defaults: [Expression] = []
  var body: [StatementSyntax]
  var line: Int
}

struct BlockSyntax {
  var name: String
  var isScoped: Bool
  var isRequired: Bool
  var body: [StatementSyntax]
}
