/// `loop` within a loop.
final class LoopObject: Object, Holder {
  var isHeld = false
  private let iteration: Iteration
  /// What is gone through, where it has a length.
  private let source: Value?
  private let recurse: ((Value, Int) throws(Fault) -> Text)?
  private let depth0: Int
  private let nesting: Int
  private var index0 = -1
  private var knownLength: Int?
  private var after: Value?
  private var current: Value?
  private var before: Value?
  private var changed: [Value]?
  /// Values that were taken to count them.
  private var waiting: [Value] = []

  init(
    _ iteration: Iteration, source: Value?, depth: Int,
    recurse: ((Value, Int) throws(Fault) -> Text)?
  ) {
    self.iteration = iteration
    self.source = source
    self.recurse = recurse
    depth0 = depth
    nesting = max(iteration.depth, source?.depth ?? 0) + 1
  }

  override var typeName: String { "LoopContext" }
  override var depth: Int { nesting }
  override var isCallable: Bool { true }

  private func take(_ run: Rendering) throws(Fault) -> Value? {
    if !waiting.isEmpty { return waiting.removeLast() }
    return try iteration.next(run)
  }

  /// Goes on to the next item; nil behind the last.
  func advance(_ run: Rendering) throws(Fault) -> Value? {
    let next: Value?
    if let after {
      next = after
      self.after = nil
    } else {
      next = try take(run)
    }
    guard let next else { return nil }
    index0 += 1
    before = current
    current = next
    return next
  }

  private func peek(_ run: Rendering) throws(Fault) -> Value? {
    if after == nil { after = try take(run) }
    return after
  }

  override func length(_ run: Rendering) throws(Fault) -> Int? {
    if let knownLength { return knownLength }
    if let length = try source?.length(run) {
      knownLength = length
    } else {
      let rest = try iteration.rest(run)
      waiting = rest.reversed()
      knownLength = rest.count + index0 + 1 + (after == nil ? 0 : 1)
    }
    return knownLength
  }

  override func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    switch name.string {
    case "index": .int(index0 + 1)
    case "index0": .int(index0)
    case "first": .bool(index0 == 0)
    case "last": .bool(try peek(run) == nil)
    case "length": .int(try length(run)!)
    case "revindex": .int(try length(run)! - index0)
    case "revindex0": .int(try length(run)! - index0 - 1)
    case "depth": .int(depth0 + 1)
    case "depth0": .int(depth0)
    case "previtem":
      index0 == 0 ? .undefined(Undefined(.hint("there is no item before"))) : before ?? .null
    case "nextitem": try peek(run) ?? .undefined(Undefined(.hint("there is no item behind")))
    case "cycle", "changed": .object(BoundMethod(.object(self), .sequence(name.string)))
    default: nil
    }
  }

  func call(_ method: String, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    guard arguments.named.isEmpty else {
      throw Fault(expected: "arguments by place for \(method)", found: "some by name")
    }
    let values = arguments.positional
    if method == "cycle" {
      guard !values.isEmpty else { throw Fault(expected: "items for cycle", found: "none") }
      return values[index0 % values.count]
    }
    if let changed, try Value.list(List(changed)).isEqual(.list(List(values)), run) { return .bool(false) }
    changed = values
    if values.contains(where: { $0.depth > 0 }) { run.hold(self) }
    return .bool(true)
  }

  func clear() { changed = nil }

  override func call(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let items = try arguments.bound("loop", ["iterable"], required: 1)[0]!
    guard let recurse else { throw Fault(expected: "a loop that is 'recursive'", found: "another") }
    return .text(try recurse(items, depth0 + 1))
  }

  override func representation(_ run: Rendering, depth: Int) throws(Fault) -> Text {
    Text("<LoopContext \(index0 + 1)/\(try length(run)!)>")
  }
}

