/// Methods of Python's `dict`.
enum DictMethod: String {
  case clear, copy, fromkeys, get, items, keys, pop, popitem, setdefault, update, values

  /// Whether it would change the dict, which templates may not.
  var isChange: Bool {
    switch self {
    case .clear, .pop, .popitem, .setdefault, .update: true
    default: false
    }
  }
}

extension Dict {
  func call(_ method: DictMethod, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    try run.spend(1)
    switch method {
    case .get:
      let values = try arguments.bound("get", ["key", "default"], required: 1, positionalOnly: true)
      return value(try values[0]!.key(run)) ?? values[1] ?? .null
    case .fromkeys: return try Dict.fromKeys(arguments, run)
    default: _ = try arguments.bound(method.rawValue, [])
    }
    switch method {
    case .items: return .object(DictView(self, .items))
    case .keys: return .object(DictView(self, .keys))
    case .values: return .object(DictView(self, .values))
    case .copy: return .dict(self)
    default: preconditionFailure("what changes a dict is not given out")
    }
  }

  /// `dict.fromkeys`
  static func fromKeys(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let values = try arguments.bound("fromkeys", ["iterable", "value"], required: 1, positionalOnly: true)
    var builder = DictBuilder()
    for key in try values[0]!.items(run) { try builder.set(key, values[1] ?? .null, run) }
    let dict = builder.dict
    try run.check(depth: dict.depth)
    return .dict(dict)
  }

  /// What `dict(…)` gives: a copy of a dict or of pairs, and what is given by name.
  static func make(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> DictBuilder {
    guard arguments.positional.count <= 1 else {
      throw Fault(expected: "at most 1 argument for dict", found: "\(arguments.positional.count)")
    }
    var builder = DictBuilder()
    if let source = arguments.positional.first {
      if case .dict(let dict) = source {
        try builder.merge(dict, run)
      } else {
        for pair in try source.items(run) {
          let parts = try pair.items(run)
          guard parts.count == 2 else {
            throw Fault(expected: "pairs of keys and values for dict", found: "\(parts.count) values")
          }
          try builder.set(parts[0], parts[1], run)
        }
      }
    }
    for (name, value) in arguments.named { builder.set(Text(name), value) }
    return builder
  }
}

extension Value {
  /// A method of a list, a tuple, a range, a number or an object of templates, by name.
  func callMethod(_ name: String, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    switch self {
    case .list, .tuple:
      if name == "copy" {
        _ = try arguments.bound(name, [])
        return self
      }
      return try find(name, arguments, run)
    case .object(let cycler as Cycler):
      _ = try arguments.bound(name, [])
      if name == "next" { return cycler.next() }
      cycler.reset()
      return .null
    case .object(let loop as LoopObject): return try loop.call(name, arguments, run)
    case .object(is GlobalFunction): return try Dict.fromKeys(arguments, run)
    case .object: return try find(name, arguments, run)
    default:
      _ = try arguments.bound(name, [])
      return number(name)
    }
  }

  /// `index` and `count`
  private func find(_ name: String, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let items = try items(run)
    if name == "count" {
      let wanted = try arguments.bound(name, ["value"], required: 1, positionalOnly: true)[0]!
      var count = 0
      for item in items where try item.isSameOrEqual(wanted, run) { count += 1 }
      return .int(count)
    }
    var names = ["value", "start", "stop"]
    if case .object = self { names = ["value"] }
    let values = try arguments.bound(name, names, required: 1, positionalOnly: true)
    let given = names.count > 1 ? values : values + [nil, nil]
    let bounds = try SliceBounds(given[1] ?? .null, given[2] ?? .null, .null, count: items.count)
    for index in bounds.range where try items[index].isSameOrEqual(values[0]!, run) { return .int(index) }
    throw Fault(expected: "a value that is there, for index", found: "one that is not")
  }

  private func number(_ name: String) -> Value {
    switch (name, self) {
    case ("conjugate", _): index.map { .int($0) } ?? self
    case ("is_integer", .float(let value)): .bool(value.isFinite && value.rounded() == value)
    case ("bit_length", .big(let value)): .int(value.bitWidth)
    case ("bit_length", _): .int(BigInt(index ?? 0).bitWidth)
    case ("bit_count", .big(let value)): .int(value.limbs.reduce(0) { $0 + $1.nonzeroBitCount })
    case ("bit_count", _): .int((index ?? 0).magnitude.nonzeroBitCount)
    default: .null
    }
  }
}
