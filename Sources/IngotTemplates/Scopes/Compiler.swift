/// Makes of what was read what can be run: names become places of variables.
struct Compiler {
  /// The code of a whole template.
  struct Program: Sendable {
    let slots: Int
    let entry: ScopeEntry
    let body: Body
  }

  /// Whether there are blocks, which see variables by their names.
  private let hasBlocks: Bool

  static func program(_ statements: [StatementSyntax]) throws(Fault) -> Program {
    var names: Set<String> = []
    try findBlocks(statements, &names)
    let compiler = Compiler(hasBlocks: !names.isEmpty)
    let function = FunctionLayout(parent: nil)
    var frame = Frame(symbols: Symbols(level: 0, parent: nil, function: function), function: function)
    frame.isTopLevel = true
    frame.symbols.find(in: statements)
    let body = try compiler.body(statements, frame)
    let entry = frame.entry
    return Program(slots: function.count, entry: entry, body: body)
  }

  /// - Throws: when two blocks have one name.
  private static func findBlocks(_ statements: [StatementSyntax], _ names: inout Set<String>) throws(Fault) {
    for statement in statements {
      if case .block(let block) = statement.kind, !names.insert(block.name).inserted {
        throw Fault(
          expected: "blocks with different names", found: "'\(block.name)' twice", line: statement.line)
      }
      for body in statement.bodies { try findBlocks(body, &names) }
    }
  }

  func body(_ statements: [StatementSyntax], _ frame: Frame) throws(Fault) -> Body {
    var executions: [any Execution] = []
    for statement in statements { executions.append(try execution(statement, frame)) }
    return Body(statements: executions)
  }

  private func execution(_ statement: StatementSyntax, _ frame: Frame) throws(Fault) -> any Execution {
    let line = statement.line
    switch statement.kind {
    case .data(let text): return DataExecution(text: text)
    case .print(let value): return PrintExecution(value: try evaluation(value, frame), line: line)
    case .loop(let loop): return try self.loop(loop, frame, line)
    case .conditional(let branches, let otherwise):
      let soft = frame.soft()
      var compiled: [(test: any Evaluation, body: Body)] = []
      for branch in branches {
        compiled.append((try evaluation(branch.test, soft), try body(branch.body, soft)))
      }
      return ConditionalExecution(branches: compiled, otherwise: try body(otherwise, soft), line: line)
    case .assign(let target, let value):
      return AssignExecution(
        target: try assignee(target, frame, line), value: try evaluation(value, frame),
        exports: try exports(target.names, frame, line), line: line)
    case .assignBlock(let target, let filter, let body):
      return try assignBlock(target, filter, body, frame, line)
    case .macro(let macro):
      return MacroExecution(
        code: try code(macro, frame), place: try frame.place(macro.name!, line),
        exports: try exports([macro.name!], frame, line))
    case .callBlock(let macro, let call):
      let code = try code(macro, frame)
      guard let call = try evaluation(call, frame) as? CallEvaluation else {
        preconditionFailure("the parser lets only calls through")
      }
      return CallBlockExecution(code: code, call: call, line: line)
    case .generation(let macro):
      return GenerationExecution(code: try code(macro, frame), nesting: frame.nesting, line: line)
    case .filterBlock(let filter, let body):
      let inner = frame.inner()
      inner.symbols.find(in: body)
      inner.symbols.find(in: filter)
      return FilterBlockExecution(
        entry: inner.entry, body: try self.body(body, inner), filter: try evaluation(filter, inner),
        line: line)
    case .with(let values, let body): return try with(values, body, frame, line)
    case .autoescape(let value, let body):
      let inner = frame.inner()
      inner.symbols.find(in: value)
      inner.symbols.find(in: body)
      return AutoescapeExecution(
        value: try evaluation(value, inner), entry: inner.entry, body: try self.body(body, inner), line: line)
    case .block(let block): return try self.block(block, frame, line)
    case .breakLoop, .continueLoop:
      guard frame.isInLoop else {
        throw Fault(expected: "a loop around break and continue", found: "none", line: line)
      }
      if case .breakLoop = statement.kind { return BreakExecution(flow: .breakLoop) }
      return BreakExecution(flow: .continueLoop)
    case .otherTemplate(let tag, let template, _):
      guard tag != "extends" || frame.isTopLevel else {
        throw Fault(expected: "'extends' outside of other statements", found: "one within", line: line)
      }
      _ = try evaluation(template, frame)
      return OtherTemplateExecution(tag: tag, line: line)
    }
  }

