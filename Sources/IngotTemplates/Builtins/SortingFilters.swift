/// Filters that compare items.
extension Filters {
  static let sort: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("sort", ["reverse", "case_sensitive", "attribute"])
    let isSensitive = try values[1]?.isTrue(run) ?? false
    var paths = [AttributePath(values[2] ?? .null, ignoresCase: !isSensitive)]
    if case .text(let text) = values[2] {
      paths = text.split(",").map { AttributePath(.text($0), ignoresCase: !isSensitive) }
    }
    var keyed: [(key: Value, item: Value)] = []
    for item in try value.items(run) {
      var keys: [Value] = []
      for path in paths { keys.append(try path.of(item, run)) }
      keyed.append((try run.list(keys), item))
    }
    return try run.list(try sorted(keyed, isReverse: try values[0]?.isTrue(run) ?? false, run))
  }

  /// Items by their keys. What is equal stays in order, in reverse too.
  private static func sorted(
    _ keyed: [(key: Value, item: Value)], isReverse: Bool, _ run: Rendering
  ) throws(Fault) -> [Value] {
    let keyed = isReverse ? keyed.reversed() : keyed
    let sorted = try stablySorted(keyed, run) { (a, b) throws(Fault) in
      try a.key.compare(.less, b.key, run)
    }
    let items = sorted.map(\.item)
    return isReverse ? items.reversed() : items
  }

  static let dictSort: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("dictsort", ["case_sensitive", "by", "reverse"])
    let isSensitive = try values[0]?.isTrue(run) ?? false
    guard case .text(let by) = values[1] ?? .text("key"), by == "key" || by == "value" else {
      throw Fault(expected: "dictsort by 'key' or 'value'", found: "another")
    }
    guard case .dict(let dict) = value else {
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw Fault(expected: "a dict for dictsort", found: "a value of type \(value.typeName)")
    }
    let path = AttributePath(.null, ignoresCase: !isSensitive)
    var keyed: [(key: Value, item: Value)] = []
    for index in dict.keys.indices {
      let key = by == "key" ? dict.keys[index] : dict.values[index]
      keyed.append((try path.of(key, run), dict.item(index)))
    }
    return try run.list(try sorted(keyed, isReverse: try values[2]?.isTrue(run) ?? false, run))
  }

  static let min: Filter = { (value, arguments, run) throws(Fault) in
    try extreme(value, arguments, "min", .less, run)
  }
  static let max: Filter = { (value, arguments, run) throws(Fault) in
    try extreme(value, arguments, "max", .greater, run)
  }

  private static func extreme(
    _ value: Value, _ arguments: Arguments, _ name: String, _ order: Value.Order, _ run: Rendering
  ) throws(Fault) -> Value {
    let values = try arguments.bound(name, ["case_sensitive", "attribute"])
    let isSensitive = try values[0]?.isTrue(run) ?? false
    let path = AttributePath(values[1] ?? .null, ignoresCase: !isSensitive)
    let items = try value.iterate(run)
    guard var best = try items.next(run) else {
      return .undefined(Undefined(.hint("the \(name) of no items")))
    }
    var bestKey = try path.of(best, run)
    while let item = try items.next(run) {
      try run.spend(1)
      let key = try path.of(item, run)
      if try key.compare(order, bestKey, run) { (best, bestKey) = (item, key) }
    }
    return best
  }

  static let groupBy: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("groupby", ["attribute", "default", "case_sensitive"], required: 1)
    let isSensitive = try values[2]?.isTrue(run) ?? false
    let path = AttributePath(values[0]!, otherwise: values[1], ignoresCase: !isSensitive)
    let shown = AttributePath(values[0]!, otherwise: values[1])
    var keyed: [(key: Value, item: Value)] = []
    for item in try value.items(run) { keyed.append((try path.of(item, run), item)) }
    let sorted = try stablySorted(keyed, run) { (a, b) throws(Fault) in
      try a.key.compare(.less, b.key, run)
    }
    var groups: [Value] = []
    var start = 0
    for index in sorted.indices {
      if index + 1 < sorted.count, try sorted[index + 1].key.isSameOrEqual(sorted[start].key, run) {
        continue
      }
      let items = sorted[start...index].map(\.item)
      let group = List([try shown.of(items[0], run), try run.list(items)], isGroup: true)
      try run.check(depth: group.depth)
      groups.append(.tuple(group))
      start = index + 1
    }
    return try run.list(groups)
  }

  static let sum: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("sum", ["attribute", "start"])
    let path = AttributePath(values[0] ?? .null)
    var total = values[1] ?? .int(0)
    if case .text = total { throw Fault(expected: "numbers or lists for sum", found: "texts") }
    let items = try value.iterate(run)
    while let item = try items.next(run) {
      total = try BinaryOperator.add.apply(total, try path.of(item, run), run)
    }
    return total
  }
}
