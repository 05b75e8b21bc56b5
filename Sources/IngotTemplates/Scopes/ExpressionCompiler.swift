extension Compiler {
  func evaluation(_ expression: Expression, _ frame: Frame) throws(Fault) -> any Evaluation {
    let line = expression.line
    let deeper = frame.deeper()
    switch expression.kind {
    case .name(let name): return NameEvaluation(place: try frame.place(name, line), name: name)
    case .constant(let constant): return ConstantEvaluation(constant: constant)
    case .tuple(let items): return ListEvaluation(items: try evaluations(items, deeper), isTuple: true)
    case .list(let items): return ListEvaluation(items: try evaluations(items, deeper), isTuple: false)
    case .dict(let pairs):
      var compiled: [(key: any Evaluation, value: any Evaluation)] = []
      for pair in pairs {
        compiled.append(
          (try evaluation(pair.key, frame.deeper(2)), try evaluation(pair.value, frame.deeper(2))))
      }
      return DictEvaluation(pairs: compiled)
    case .concatenation(let parts):
      return ConcatenationEvaluation(parts: try evaluations(parts, deeper), line: line)
    case .binary(let operation, let left, let right):
      return BinaryEvaluation(
        operation: operation, left: try evaluation(left, deeper), right: try evaluation(right, deeper),
        line: line)
    case .and(let left, let right), .or(let left, let right):
      let isAnd = if case .and = expression.kind { true } else { false }
      return LogicalEvaluation(
        left: try evaluation(left, deeper), right: try evaluation(right, deeper), isAnd: isAnd)
    case .not(let value): return NotEvaluation(operand: try evaluation(value, deeper))
    case .negative(let value):
      return SignEvaluation(operand: try evaluation(value, deeper), isNegative: true, line: line)
    case .positive(let value):
      return SignEvaluation(operand: try evaluation(value, deeper), isNegative: false, line: line)
    case .comparison(let first, let rest):
      var compiled: [(comparison: Comparison, value: any Evaluation)] = []
      for (comparison, value) in rest { compiled.append((comparison, try evaluation(value, deeper))) }
      return ComparisonEvaluation(first: try evaluation(first, deeper), rest: compiled, line: line)
    case .conditional(let test, let then, let otherwise):
      let soft = frame.soft()
      return ConditionalEvaluation(
        test: try evaluation(test, soft), then: try evaluation(then, soft),
        otherwise: try optional(otherwise, soft))
    case .member(let value, let name):
      return MemberEvaluation(object: try evaluation(value, deeper), name: MemberName(name), line: line)
    case .item(let value, let index):
      return ItemEvaluation(
        object: try evaluation(value, deeper), index: try evaluation(index, deeper), line: line)
    case .slice(let value, let start, let stop, let step):
      return SliceEvaluation(
        object: try evaluation(value, deeper), start: try optional(start, deeper),
        stop: try optional(stop, deeper), step: try optional(step, deeper), line: line)
    case .call(let callee, let call):
      let compiled: CallEvaluation.Callee
      if case .member(let object, let name) = callee.kind {
        compiled = .member(try evaluation(object, deeper), MemberName(name))
      } else {
        compiled = .value(try evaluation(callee, deeper))
      }
      return CallEvaluation(
        callee: compiled, arguments: try arguments(call, frame.deeper(2)), line: line,
        nesting: frame.nesting)
    case .filter(let value, let name, let call):
      let filter = Filters.named[name]
      guard filter != nil || frame.isSoft else {
        throw Filters.unknown(name, line: line)
      }
      return FilterEvaluation(
        source: try optional(value, deeper), name: name, filter: filter,
        arguments: try arguments(call, frame.deeper(2)), line: line)
    case .test(let value, let name, let call):
      let test = Tests.named[name]
      guard test != nil || frame.isSoft else {
        throw Fault(expected: "a test that jinja2 has", found: "'\(name)'", line: line)
      }
      return TestEvaluation(
        subject: try evaluation(value, deeper), name: name, test: test,
        arguments: try arguments(call, frame.deeper(2)), line: line)
    case .namespaceMember:
      throw Fault(expected: "an expression", found: "a target of an assignment", line: line)
    }
  }

  private func optional(_ expression: Expression?, _ frame: Frame) throws(Fault) -> (any Evaluation)? {
    guard let expression else { return nil }
    return try evaluation(expression, frame)
  }

  private func evaluations(_ expressions: [Expression], _ frame: Frame) throws(Fault) -> [any Evaluation] {
    var compiled: [any Evaluation] = []
    for expression in expressions { compiled.append(try evaluation(expression, frame)) }
    return compiled
  }

  private func arguments(_ call: CallSyntax, _ frame: Frame) throws(Fault) -> ArgumentsEvaluation {
    var named: [(name: String, value: any Evaluation)] = []
    for (name, value) in call.named { named.append((name, try evaluation(value, frame))) }
    return ArgumentsEvaluation(
      positional: try evaluations(call.positional, frame), named: named, list: try optional(call.list, frame),
      dict: try optional(call.dict, frame))
  }
}

extension StatementSyntax {
  /// The bodies within.
  var bodies: [[StatementSyntax]] {
    switch kind {
    case .data, .print, .assign, .breakLoop, .continueLoop, .otherTemplate: []
    case .loop(let loop): [loop.body, loop.otherwise]
    case .conditional(let branches, let otherwise): branches.map(\.body) + [otherwise]
    case .assignBlock(_, _, let body), .filterBlock(_, let body), .with(_, let body),
      .autoescape(_, let body):
      [body]
    case .macro(let macro), .callBlock(let macro, _), .generation(let macro): [macro.body]
    case .block(let block): [block.body]
    }
  }

  /// Whether a block that sees the variables around it is here or within.
  var hasScopedBlock: Bool {
    if case .block(let block) = kind, block.isScoped { return true }
    return bodies.contains { $0.contains(where: \.hasScopedBlock) }
  }

  /// Whether `loop` is set here or within.
  var setsLoop: Bool {
    let names: [String] =
      switch kind {
      case .loop(let loop): loop.target.names
      case .assign(let target, _), .assignBlock(let target, _, _): target.names
      default: []
      }
    return names.contains("loop") || bodies.contains { $0.contains(where: \.setsLoop) }
  }
}