  private func assignee(_ target: Target, _ frame: Frame, _ line: Int) throws(Fault) -> Assignee {
    switch target {
    case .name(let name): return .variable(try frame.place(name, line))
    case .namespaceMember(let name, let member):
      return .namespaceMember(try frame.place(name, line), Text(member))
    case .tuple(let targets):
      var parts: [Assignee] = []
      for target in targets { parts.append(try assignee(target, frame, line)) }
      return .tuple(parts)
    }
  }

  private func exports(_ names: [String], _ frame: Frame, _ line: Int) throws(Fault) -> Exports {
    guard hasBlocks, frame.isTopLevel else { return Exports(names: []) }
    var places: [(name: String, place: Scope.Place)] = []
    for name in names { places.append((name, try frame.place(name, line))) }
    return Exports(names: places)
  }

  private func assignBlock(
    _ target: Target, _ filter: Expression?, _ body: [StatementSyntax], _ frame: Frame, _ line: Int
  ) throws(Fault) -> any Execution {
    let inner = frame.inner()
    inner.symbols.find(in: body)
    let compiled = try self.body(body, inner)
    return AssignBlockExecution(
      target: try assignee(target, frame, line), entry: inner.entry, body: compiled,
      filter: try filter.map { (filter) throws(Fault) in try evaluation(filter, inner) },
      exports: try exports(target.names, frame, line), line: line)
  }

  private func with(
    _ values: [(target: Target, value: Expression)], _ body: [StatementSyntax], _ frame: Frame, _ line: Int
  ) throws(Fault) -> any Execution {
    let inner = frame.inner()
    for value in values { inner.symbols.declareParameters(value.target) }
    inner.symbols.find(in: body)
    var compiled: [(target: Assignee, value: any Evaluation)] = []
    for (target, value) in values {
      compiled.append((try assignee(target, inner, line), try evaluation(value, frame)))
    }
    return WithExecution(entry: inner.entry, values: compiled, body: try self.body(body, inner), line: line)
  }

  private func loop(_ loop: LoopSyntax, _ frame: Frame, _ line: Int) throws(Fault) -> any Execution {
    var inner = loop.isRecursive ? frame.innerFunction() : frame.inner()
    inner.isInLoop = true
    let isExtended =
      loop.isRecursive || !UndeclaredNames.among(["loop"], in: loop.body).isEmpty
      || loop.body.contains(where: \.hasScopedBlock) || loop.otherwise.contains(where: \.hasScopedBlock)
    if isExtended { inner.symbols.declareParameter("loop") }
    inner.symbols.declareParameters(loop.target)
    inner.symbols.find(in: loop.body)
    guard !loop.target.names.contains("loop"), !loop.body.contains(where: \.setsLoop),
      !loop.otherwise.contains(where: \.setsLoop)
    else { throw Fault(expected: "'loop' left alone within a loop", found: "it is set", line: line) }

    var test: LoopTest?
    if let condition = loop.test {
      let function = frame.innerFunction()
      function.symbols.declareParameters(loop.target)
      function.symbols.find(in: condition)
      let compiled = try evaluation(condition, function)
      let target = try assignee(loop.target, function, line)
      let entry = function.entry
      test = LoopTest(slots: function.function.count, entry: entry, target: target, test: compiled)
    }
    let body = try self.body(loop.body, inner)
    var otherwise: (entry: ScopeEntry, body: Body)?
    if !loop.otherwise.isEmpty {
      var last = frame.inner()
      if loop.isRecursive {
        // It is part of the loop's function.
        last.function = inner.function
        last.symbols = Symbols(
          level: frame.symbols.level + 1, parent: frame.symbols, function: inner.function)
        last.nesting = 2
        last.isInLoop = false
      }
      last.symbols.find(in: loop.otherwise)
      let compiled = try self.body(loop.otherwise, last)
      otherwise = (last.entry, compiled)
    }
    let source = try evaluation(loop.source, frame)
    let target = try assignee(loop.target, inner, line)
    let place = isExtended ? try inner.place("loop", line) : nil
    let entry = inner.entry
    return LoopExecution(
      source: source, target: target, test: test, entry: entry, loop: place, body: body, otherwise: otherwise,
      recursiveSlots: loop.isRecursive ? inner.function.count : nil, nesting: frame.nesting, line: line)
  }

