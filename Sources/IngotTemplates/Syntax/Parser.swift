/// Reads tokens into statements.
struct Parser {
  /// Statements within statements; Python compiles about as many.
  static let mostStatements = 100
  /// Expressions within expressions in brackets; as many take 300 KB of stack.
  static let mostBrackets = 75
  /// Expressions within expressions by any way.
  static let deepestExpression = 200
  /// Parameters of a macro, or arguments of a call.
  static let mostArguments = 1000
  static let mostBytes = 1 << 20

  private let tokens: [Token]
  private var at = 0
  private var statements = 0
  /// Brackets that are open, and quarters of them for what takes less of the stack.
  var quarters = 0

  init(_ source: String) throws(Fault) {
    guard source.utf8.count <= Parser.mostBytes else {
      throw Fault(expected: "a template of at most \(Parser.mostBytes) bytes", found: "\(source.utf8.count)")
    }
    tokens = try Lexer.tokens(source)
  }

  static func statements(_ source: String) throws(Fault) -> [StatementSyntax] {
    var parser = try Parser(source)
    return try parser.body(until: [])
  }

  // MARK: Tokens

  var current: Token { tokens[at] }
  var next: Token { tokens[min(at + 1, tokens.count - 1)] }
  var line: Int { tokens[at].line }

  @discardableResult mutating func take() -> Token {
    let token = tokens[at]
    if at + 1 < tokens.count { at += 1 }
    return token
  }

  func isName(_ name: String) -> Bool { current.kind == .name(name) }

  func isSymbol(_ symbol: Token.Symbol) -> Bool { current.kind == .symbol(symbol) }

  mutating func skip(_ name: String) -> Bool {
    guard isName(name) else { return false }
    take()
    return true
  }

  mutating func skip(_ symbol: Token.Symbol) -> Bool {
    guard isSymbol(symbol) else { return false }
    take()
    return true
  }

  mutating func expect(_ symbol: Token.Symbol) throws(Fault) {
    guard skip(symbol) else { throw fault("'\(symbol.rawValue)'") }
  }

  mutating func expect(_ name: String) throws(Fault) {
    guard skip(name) else { throw fault("'\(name)'") }
  }

  mutating func expectName() throws(Fault) -> String {
    guard case .name(let name) = current.kind else { throw fault("a name") }
    take()
    return name
  }

  mutating func expect(_ kind: Token.Kind) throws(Fault) {
    guard current.kind == kind else { throw fault(Token(kind: kind, line: 0).description) }
    take()
  }

  func check(arguments count: Int) throws(Fault) {
    guard count <= Parser.mostArguments else {
      throw Fault(expected: "at most \(Parser.mostArguments) arguments", found: "more", line: line)
    }
  }

  func fault(_ expected: String) -> Fault {
    Fault(expected: expected, found: current.description, line: line)
  }

  // MARK: Statements

  /// Statements up to a tag of one of these names, which is not taken; up to the end when there are none.
  private mutating func body(until ends: [String]) throws(Fault) -> [StatementSyntax] {
    statements += 1
    defer { statements -= 1 }
    guard statements <= Parser.mostStatements else {
      throw Fault(
        expected: "statements nested \(Parser.mostStatements) deep at most", found: "deeper ones", line: line)
    }
    var body: [StatementSyntax] = []
    while true {
      let line = line
      switch current.kind {
      case .data(let text):
        take()
        body.append(StatementSyntax(kind: .data(text), line: line))
      case .variableBegin:
        take()
        body.append(StatementSyntax(kind: .print(try tuple()), line: line))
        try expect(.variableEnd)
      case .blockBegin:
        take()
        if case .name(let name) = current.kind, ends.contains(name) { return body }
        for kind in try statement() { body.append(StatementSyntax(kind: kind, line: line)) }
        try expect(.blockEnd)
      case .end:
        guard ends.isEmpty else { throw fault(ends.map { "'{% \($0) %}'" }.joined(separator: " or ")) }
        return body
      default: throw fault("text or a tag")
      }
    }
  }

  /// The body of a statement whose tag ends here.
  private mutating func block(until ends: String...) throws(Fault) -> [StatementSyntax] {
    _ = skip(.colon)
    try expect(.blockEnd)
    return try body(until: ends)
  }

  /// The same with the name of the tag that ends it taken.
  private mutating func block(closedBy end: String) throws(Fault) -> [StatementSyntax] {
    let body = try block(until: end)
    take()
    return body
  }

  private mutating func statement() throws(Fault) -> [StatementSyntax.Kind] {
    let line = line
    let name = try expectName()
    switch name {
    case "for": return [try loop()]
    case "if": return [try conditional()]
    case "set": return [try assignment()]
    case "macro":
      var macro = MacroSyntax(name: try expectName(), body: [], line: line)
      guard !Parser.constants.contains(macro.name!) else { throw Parser.assigned(macro.name!, line) }
      try signature(&macro)
      macro.body = try block(closedBy: "endmacro")
      return [.macro(macro)]
    case "call":
      var macro = MacroSyntax(body: [], line: line)
      if isSymbol(.open) { try signature(&macro) }
      let call = try expression()
      guard case .call = call.kind else {
        throw Fault(expected: "a call behind 'call'", found: "another expression", line: line)
      }
      macro.body = try block(closedBy: "endcall")
      return [.callBlock(macro, call: call)]
    case "generation":
      return [.generation(MacroSyntax(body: try block(closedBy: "endgeneration"), line: line))]
    case "filter":
      let filter = try filters(nil, isInline: true)!
      return [.filterBlock(filter, try block(closedBy: "endfilter"))]
    case "with": return [try with()]
    case "autoescape":
      let value = try expression()
      return [.autoescape(value, try block(closedBy: "endautoescape"))]
    case "block": return [try namedBlock()]
    case "print":
      var values: [StatementSyntax.Kind] = []
      while current.kind != .blockEnd {
        if !values.isEmpty { try expect(.comma) }
        values.append(.print(try expression()))
      }
      return values
    case "break": return [.breakLoop]
    case "continue": return [.continueLoop]
    case "include", "import", "from", "extends": return [try otherTemplate(name)]
    default: throw Fault(expected: "a tag that jinja2 has", found: "'\(name)'", line: line)
    }
  }

