struct DataExecution: Execution {
  let text: Text

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    try scope.run.spend(1)
    try out.append(text, scope.run)
    return .next
  }
}

struct PrintExecution: Execution {
  let value: any Evaluation
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    scope.run.line = line
    try scope.run.spend(1)
    let value = try value.value(in: scope)
    if case .text(let text) = value {
      try out.append(text, scope.run)
    } else {
      try out.append(try value.printed(scope.run), scope.run)
    }
    return .next
  }
}

struct ConditionalExecution: Execution {
  let branches: [(test: any Evaluation, body: Body)]
  let otherwise: Body
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    for branch in branches {
      scope.run.line = line
      try scope.run.spend(1)
      if try branch.test.value(in: scope).isTrue(scope.run) { return try branch.body.run(in: scope, &out) }
    }
    return try otherwise.run(in: scope, &out)
  }
}

/// Variables that blocks find by their names.
struct Exports: Sendable {
  let names: [(name: String, place: Scope.Place)]

  func export(_ scope: Scope) {
    for (name, place) in names { scope.run.exported[name] = scope[place] }
  }
}

struct AssignExecution: Execution {
  let target: Assignee
  let value: any Evaluation
  let exports: Exports
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    scope.run.line = line
    try scope.run.spend(1)
    try target.check(in: scope)
    try target.set(try value.value(in: scope), in: scope)
    exports.export(scope)
    return .next
  }
}

struct AssignBlockExecution: Execution {
  let target: Assignee
  let entry: ScopeEntry
  let body: Body
  let filter: (any Evaluation)?
  let exports: Exports
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    try scope.run.spend(1)
    try entry.enter(scope)
    var inner = Output()
    let flow = try body.run(in: scope, &inner)
    if flow != .next { return flow }
    scope.run.line = line
    var value = Value.text(inner.text)
    if let filter {
      scope.captured = inner.text
      value = try filter.value(in: scope)
    }
    try target.set(value, in: scope)
    exports.export(scope)
    entry.leave(scope)
    return .next
  }
}

/// `{% filter upper %}`
struct FilterBlockExecution: Execution {
  let entry: ScopeEntry
  let body: Body
  let filter: any Evaluation
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    try scope.run.spend(1)
    try entry.enter(scope)
    var inner = Output()
    let flow = try body.run(in: scope, &inner)
    if flow != .next { return flow }
    scope.run.line = line
    scope.captured = inner.text
    try out.append(try filter.value(in: scope).asText("the result of a filter block"), scope.run)
    entry.leave(scope)
    return .next
  }
}

/// `{% with %}`, and other statements whose body is a scope.
struct WithExecution: Execution {
  let entry: ScopeEntry
  let values: [(target: Assignee, value: any Evaluation)]
  let body: Body
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    scope.run.line = line
    try scope.run.spend(1)
    try entry.enter(scope)
    for (target, value) in values { try target.set(try value.value(in: scope), in: scope) }
    let flow = try body.run(in: scope, &out)
    if flow == .next { entry.leave(scope) }
    return flow
  }
}

/// `{% autoescape %}`, which may only say that nothing is escaped.
struct AutoescapeExecution: Execution {
  let value: any Evaluation
  let entry: ScopeEntry
  let body: Body
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    scope.run.line = line
    try scope.run.spend(1)
    try entry.enter(scope)
    guard try !value.value(in: scope).isTrue(scope.run) else {
      throw Fault(expected: "output that is not escaped", found: "autoescape that is switched on")
    }
    let flow = try body.run(in: scope, &out)
    if flow == .next { entry.leave(scope) }
    return flow
  }
}

struct BreakExecution: Execution {
  let flow: Flow

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow { flow }
}

/// `{% block %}`: its body sees what the template has set at its outermost level.
struct BlockExecution: Execution {
  let code: BlockCode
  /// Variables that a scoped block sees besides.
  let visible: Exports
  let isRequired: Bool
  let nesting: Int
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    let run = scope.run
    run.line = line
    try run.spend(1)
    guard !isRequired else { throw Fault(expected: "a template that fills the block", found: "none") }
    try run.spend(run.exported.count + visible.names.count)
    let before = run.exported
    visible.export(scope)
    try run.enter(nesting + Rendering.callNesting)
    let inner = Scope(run, slots: code.slots, parent: nil)
    try code.entry.enter(inner)
    _ = try code.body.run(in: inner, &out)
    run.leave(nesting + Rendering.callNesting)
    run.exported = before
    return .next
  }
}

struct BlockCode: Sendable {
  let slots: Int
  let entry: ScopeEntry
  let body: Body
}

/// `{% include %}` and the like: an error where it is run.
struct OtherTemplateExecution: Execution {
  let tag: String
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    throw Fault(expected: "a template that stands alone", found: "'\(tag)'", line: line)
  }
}
