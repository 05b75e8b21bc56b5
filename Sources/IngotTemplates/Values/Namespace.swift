/// `namespace(…)`: members that a template may set, from within loops too.
final class Namespace: Object, Holder {
  var isHeld = false
  private var names: [Text] = []
  private var values: [Value] = []
  /// Where names are, when there are too many to look at each.
  private var places: [Text: Int] = [:]

  init(_ members: [(name: Text, value: Value)], _ run: Rendering) throws(Fault) {
    super.init()
    for member in members { try set(member.name, member.value) }
    run.hold(self)
  }

  override var typeName: String { "Namespace" }

  private func place(_ name: Text) -> Int? {
    places.isEmpty ? names.firstIndex { $0 == name } : places[name]
  }

  func set(_ name: Text, _ value: Value) throws(Fault) {
    guard name.bytes.first != UInt8(ascii: "_") else {
      throw Fault(
        expected: "members of a namespace that do not begin with an underscore", found: "'\(name.string)'")
    }
    if let place = place(name) {
      values[place] = value
      return
    }
    names.append(name)
    values.append(value)
    if !places.isEmpty {
      places[name] = names.count - 1
    } else if names.count > 16 {
      for (index, name) in names.enumerated() { places[name] = index }
    }
  }

  override func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    place(name.text).map { values[$0] }
  }

  func clear() {
    names = []
    values = []
    places = [:]
  }

  override func representation(_ run: Rendering, depth: Int) throws(Fault) -> Text {
    var text = Text("<Namespace {")
    for index in names.indices {
      if index > 0 { text.append(", ") }
      try Value.text(names[index]).represent(into: &text, run, depth: depth)
      text.append(": ")
      try values[index].represent(into: &text, run, depth: depth)
    }
    text.append("}>")
    return text
  }
}

/// `cycler(…)`: gives its items in turn.
final class Cycler: Object {
  private let items: List
  private var index = 0

  init(_ items: List) { self.items = items }

  override var typeName: String { "Cycler" }
  override var depth: Int { items.depth + 1 }

  override func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    switch name.string {
    case "current": items.items[index]
    case "items": .tuple(items)
    case "pos": .int(index)
    case "next", "reset": .object(BoundMethod(.object(self), .sequence(name.string)))
    default: nil
    }
  }

  func next() -> Value {
    let value = items.items[index]
    index = (index + 1) % items.items.count
    return value
  }

  func reset() { index = 0 }
}

/// `joiner(…)`: nothing when it is called first, then what stands between.
final class Joiner: Object {
  private let separator: Value
  private var isUsed = false

  init(_ separator: Value) { self.separator = separator }

  override var typeName: String { "Joiner" }
  override var depth: Int { separator.depth + 1 }
  override var isCallable: Bool { true }

  override func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    switch name.string {
    case "sep": separator
    case "used": .bool(isUsed)
    default: nil
    }
  }

  override func call(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    _ = try arguments.bound("joiner", [])
    if isUsed { return separator }
    isUsed = true
    return .text("")
  }
}
