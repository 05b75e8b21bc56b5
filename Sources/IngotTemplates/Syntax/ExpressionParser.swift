/// Expressions, from those that bind least to those that bind most.
extension Parser {
  private func made(_ kind: Expression.Kind, _ line: Int) throws(Fault) -> Expression {
    let expression = Expression(kind, line: line)
    guard expression.depth <= Parser.deepestExpression else {
      throw Fault(
        expected: "expressions nested \(Parser.deepestExpression) deep at most", found: "deeper ones",
        line: line)
    }
    return expression
  }

  /// Goes a level of brackets deeper, or a quarter of one.
  private mutating func nested<Result>(
    quarters: Int = 4, _ body: (inout Parser) throws(Fault) -> Result
  ) throws(Fault) -> Result {
    self.quarters += quarters
    defer { self.quarters -= quarters }
    guard self.quarters <= 4 * Parser.mostBrackets else {
      throw Fault(
        expected: "brackets nested \(Parser.mostBrackets) deep at most", found: "deeper ones", line: line)
    }
    return try body(&self)
  }

  /// One expression, or several in commas, which are a tuple.
  ///
  /// - Parameters:
  ///   - isSimple: only names and literals, for targets.
  ///   - hasConditions: whether `a if b else c` may stand here.
  ///   - end: a name that ends the tuple.
  ///   - isBracketed: whether it may be empty.
  mutating func tuple(
    isSimple: Bool = false, hasConditions: Bool = true, end: String? = nil, isBracketed: Bool = false,
    hasNamespaces: Bool = false
  ) throws(Fault) -> Expression {
    var line = line
    var items: [Expression] = []
    var isTuple = false
    while true {
      if !items.isEmpty { try expect(.comma) }
      if isTupleEnd(end) { break }
      items.append(
        isSimple ? try primary(hasNamespaces: hasNamespaces) : try expression(hasConditions: hasConditions))
      guard isSymbol(.comma) else { break }
      isTuple = true
      line = self.line
    }
    if !isTuple {
      if let item = items.first { return item }
      guard isBracketed else { throw fault("an expression") }
    }
    return try made(.tuple(items), line)
  }

  private func isTupleEnd(_ end: String?) -> Bool {
    switch current.kind {
    case .variableEnd, .blockEnd, .symbol(.close): true
    case .name(let name): name == end
    default: false
    }
  }

  mutating func expression(hasConditions: Bool = true) throws(Fault) -> Expression {
    guard hasConditions else { return try or() }
    var line = line
    var value = try or()
    while skip("if") {
      let test = try or()
      let otherwise =
        skip("else") ? try nested(quarters: 1) { (parser) throws(Fault) in try parser.expression() } : nil
      value = try made(.conditional(test: test, then: value, otherwise: otherwise), line)
      line = self.line
    }
    return value
  }

  private mutating func or() throws(Fault) -> Expression {
    var value = try and()
    while isName("or") {
      let line = take().line
      value = try made(.or(value, try and()), line)
    }
    return value
  }

  private mutating func and() throws(Fault) -> Expression {
    var value = try not()
    while isName("and") {
      let line = take().line
      value = try made(.and(value, try not()), line)
    }
    return value
  }

  private mutating func not() throws(Fault) -> Expression {
    guard isName("not") else { return try comparison() }
    let line = take().line
    return try made(.not(try nested(quarters: 1) { (parser) throws(Fault) in try parser.not() }), line)
  }

  private mutating func comparison() throws(Fault) -> Expression {
    let line = line
    let first = try sum()
    var rest: [(comparison: Comparison, value: Expression)] = []
    while let comparison = nextComparison() {
      take()
      if comparison == .notContained { take() }
      rest.append((comparison, try sum()))
    }
    return rest.isEmpty ? first : try made(.comparison(first, rest), line)
  }

  private func nextComparison() -> Comparison? {
    switch current.kind {
    case .symbol(let symbol): Comparison(rawValue: symbol.rawValue)
    case .name("in"): .contained
    case .name("not"): next.kind == .name("in") ? .notContained : nil
    default: nil
    }
  }

  /// Operators of one rank, from the left.
  private mutating func chain(
    _ symbols: Set<Token.Symbol>, _ operand: (inout Parser) throws(Fault) -> Expression
  ) throws(Fault) -> Expression {
    var value = try operand(&self)
    while case .symbol(let symbol) = current.kind, symbols.contains(symbol) {
      let line = take().line
      value = try made(
        .binary(BinaryOperator(rawValue: symbol.rawValue)!, value, try operand(&self)), line)
    }
    return value
  }

