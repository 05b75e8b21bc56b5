/// The arguments of a call, ready to be evaluated.
struct ArgumentsEvaluation: Sendable {
  let positional: [any Evaluation]
  let named: [(name: String, value: any Evaluation)]
  let list: (any Evaluation)?
  let dict: (any Evaluation)?

  func arguments(in scope: Scope) throws(Fault) -> Arguments {
    try scope.run.spend((positional.count + named.count) >> 2)
    var arguments = Arguments()
    for value in positional { arguments.positional.append(try value.value(in: scope)) }
    for (name, value) in named { arguments.named.append((name, try value.value(in: scope))) }
    if let list { arguments.positional += try list.value(in: scope).items(scope.run) }
    if let dict {
      let value = try dict.value(in: scope)
      guard case .dict(let dict) = value else {
        throw Fault(expected: "a dict behind '**'", found: "a value of type \(value.typeName)")
      }
      guard dict.count <= Parser.mostArguments else {
        throw Fault(expected: "at most \(Parser.mostArguments) arguments", found: "\(dict.count)")
      }
      for (key, value) in zip(dict.keys, dict.values) {
        let name = try key.asText("a name behind '**'").string
        guard arguments.named(name) == nil else {
          throw Fault(expected: "an argument once", found: "'\(name)' twice")
        }
        arguments.named.append((name, value))
      }
    }
    return arguments
  }
}

struct CallEvaluation: Evaluation {
  enum Callee: Sendable {
    case value(any Evaluation)
    /// A method, which is called without being made a value of before.
    case member(any Evaluation, MemberName)
  }
  let callee: Callee
  let arguments: ArgumentsEvaluation
  let line: Int
  /// Parts of the stack that are taken by what this stands in.
  let nesting: Int

  func value(in scope: Scope) throws(Fault) -> Value { try value(in: scope, caller: nil) }

  func value(in scope: Scope, caller: Value?) throws(Fault) -> Value {
    let run = scope.run
    switch callee {
    case .value(let callee): return try call(try callee.value(in: scope), in: scope, caller: caller)
    case .member(let object, let name):
      let receiver = try object.value(in: scope)
      switch receiver {
      case .text(let text):
        guard caller == nil, let method = name.textMethod else {
          break
        }
        let arguments = try arguments.arguments(in: scope)
        run.line = line
        return try text.call(method, arguments, run)
      case .dict(let dict):
        guard caller == nil, let method = name.dictMethod, !method.isChange else { break }
        let arguments = try arguments.arguments(in: scope)
        run.line = line
        return try dict.call(method, arguments, run)
      default: break
      }
      run.line = line
      return try call(try receiver.member(name, run), in: scope, caller: caller)
    }
  }

  private func call(_ callee: Value, in scope: Scope, caller: Value?) throws(Fault) -> Value {
    let run = scope.run
    var arguments = try arguments.arguments(in: scope)
    if let caller {
      guard arguments.named("caller") == nil else {
        throw Fault(expected: "one caller", found: "two", line: line)
      }
      arguments.named.append(("caller", caller))
    }
    run.line = line
    try run.spend(1)
    switch callee {
    case .undefined(let undefined): throw undefined.fault
    case .object(let object):
      try run.enter(nesting + Rendering.callNesting)
      let value = try object.call(arguments, run)
      try run.check(depth: value.depth)
      run.leave(nesting + Rendering.callNesting)
      run.line = line
      return value
    default: throw Fault(expected: "something to call", found: "a value of type \(callee.typeName)")
    }
  }
}

struct FilterEvaluation: Evaluation {
  /// Without one, what a block has written.
  let source: (any Evaluation)?
  let name: String
  /// Nil where it is an error only if it is used.
  let filter: Filter?
  let arguments: ArgumentsEvaluation
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    let value: Value
    if let source { value = try source.value(in: scope) } else { value = .text(scope.captured) }
    let arguments = try arguments.arguments(in: scope)
    scope.run.line = line
    try scope.run.spend(1)
    guard let filter else { throw Filters.unknown(name) }
    let result = try filter(value, arguments, scope.run)
    try scope.run.check(depth: result.depth)
    return result
  }
}

struct TestEvaluation: Evaluation {
  let subject: any Evaluation
  let name: String
  /// Nil where it is an error only if it is used.
  let test: Test?
  let arguments: ArgumentsEvaluation
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    let value = try subject.value(in: scope)
    let arguments = try arguments.arguments(in: scope)
    scope.run.line = line
    try scope.run.spend(1)
    guard let test else { throw Fault(expected: "a test that jinja2 has", found: "'\(name)'") }
    return try test(value, arguments, scope.run)
  }
}