/// The condition behind `if` in a loop: a function of its own, which goes through the items on demand.
struct LoopTest: Sendable {
  let slots: Int
  let entry: ScopeEntry
  let target: Assignee
  let test: any Evaluation

  func filtered(_ source: Value, in scope: Scope) throws(Fault) -> Iteration {
    let items = try source.iterate(scope.run)
    let inner = Scope(scope.run, slots: slots, parent: scope)
    var hasEntered = false
    return Generator(over: source) { (run) throws(Fault) in
      if !hasEntered { try entry.enter(inner) }
      hasEntered = true
      while let item = try items.next(run) {
        try run.spend(1)
        try target.set(item, in: inner)
        if try test.value(in: inner).isTrue(run) {
          if case .tuple = target { return target.value(in: inner) }
          return item
        }
      }
      return nil
    }
  }
}

struct LoopExecution: Execution {
  let source: any Evaluation
  let target: Assignee
  let test: LoopTest?
  let entry: ScopeEntry
  /// Where `loop` is, if the body uses it.
  let loop: Scope.Place?
  let body: Body
  /// What follows when no item got to the end of the body.
  let otherwise: (entry: ScopeEntry, body: Body)?
  /// Variables of the body, where it is a function of its own that can be called again.
  let recursiveSlots: Int?
  let nesting: Int
  let line: Int

  func run(in scope: Scope, _ out: inout Output) throws(Fault) -> Flow {
    scope.run.line = line
    try scope.run.spend(1)
    let source = try source.value(in: scope)
    scope.run.line = line
    guard recursiveSlots == nil else {
      try out.append(try recurse(source, depth: 0, in: scope), scope.run)
      return .next
    }
    return try run(source, depth: 0, in: scope, enclosing: scope, &out)
  }

  private func recurse(_ source: Value, depth: Int, in scope: Scope) throws(Fault) -> Text {
    let run = scope.run
    // A call of `loop` has counted itself already.
    try run.enter(depth == 0 ? nesting + Rendering.callNesting : Rendering.callNesting)
    let inner = Scope(run, slots: recursiveSlots ?? 0, parent: scope)
    var out = Output()
    _ = try self.run(source, depth: depth, in: inner, enclosing: scope, &out)
    run.leave(depth == 0 ? nesting + Rendering.callNesting : Rendering.callNesting)
    return out.text
  }

  /// - Parameter enclosing: the function that the loop stands in.
  private func run(
    _ source: Value, depth: Int, in scope: Scope, enclosing: Scope, _ out: inout Output
  ) throws(Fault) -> Flow {
    let run = scope.run
    let items: Iteration
    if let test { items = try test.filtered(source, in: enclosing) } else { items = try source.iterate(run) }
    var object: LoopObject?
    if loop != nil {
      var again: ((Value, Int) throws(Fault) -> Text)?
      if recursiveSlots != nil {
        again = { (value, depth) throws(Fault) in try recurse(value, depth: depth, in: enclosing) }
      }
      object = LoopObject(items, source: test == nil ? source : nil, depth: depth, recurse: again)
      try run.check(depth: object!.depth)
      // The loop refers to the scope by its test and its body.
      if test != nil || recursiveSlots != nil {
        run.hold(scope)
        run.hold(enclosing)
      }
    }
    var isComplete = false
    var flow = Flow.next
    func next() throws(Fault) -> Value? {
      if let object { return try object.advance(run) }
      return try items.next(run)
    }
    while let item = try next() {
      try run.spend(1)
      try target.set(item, in: scope)
      if let loop, let object { scope[loop] = .object(object) }
      try entry.enter(scope)
      flow = try body.run(in: scope, &out)
      if flow == .breakLoop { break }
      if flow == .next { isComplete = true }
    }
    entry.leave(scope)
    if let otherwise, !isComplete {
      try otherwise.entry.enter(scope)
      let flow = try otherwise.body.run(in: scope, &out)
      if flow != .next { return flow }
      otherwise.entry.leave(scope)
    }
    return .next
  }
}