  private static let sums: Set<Token.Symbol> = [.add, .subtract]
  private static let products: Set<Token.Symbol> = [.multiply, .divide, .divideDown, .remainder]

  private mutating func sum() throws(Fault) -> Expression {
    try chain(Parser.sums) { (parser) throws(Fault) in try parser.concatenation() }
  }

  private mutating func concatenation() throws(Fault) -> Expression {
    let line = line
    var parts = [try product()]
    while skip(.concatenate) { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : try made(.concatenation(parts), line)
  }

  private mutating func product() throws(Fault) -> Expression {
    try chain(Parser.products) { (parser) throws(Fault) in try parser.power() }
  }

  /// From the left too, unlike in Python.
  private mutating func power() throws(Fault) -> Expression {
    try chain([.power]) { (parser) throws(Fault) in try parser.unary() }
  }

  private mutating func unary(hasFilters: Bool = true) throws(Fault) -> Expression {
    let line = line
    var value: Expression
    if isSymbol(.subtract) || isSymbol(.add) {
      let isNegative = isSymbol(.subtract)
      take()
      let operand = try nested(quarters: 1) { (parser) throws(Fault) in try parser.unary(hasFilters: false) }
      value = try made(isNegative ? .negative(operand) : .positive(operand), line)
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return hasFilters ? try filtersAndTests(value) : value
  }

  /// A name, a literal, or an expression in brackets.
  private mutating func primary(hasNamespaces: Bool = false) throws(Fault) -> Expression {
    let line = line
    switch current.kind {
    case .name(let name):
      take()
      switch name {
      case "true", "True": return try made(.constant(.bool(true)), line)
      case "false", "False": return try made(.constant(.bool(false)), line)
      case "none", "None": return try made(.constant(.null), line)
      default: break
      }
      if hasNamespaces && skip(.dot) { return try made(.namespaceMember(name, try expectName()), line) }
      return try made(.name(name), line)
    case .text(var text):
      take()
      while case .text(let more) = current.kind {
        text.append(more)
        take()
      }
      return try made(.constant(.text(text)), line)
    case .integer(let value):
      take()
      return try made(.constant(.integer(value)), line)
    case .float(let value):
      take()
      return try made(.constant(.float(value)), line)
    case .symbol(.open):
      take()
      let value = try nested { (parser) throws(Fault) in try parser.tuple(isBracketed: true) }
      try expect(.close)
      return value
    case .symbol(.openBracket): return try list()
    case .symbol(.openBrace): return try dict()
    default: throw fault("an expression")
    }
  }

  private mutating func list() throws(Fault) -> Expression {
    let line = take().line
    var items: [Expression] = []
    while !isSymbol(.closeBracket) {
      if !items.isEmpty { try expect(.comma) }
      if isSymbol(.closeBracket) { break }
      items.append(try nested { (parser) throws(Fault) in try parser.expression() })
    }
    try expect(.closeBracket)
    return try made(.list(items), line)
  }

  private mutating func dict() throws(Fault) -> Expression {
    let line = take().line
    var pairs: [(key: Expression, value: Expression)] = []
    while !isSymbol(.closeBrace) {
      if !pairs.isEmpty { try expect(.comma) }
      if isSymbol(.closeBrace) { break }
      let key = try nested { (parser) throws(Fault) in try parser.expression() }
      try expect(.colon)
      pairs.append((key, try nested { (parser) throws(Fault) in try parser.expression() }))
    }
    try expect(.closeBrace)
    return try made(.dict(pairs), line)
  }

  /// Members, items and calls behind a value.
  private mutating func postfix(_ value: Expression) throws(Fault) -> Expression {
    var value = value
    while true {
      let line = line
      switch current.kind {
      case .symbol(.dot):
        take()
        switch take().kind {
        case .name(let name): value = try made(.member(value, name), line)
        case .integer(let number):
          value = try made(.item(value, try made(.constant(.integer(number)), line)), line)
        default: throw Fault(expected: "a name or a number behind '.'", found: "another", line: line)
        }
      case .symbol(.openBracket): value = try subscripted(value)
      case .symbol(.open): value = try made(.call(value, try arguments()), line)
      default: return value
      }
    }
  }

  private mutating func subscripted(_ value: Expression) throws(Fault) -> Expression {
    let line = take().line
    var indices: [Expression] = []
    while !isSymbol(.closeBracket) {
      if !indices.isEmpty { try expect(.comma) }
      var bounds: [Expression?] = []
      while bounds.count < 3 {
        let isOpen = isSymbol(.colon) || isSymbol(.closeBracket) || isSymbol(.comma)
        if isOpen && bounds.isEmpty && !isSymbol(.colon) { throw fault("an index") }
        bounds.append(isOpen ? nil : try nested { (parser) throws(Fault) in try parser.expression() })
        guard isSymbol(.colon), bounds.count < 3 else { break }
        take()
        if bounds.count == 1 && (isSymbol(.closeBracket) || isSymbol(.comma)) { bounds.append(nil) }
        if bounds.count == 2 && (isSymbol(.closeBracket) || isSymbol(.comma)) { bounds.append(nil) }
      }
      if bounds.count > 1 {
        guard indices.isEmpty, isSymbol(.closeBracket) else {
          throw Fault(expected: "one slice in brackets", found: "more", line: line)
        }
        take()
        let step = bounds.count > 2 ? bounds[2] : nil
        return try made(.slice(value, start: bounds[0], stop: bounds[1], step: step), line)
      }
      indices.append(bounds[0]!)
    }
    try expect(.closeBracket)
    let index = indices.count == 1 ? indices[0] : try made(.tuple(indices), line)
    return try made(.item(value, index), line)
  }

  private mutating func arguments() throws(Fault) -> CallSyntax {
    let line = line
    try expect(.open)
    var call = CallSyntax()
    var isFirst = true
    func wrong(_ found: String) -> Fault {
      Fault(expected: "arguments by place before those by name", found: found, line: line)
    }
    while !isSymbol(.close) {
      if !isFirst {
        try expect(.comma)
        if isSymbol(.close) { break }
      }
      isFirst = false
      try check(arguments: call.positional.count + call.named.count)
      if isSymbol(.multiply) {
        guard call.list == nil, call.dict == nil else { throw wrong("a second '*'") }
        take()
        call.list = try nested { (parser) throws(Fault) in try parser.expression() }
      } else if isSymbol(.power) {
        guard call.dict == nil else { throw wrong("a second '**'") }
        take()
        call.dict = try nested { (parser) throws(Fault) in try parser.expression() }
      } else if case .name(let name) = current.kind, next.kind == .symbol(.assign) {
        guard call.dict == nil else { throw wrong("'\(name)=' behind '**'") }
        guard !call.named.contains(where: { $0.name == name }) else { throw wrong("'\(name)=' twice") }
        take()
        take()
        call.named.append((name, try nested { (parser) throws(Fault) in try parser.expression() }))
      } else {
        guard call.list == nil, call.dict == nil, call.named.isEmpty else { throw wrong("one behind") }
        call.positional.append(try nested { (parser) throws(Fault) in try parser.expression() })
      }
    }
    try expect(.close)
    return call
  }

  private mutating func filtersAndTests(_ value: Expression) throws(Fault) -> Expression {
    var value = value
    while true {
      switch current.kind {
      case .symbol(.pipe): value = try filters(value)!
      case .name("is"): value = try test(value)
      case .symbol(.open):
        let line = line
        value = try made(.call(value, try arguments()), line)
      default: return value
      }
    }
  }

  /// Filters behind `value`; nil when there is neither.
  /// - Parameter isInline: whether the name of the first stands here without `|`.
  mutating func filters(_ value: Expression?, isInline: Bool = false) throws(Fault) -> Expression? {
    var value = value
    var isInline = isInline
    while isInline || isSymbol(.pipe) {
      if !isInline { take() }
      isInline = false
      let line = line
      var name = try expectName()
      while skip(.dot) { name += "." + (try expectName()) }
      let call = isSymbol(.open) ? try arguments() : CallSyntax()
      value = try made(.filter(value, name, call), line)
    }
    return value
  }

  private mutating func test(_ value: Expression) throws(Fault) -> Expression {
    let line = take().line
    let isNegated = skip("not")
    var name = try expectName()
    while skip(.dot) { name += "." + (try expectName()) }
    var call = CallSyntax()
    if isSymbol(.open) {
      call = try arguments()
    } else if beginsArgument {
      guard !isName("is") else { throw fault("one test") }
      call.positional = [try nested { (parser) throws(Fault) in try parser.postfix(try parser.primary()) }]
    }
    let test = try made(.test(value, name, call), line)
    return isNegated ? try made(.not(test), line) : test
  }

  /// Whether an argument of a test stands here without brackets.
  private var beginsArgument: Bool {
    switch current.kind {
    case .name(let name): name != "else" && name != "or" && name != "and"
    case .text, .integer, .float, .symbol(.openBracket), .symbol(.openBrace): true
    default: false
    }
  }
}
