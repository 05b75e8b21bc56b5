/// What a macro does, apart from where it was made.
final class MacroCode: Sendable {
  let name: String?
  let parameters: [(name: String, place: Scope.Place, otherwise: (any Evaluation)?)]
  /// Where the special variables are that the body uses.
  let caller: Scope.Place?
  let keywords: Scope.Place?
  let extras: Scope.Place?
  let slots: Int
  let entry: ScopeEntry
  let body: Body
  let line: Int

  init(
    name: String?, parameters: [(name: String, place: Scope.Place, otherwise: (any Evaluation)?)],
    caller: Scope.Place?, keywords: Scope.Place?, extras: Scope.Place?, slots: Int, entry: ScopeEntry,
    body: Body, line: Int
  ) {
    self.name = name
    self.parameters = parameters
    self.caller = caller
    self.keywords = keywords
    self.extras = extras
    self.slots = slots
    self.entry = entry
    self.body = body
    self.line = line
  }

  /// - Parameter parent: where the macro was made.
  func call(_ arguments: Arguments, in parent: Scope) throws(Fault) -> Text {
    let run = parent.run
    let scope = Scope(run, slots: slots, parent: parent)
    try run.spend((parameters.count + parameters.count * arguments.named.count) >> 3)
    var named = arguments.named
    func take(_ name: String) -> Value? {
      guard let index = named.firstIndex(where: { $0.name == name }) else { return nil }
      return named.remove(at: index).value
    }
    var hasCaller = false
    for (index, parameter) in parameters.enumerated() {
      if index < arguments.positional.count {
        scope[parameter.place] = arguments.positional[index]
      } else {
        scope[parameter.place] = take(parameter.name)
        if parameter.name == "caller" { hasCaller = true }
      }
    }
    if arguments.positional.count >= parameters.count {
      hasCaller = parameters.contains { $0.name == "caller" }
    }
    if let caller, !hasCaller {
      let value = take("caller") ?? .null
      scope[caller] = value.isNull ? .undefined(Undefined(.hint("no caller is there"))) : value
    }
    let shown = name.map { "'\($0)'" } ?? "a block"
    if let keywords {
      var builder = DictBuilder()
      for (name, value) in named { builder.set(Text(name), value) }
      let dict = builder.dict
      try run.check(depth: dict.depth)
      scope[keywords] = .dict(dict)
    } else if let other = named.first {
      throw Fault(expected: "arguments that macro \(shown) has", found: "'\(other.name)'")
    }
    if let extras {
      scope[extras] = try run.tuple(Array(arguments.positional.dropFirst(parameters.count)))
    } else if arguments.positional.count > parameters.count {
      throw Fault(
        expected: "at most \(parameters.count) arguments for macro \(shown)",
        found: "\(arguments.positional.count)")
    }
    try entry.enter(scope)
    for parameter in parameters where scope[parameter.place] == nil {
      scope[parameter.place] =
        try parameter.otherwise?.value(in: scope)
        ?? .undefined(Undefined(.hint("parameter '\(parameter.name)' was not given")))
    }
    var out = Output()
    _ = try body.run(in: scope, &out)
    return out.text
  }
}

/// A macro, or the body of a call block as its `caller`.
final class Macro: Object {
  private let code: MacroCode
  private let scope: Scope

  init(_ code: MacroCode, in scope: Scope) {
    self.code = code
    self.scope = scope
    super.init()
    // The scope may refer to the macro.
    scope.run.hold(scope)
  }

  override var typeName: String { "Macro" }
  override var isCallable: Bool { true }

  override func call(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    .text(try code.call(arguments, in: scope))
  }

  override func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    switch name.string {
    case "name": code.name.map { .string($0) } ?? .null
    case "arguments": .tuple(List(code.parameters.map { .string($0.name) }))
    case "catch_kwargs": .bool(code.keywords != nil)
    case "catch_varargs": .bool(code.extras != nil)
    case "caller": .bool(code.caller != nil)
    case "explicit_caller": .bool(code.parameters.contains { $0.name == "caller" })
    default: nil
    }
  }

  override func representation(_ run: Rendering, depth: Int) throws(Fault) -> Text {
    guard let name = code.name else { return "<Macro anonymous>" }
    var text: Text = "<Macro "
    text.append(Text(name).quoted)
    text.append(">")
    return text
  }
}

struct MacroExecution: Execution {
  let code: MacroCode
  let place: Scope.Place
  let exports: Exports

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    try scope.run.spend(1)
    scope[place] = .object(Macro(code, in: scope))
    exports.export(scope)
    return .next
  }
}

/// `{% call %}`: calls a macro, which may call the body.
struct CallBlockExecution: Execution {
  let code: MacroCode
  let call: CallEvaluation
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    scope.run.line = line
    try scope.run.spend(1)
    let value = try call.value(in: scope, caller: .object(Macro(code, in: scope)))
    try out.append(try value.asText("the result of a call block"), scope.run)
    return .next
  }
}

/// `{% generation %}`: what a model has written. Nothing is done with it beyond writing it.
struct GenerationExecution: Execution {
  let code: MacroCode
  let nesting: Int
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    scope.run.line = line
    try scope.run.spend(1)
    try scope.run.enter(nesting + Rendering.callNesting)
    try out.append(try code.call(.none, in: scope), scope.run)
    scope.run.leave(nesting + Rendering.callNesting)
    return .next
  }
}