  /// The code of a macro, or of the body of a call block.
  private func code(_ macro: MacroSyntax, _ frame: Frame) throws(Fault) -> MacroCode {
    let inner = frame.innerFunction()
    let symbols = inner.symbols
    for name in macro.parameters { symbols.declareParameter(name) }
    for value in macro.defaults { symbols.find(in: value) }
    symbols.find(in: macro.body)
    let special = UndeclaredNames.among(["caller", "kwargs", "varargs"], in: macro.body)
    let firstDefault = macro.parameters.count - macro.defaults.count
    var caller: Scope.Place?
    var keywords: Scope.Place?
    var extras: Scope.Place?
    if special.contains("caller") {
      if let index = macro.parameters.firstIndex(of: "caller") {
        guard index >= firstDefault else {
          throw Fault(expected: "a default for the parameter 'caller'", found: "none", line: macro.line)
        }
      } else {
        symbols.declareParameter("caller")
      }
      caller = try inner.place("caller", macro.line)
    }
    if special.contains("kwargs"), !macro.parameters.contains("kwargs") {
      symbols.declareParameter("kwargs")
      keywords = try inner.place("kwargs", macro.line)
    }
    if special.contains("varargs"), !macro.parameters.contains("varargs") {
      symbols.declareParameter("varargs")
      extras = try inner.place("varargs", macro.line)
    }
    var parameters: [(name: String, place: Scope.Place, otherwise: (any Evaluation)?)] = []
    for (index, name) in macro.parameters.enumerated() {
      var otherwise: (any Evaluation)?
      if index >= firstDefault { otherwise = try evaluation(macro.defaults[index - firstDefault], inner) }
      parameters.append((name, try inner.place(name, macro.line), otherwise))
    }
    let body = try self.body(macro.body, inner)
    let entry = inner.entry
    return MacroCode(
      name: macro.name, parameters: parameters, caller: caller, keywords: keywords, extras: extras,
      slots: inner.function.count, entry: entry, body: body, line: macro.line)
  }

  /// A block is a function that sees nothing of what is around it, but variables by their names.
  private func block(_ block: BlockSyntax, _ frame: Frame, _ line: Int) throws(Fault) -> any Execution {
    let function = FunctionLayout(parent: nil)
    let inner = Frame(symbols: Symbols(level: 0, parent: nil, function: function), function: function)
    inner.symbols.find(in: block.body)
    let body = try self.body(block.body, inner)
    let entry = inner.entry
    var visible: [(name: String, place: Scope.Place)] = []
    if block.isScoped {
      var symbols: Symbols? = frame.symbols
      var names: Set<String> = []
      while let some = symbols {
        names.formUnion(some.stores)
        symbols = some.parent
      }
      for name in names.sorted() { visible.append((name, try frame.place(name, line))) }
    }
    return BlockExecution(
      code: BlockCode(slots: function.count, entry: entry, body: body), visible: Exports(names: visible),
      isRequired: block.isRequired, nesting: frame.nesting, line: line)
  }
}
