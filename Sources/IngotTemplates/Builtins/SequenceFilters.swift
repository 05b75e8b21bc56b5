/// Filters that go through items. Those that jinja2 writes as generators do nothing until they are asked.
extension Filters {
  static let list: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("list", [])
    return try run.list(try value.items(run))
  }

  static let first: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("first", [])
    return try value.iterate(run).next(run) ?? .undefined(Undefined(.hint("the first of no items")))
  }

  static let last: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("last", [])
    guard let backward = try value.iterateBackward(run) else {
      throw Fault(expected: "something that has a last item", found: "a value of type \(value.typeName)")
    }
    return try backward.next(run) ?? .undefined(Undefined(.hint("the last of no items")))
  }

  static let reverse: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("reverse", [])
    if case .text(let text) = value {
      try run.spend(slow: text.bytes.count)
      return .text(Text(text.scalars.reversed()).marked(text.isMarkup))
    }
    if let backward = try value.iterateBackward(run) { return .object(backward) }
    return try run.list(try value.items(run).reversed())
  }

  static let batch: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("batch", ["linecount", "fill_with"], required: 1)
    let fill = values[1] ?? .null
    var source: Iteration?
    var batch: [Value] = []
    return .object(
      Generator(over: try run.tuple([value, fill])) { (run) throws(Fault) in
        let items: Iteration
        if let source { items = source } else { items = try value.iterate(run) }
        source = items
        while let item = try items.next(run) {
          try run.spend(1)
          // A batch is given out when an item beyond it comes.
          if batch.count == (try size(values[0]!)) {
            let full = batch
            batch = [item]
            return try run.list(full)
          }
          batch.append(item)
        }
        guard !batch.isEmpty else { return nil }
        if !fill.isNull {
          let missing = Swift.max(Swift.max(try size(values[0]!), 0) - batch.count, 0)
          try run.spend(missing)
          batch += [Value](repeating: fill, count: missing)
        }
        defer { batch = [] }
        return try run.list(batch)
      })
  }

  private static func size(_ value: Value) throws(Fault) -> Int { try value.asInt("a number of items") }

  static let slice: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("slice", ["slices", "fill_with"], required: 1)
    var items: [Value]?
    var number = 0
    var offset = 0
    return .object(
      Generator(over: try run.tuple([value, values[1] ?? .null])) { (run) throws(Fault) in
        let all: [Value]
        if let items { all = items } else { all = try value.items(run) }
        items = all
        let slices = try values[0]!.asInt("a number of slices")
        guard slices != 0 else { throw Fault(expected: "a number of slices that is not 0", found: "0") }
        guard number < slices else { return nil }
        let (each, extra) = (all.count / slices, all.count % slices)
        let start = offset + number * each
        if number < extra { offset += 1 }
        var slice = Array(all[start..<(offset + (number + 1) * each)])
        if let fill = values[1], !fill.isNull, number >= extra { slice.append(fill) }
        number += 1
        return try run.list(slice)
      })
  }

  static let unique: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("unique", ["case_sensitive", "attribute"])
    let isSensitive = try values[0]?.isTrue(run) ?? false
    let path = AttributePath(values[1] ?? .null, ignoresCase: !isSensitive)
    var source: Iteration?
    var seen: Set<Dict.Key> = []
    return .object(
      Generator(over: value) { (run) throws(Fault) in
        let iteration: Iteration
        if let source { iteration = source } else { iteration = try value.iterate(run) }
        source = iteration
        while let item = try iteration.next(run) {
          try run.spend(1)
          if seen.insert(try path.of(item, run).key(run)).inserted { return item }
        }
        return nil
      })
  }

  static let map: Filter = { (value, arguments, run) throws(Fault) in
    var source: Iteration?
    var change: ((Value) throws(Fault) -> Value)?
    return .object(
      Generator(over: try run.tuple([value] + arguments.positional + arguments.named.map(\.value))) {
        (run) throws(Fault) in
        if source == nil {
          guard try value.isTrue(run) else { return nil }
          change = try mapping(arguments, run)
          source = try value.iterate(run)
        }
        guard let item = try source?.next(run), let change else { return nil }
        try run.spend(1)
        return try change(item)
      })
  }

  private static func mapping(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> (
    (Value) throws(Fault) -> Value
  ) {
    if arguments.positional.isEmpty, let attribute = arguments.named("attribute") {
      if let other = arguments.named.first(where: { $0.name != "attribute" && $0.name != "default" }) {
        throw Fault(expected: "arguments that map has", found: "'\(other.name)'")
      }
      let path = AttributePath(attribute, otherwise: arguments.named("default"))
      return { (item) throws(Fault) in try path.of(item, run) }
    }
    guard let first = arguments.positional.first else {
      throw Fault(expected: "the name of a filter for map", found: "none")
    }
    let filter = try named(try first.asText("the name of a filter").string)
    var rest = arguments
    rest.positional.removeFirst()
    let given = rest
    return { (item) throws(Fault) in try filter(item, given, run) }
  }

  static let select: Filter = { (value, arguments, run) throws(Fault) in
    try choose(value, arguments, byAttribute: false, keeps: true, run)
  }
  static let reject: Filter = { (value, arguments, run) throws(Fault) in
    try choose(value, arguments, byAttribute: false, keeps: false, run)
  }
  static let selectAttribute: Filter = { (value, arguments, run) throws(Fault) in
    try choose(value, arguments, byAttribute: true, keeps: true, run)
  }
  static let rejectAttribute: Filter = { (value, arguments, run) throws(Fault) in
    try choose(value, arguments, byAttribute: true, keeps: false, run)
  }

  private static func choose(
    _ value: Value, _ arguments: Arguments, byAttribute: Bool, keeps: Bool, _ run: Rendering
  ) throws(Fault) -> Value {
    var source: Iteration?
    var passes: ((Value) throws(Fault) -> Bool)?
    return .object(
      Generator(over: try run.tuple([value] + arguments.positional + arguments.named.map(\.value))) {
        (run) throws(Fault) in
        if source == nil {
          guard try value.isTrue(run) else { return nil }
          passes = try condition(arguments, byAttribute, run)
          source = try value.iterate(run)
        }
        guard let source, let passes else { return nil }
        while let item = try source.next(run) {
          try run.spend(1)
          if try passes(item) == keeps { return item }
        }
        return nil
      })
  }

  private static func condition(
    _ arguments: Arguments, _ byAttribute: Bool, _ run: Rendering
  ) throws(Fault) -> ((Value) throws(Fault) -> Bool) {
    var rest = arguments
    var path = AttributePath(.null)
    if byAttribute {
      guard !rest.positional.isEmpty else {
        throw Fault(expected: "the name of an attribute", found: "none")
      }
      path = AttributePath(rest.positional.removeFirst())
    }
    let by = path
    guard !rest.positional.isEmpty else {
      return { (item) throws(Fault) in try by.of(item, run).isTrue(run) }
    }
    let test = try Tests.named(try rest.positional.removeFirst().asText("the name of a test").string)
    let given = rest
    return { (item) throws(Fault) in try test(try by.of(item, run), given, run).isTrue(run) }
  }
}
