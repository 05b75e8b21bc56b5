/// What is given to a filter, a test, a macro or a function.
struct Arguments {
  var positional: [Value] = []
  var named: [(name: String, value: Value)] = []

  static var none: Arguments { Arguments() }

  func named(_ name: String) -> Value? { named.first { $0.name == name }?.value }

  /// The arguments for the parameters called `names`, in their order; nil for those that are not given.
  ///
  /// - Parameters:
  ///   - function: its name, for errors.
  ///   - required: how many must be given.
  ///   - positionalOnly: whether none may be given by name.
  func bound(
    _ function: String, _ names: [String], required: Int = 0, positionalOnly: Bool = false
  ) throws(Fault) -> [Value?] {
    guard positional.count <= names.count else {
      throw Fault(
        expected: "at most \(names.count) arguments for \(function)", found: "\(positional.count)")
    }
    var values: [Value?] = positional
    for _ in positional.count..<names.count { values.append(nil) }
    for (name, value) in named {
      guard !positionalOnly, let index = names.firstIndex(of: name), values[index] == nil else {
        throw Fault(expected: "arguments that \(function) has", found: "'\(name)', unknown or given twice")
      }
      values[index] = value
    }
    for index in 0..<required where values[index] == nil {
      throw Fault(expected: "an argument '\(names[index])' for \(function)", found: "none")
    }
    return values
  }
}

extension Value {
  /// As the text that `what` has to be.
  func asText(_ what: String) throws(Fault) -> Text {
    guard case .text(let text) = self else {
      if case .undefined(let undefined) = self { throw undefined.fault }
      throw Fault(expected: "a text as \(what)", found: "a value of type \(typeName)")
    }
    return text
  }

  /// As the integer that `what` has to be.
  func asInt(_ what: String) throws(Fault) -> Int {
    if let index { return index }
    if case .undefined(let undefined) = self { throw undefined.fault }
    if case .big(let value) = self {
      throw Fault(expected: "\(what) below 2^63", found: value.isNegative ? "a lower one" : "a larger one")
    }
    throw Fault(expected: "an integer as \(what)", found: "a value of type \(typeName)")
  }
}
