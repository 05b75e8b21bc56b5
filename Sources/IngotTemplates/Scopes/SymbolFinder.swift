/// Looks through statements for the names that one scope knows. Scopes within are looked through on their
/// own.
extension Symbols {
  func find(in statements: [StatementSyntax]) {
    for statement in statements { find(in: statement) }
  }

  private func find(in statement: StatementSyntax) {
    switch statement.kind {
    case .data, .breakLoop, .continueLoop, .generation, .autoescape, .block: break
    case .print(let value): find(in: value)
    case .loop(let loop): find(in: loop.source)
    case .conditional(let branches, let otherwise): find(in: branches[...], otherwise)
    case .assign(let target, let value):
      find(in: value)
      store(target)
    case .assignBlock(let target, _, _): store(target)
    case .macro(let macro): store(macro.name!)
    case .callBlock(_, let call): find(in: call)
    case .filterBlock(let filter, _): find(in: filter)
    case .with(let values, _):
      for value in values { find(in: value.value) }
    case .otherTemplate(_, let template, let names):
      find(in: template)
      for name in names { store(name) }
    }
  }

  /// A condition: what follows `elif` is a condition within the first one's branches.
  private func find(
    in branches: ArraySlice<(test: Expression, body: [StatementSyntax])>, _ otherwise: [StatementSyntax]
  ) {
    guard let first = branches.first else { return }
    find(in: first.test)
    let body = branch()
    body.find(in: first.body)
    let rest = branch()
    for branch in branches.dropFirst() { rest.find(in: [branch], []) }
    let last = branch()
    last.find(in: otherwise)
    merge([body, rest, last])
  }

  func store(_ target: Target) {
    switch target {
    case .name(let name): store(name)
    case .namespaceMember(let name, _): load(name)
    case .tuple(let targets):
      for target in targets { store(target) }
    }
  }

  func declareParameters(_ target: Target) {
    for name in target.names { declareParameter(name) }
  }

  func find(in expression: Expression) {
    if case .name(let name) = expression.kind { load(name) }
    for child in expression.children { find(in: child) }
  }
}

/// Which special names statements use without having set them: `loop`, `caller`, `varargs`, `kwargs`.
struct UndeclaredNames {
  private var wanted: Set<String>
  private(set) var found: Set<String> = []

  static func among(_ names: Set<String>, in statements: [StatementSyntax]) -> Set<String> {
    var visitor = UndeclaredNames(wanted: names)
    visitor.visit(statements)
    return visitor.found
  }

  private mutating func visit(_ statements: [StatementSyntax]) {
    for statement in statements { visit(statement) }
  }

  private mutating func visit(_ expression: Expression?) {
    guard let expression else { return }
    if case .name(let name) = expression.kind, wanted.contains(name) { found.insert(name) }
    for child in expression.children { visit(child) }
  }

  private mutating func set(_ names: [String]) { wanted.subtract(names) }

  private mutating func visit(_ macro: MacroSyntax) {
    set(macro.parameters)
    for value in macro.defaults { visit(value) }
    visit(macro.body)
  }

  private mutating func visit(_ statement: StatementSyntax) {
    switch statement.kind {
    case .data, .breakLoop, .continueLoop, .block: break
    case .print(let value): visit(value)
    case .loop(let loop):
      set(loop.target.names)
      visit(loop.source)
      visit(loop.body)
      visit(loop.otherwise)
      visit(loop.test)
    case .conditional(let branches, let otherwise):
      for branch in branches {
        visit(branch.test)
        visit(branch.body)
      }
      visit(otherwise)
    case .assign(let target, let value):
      set(target.names)
      visit(value)
    case .assignBlock(let target, let filter, let body):
      set(target.names)
      visit(filter)
      visit(body)
    case .macro(let macro), .generation(let macro): visit(macro)
    case .callBlock(let macro, let call):
      visit(call)
      visit(macro)
    case .filterBlock(let filter, let body):
      visit(body)
      visit(filter)
    case .with(let values, let body):
      for value in values { set(value.target.names) }
      for value in values { visit(value.value) }
      visit(body)
    case .autoescape(let value, let body):
      visit(value)
      visit(body)
    case .otherTemplate(_, let template, _): visit(template)
    }
  }
}
