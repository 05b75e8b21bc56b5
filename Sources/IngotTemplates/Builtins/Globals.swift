/// Functions that templates find without being given them.
final class GlobalFunction: Object {
  enum Name: String {
    case range, dict, lipsum, cycler, joiner, namespace
    case raiseException = "raise_exception"
    case strftimeNow = "strftime_now"
  }
  let name: Name

  /// - Returns: nil when there is no such function.
  init?(_ name: String) {
    guard let name = Name(rawValue: name) else { return nil }
    self.name = name
  }

  override var typeName: String { "function" }
  override var depth: Int { 0 }
  override var isCallable: Bool { true }

  override func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    self.name == .dict && name.string == "fromkeys"
      ? .object(BoundMethod(.object(self), .sequence("fromkeys"))) : nil
  }

  override func call(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    try run.spend(1)
    switch name {
    case .range: return try range(arguments, run)
    case .dict:
      let dict = try Dict.make(arguments, run).dict
      try run.check(depth: dict.depth)
      return .dict(dict)
    case .lipsum:
      throw Fault(expected: "functions that give the same text every time", found: "lipsum")
    case .cycler:
      guard arguments.named.isEmpty, !arguments.positional.isEmpty else {
        throw Fault(expected: "items for cycler, by place", found: "none, or some by name")
      }
      let items = List(arguments.positional)
      try run.check(depth: items.depth + 1)
      return .object(Cycler(items))
    case .joiner: return .object(Joiner(try arguments.bound("joiner", ["sep"])[0] ?? .text(", ")))
    case .namespace:
      let dict = try Dict.make(arguments, run).dict
      var members: [(name: Text, value: Value)] = []
      for (key, value) in zip(dict.keys, dict.values) {
        // Others cannot be asked for.
        if case .text(let name) = key { members.append((name, value)) }
      }
      return .object(try Namespace(members, run))
    case .raiseException:
      let message = try arguments.bound("raise_exception", ["message"], required: 1)[0]!
      throw Fault(
        expected: "a conversation that the template takes",
        found: "what it says is wrong: \(try message.printed(run).string)")
    case .strftimeNow:
      let format = try arguments.bound("strftime_now", ["format"], required: 1)[0]!
      guard let now = run.now else { throw Fault(expected: "a time to tell for strftime_now", found: "none") }
      return .text(try now.formatted(try format.asText("a format of time"), run))
    }
  }

  private func range(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let values = try arguments.bound("range", ["start", "stop", "step"], required: 1, positionalOnly: true)
    var bounds: [Int] = []
    for value in values { if let value { bounds.append(try value.asInt("a bound of a range")) } }
    let step = bounds.count > 2 ? bounds[2] : 1
    guard step != 0 else { throw Fault(expected: "a step that is not 0", found: "0") }
    let range = RangeObject(
      start: bounds.count > 1 ? bounds[0] : 0, stop: bounds.count > 1 ? bounds[1] : bounds[0], step: step)
    guard range.count <= run.limits.rangeItems else {
      throw Fault(expected: "ranges of at most \(run.limits.rangeItems) numbers", found: "\(range.count)")
    }
    return .object(range)
  }
}