  private mutating func loop() throws(Fault) -> StatementSyntax.Kind {
    let target = try target(end: "in")
    try expect("in")
    let source = try tuple(hasConditions: false, end: "recursive")
    let test = skip("if") ? try expression() : nil
    let isRecursive = skip("recursive")
    let body = try block(until: "endfor", "else")
    var otherwise: [StatementSyntax] = []
    if take().kind == .name("else") { otherwise = try block(closedBy: "endfor") }
    return .loop(
      LoopSyntax(
        target: target, source: source, test: test, isRecursive: isRecursive, body: body, otherwise: otherwise
      ))
  }

  private mutating func conditional() throws(Fault) -> StatementSyntax.Kind {
    var branches: [(test: Expression, body: [StatementSyntax])] = []
    while true {
      let test = try tuple(hasConditions: false)
      branches.append((test, try block(until: "elif", "else", "endif")))
      switch take().kind {
      case .name("elif"): continue
      case .name("else"): return .conditional(branches, otherwise: try block(closedBy: "endif"))
      default: return .conditional(branches, otherwise: [])
      }
    }
  }

  private mutating func assignment() throws(Fault) -> StatementSyntax.Kind {
    let target = try target(hasNamespaces: true)
    if skip(.assign) { return .assign(target, try tuple()) }
    let filter = try filters(nil)
    return .assignBlock(target, filter: filter, try block(closedBy: "endset"))
  }

  private mutating func with() throws(Fault) -> StatementSyntax.Kind {
    var values: [(target: Target, value: Expression)] = []
    while current.kind != .blockEnd {
      if !values.isEmpty { try expect(.comma) }
      let target = try target()
      try expect(.assign)
      values.append((target, try expression()))
    }
    return .with(values, try block(closedBy: "endwith"))
  }

  private mutating func namedBlock() throws(Fault) -> StatementSyntax.Kind {
    let line = line
    let name = try expectName()
    let isScoped = skip("scoped")
    let isRequired = skip("required")
    let body = try block(closedBy: "endblock")
    _ = skip(name)
    if isRequired {
      let isBlank = body.allSatisfy { statement in
        if case .data(let text) = statement.kind { text.isAll(\.isPythonSpace) } else { false }
      }
      guard isBlank else {
        throw Fault(expected: "a required block without content", found: "content", line: line)
      }
    }
    return .block(BlockSyntax(name: name, isScoped: isScoped, isRequired: isRequired, body: body))
  }

  private mutating func signature(_ macro: inout MacroSyntax) throws(Fault) {
    try expect(.open)
    while !isSymbol(.close) {
      if !macro.parameters.isEmpty { try expect(.comma) }
      let line = line
      let name = try expectName()
      guard !Parser.constants.contains(name) else { throw Parser.assigned(name, line) }
      guard !macro.parameters.contains(name) else {
        throw Fault(expected: "parameters with different names", found: "'\(name)' twice", line: line)
      }
      macro.parameters.append(name)
      try check(arguments: macro.parameters.count)
      if skip(.assign) {
        macro.defaults.append(try expression())
      } else if !macro.defaults.isEmpty {
        throw Fault(
          expected: "defaults for all parameters behind one that has one", found: "none for '\(name)'",
          line: line)
      }
    }
    try expect(.close)
  }

  private mutating func otherTemplate(_ tag: String) throws(Fault) -> StatementSyntax.Kind {
    let template = try expression()
    var names: [String] = []
    if tag == "include", isName("ignore"), next.kind == .name("missing") {
      take()
      take()
    }
    if tag == "import" {
      try expect("as")
      names.append(try expectName())
    }
    if tag == "from" {
      try expect("import")
      repeat {
        if isName("with") || isName("without"), next.kind == .name("context") { break }
        var name = try expectName()
        if skip("as") { name = try expectName() }
        names.append(name)
      } while skip(.comma)
    }
    if tag != "extends", isName("with") || isName("without"), next.kind == .name("context") {
      take()
      take()
    }
    return .otherTemplate(tag, template, names: names)
  }

  // MARK: Targets

  static let constants: Set<String> = ["true", "false", "none", "True", "False", "None"]

  static func assigned(_ name: String, _ line: Int) -> Fault {
    Fault(expected: "a name that can be set", found: "'\(name)'", line: line)
  }

  /// A name, or names in commas.
  /// - Parameter end: the name of the keyword behind.
  private mutating func target(end: String? = nil, hasNamespaces: Bool = false) throws(Fault) -> Target {
    let line = line
    return try Parser.target(
      try tuple(isSimple: true, end: end, hasNamespaces: hasNamespaces), line)
  }

  private static func target(_ expression: Expression, _ line: Int) throws(Fault) -> Target {
    switch expression.kind {
    case .name(let name): return .name(name)
    case .namespaceMember(let name, let member): return .namespaceMember(name, member)
    case .tuple(let items):
      var targets: [Target] = []
      for item in items { targets.append(try target(item, line)) }
      return .tuple(targets)
    default: throw Fault(expected: "a name to set", found: "an expression", line: line)
    }
  }
}
