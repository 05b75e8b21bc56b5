extension Value {
  /// What goes through the items of this: list items, keys, code points.
  /// - Throws: for what has none.
  func iterate(_ run: Rendering) throws(Fault) -> Iteration {
    switch self {
    case .undefined: return Counting(0) { _ in .null }
    case .text(let text): return Characters(text)
    case .list(let list):
      return Counting(list.items.count, over: self, typeName: "list_iterator") { list.items[$0] }
    case .tuple(let list):
      return Counting(list.items.count, over: self, typeName: "tuple_iterator") { list.items[$0] }
    case .dict(let dict):
      return Counting(dict.count, over: self, typeName: "dict_keyiterator") { dict.keys[$0] }
    case .object(let object):
      if let iteration = try object.iterate(run) { return iteration }
      fallthrough
    default:
      throw Fault(expected: "something to go through", found: "a value of type \(typeName)")
    }
  }

  /// The same from the end; nil for what Python cannot reverse.
  func iterateBackward(_ run: Rendering) throws(Fault) -> Iteration? {
    switch self {
    case .undefined: return Counting(0) { _ in .null }
    case .list(let list), .tuple(let list):
      return Counting(list.items.count, over: self, typeName: "list_reverseiterator") {
        list.items[list.items.count - 1 - $0]
      }
    case .text(let text):
      let scalars = text.scalars
      try run.spend(scalars.count)
      return Counting(scalars.count) { .text(Text(scalars[scalars.count - 1 - $0])) }
    case .dict(let dict): return Counting(dict.count, over: self) { dict.keys[dict.count - 1 - $0] }
    case .object(let object): return try object.iterateBackward(run)
    default: return nil
    }
  }

  /// All items.
  func items(_ run: Rendering) throws(Fault) -> [Value] {
    switch self {
    case .list(let list), .tuple(let list):
      try run.spend(list.items.count >> 1)
      return list.items
    default: return try iterate(run).rest(run)
    }
  }

  /// `len`; nil for what has none.
  func length(_ run: Rendering) throws(Fault) -> Int? {
    switch self {
    case .undefined: return 0
    case .text(let text):
      try run.spend(bytes: text.bytes.count)
      return text.count
    case .list(let list), .tuple(let list): return list.items.count
    case .dict(let dict): return dict.count
    case .object(let object): return try object.length(run)
    default: return nil
    }
  }

  /// Items `start`, `start + step`… before `stop`, as Python slices.
  func slice(_ start: Value, _ stop: Value, _ step: Value, _ run: Rendering) throws(Fault) -> Value {
    if case .undefined(let undefined) = self { throw undefined.fault }
    switch self {
    case .text(let text):
      try run.spend(bytes: text.bytes.count)
      let bounds = try SliceBounds(start, stop, step, count: text.count)
      if bounds.step == 1 { return .text(text.codePoints(bounds.range).marked(text.isMarkup)) }
      try run.spend(slow: text.bytes.count)
      let scalars = text.scalars
      return .text(Text(bounds.indices.map { scalars[$0] }).marked(text.isMarkup))
    case .list(let list):
      let bounds = try SliceBounds(start, stop, step, count: list.items.count)
      return try run.list(
        bounds.step == 1 ? Array(list.items[bounds.range]) : bounds.indices.map { list.items[$0] })
    case .tuple(let list):
      let bounds = try SliceBounds(start, stop, step, count: list.items.count)
      return try run.tuple(
        bounds.step == 1 ? Array(list.items[bounds.range]) : bounds.indices.map { list.items[$0] })
    case .object(let range as RangeObject):
      return .object(try range.slice(try SliceBounds(start, stop, step, count: range.count)))
    default:
      throw Fault(expected: "a text or a list to take a part of", found: "a value of type \(typeName)")
    }
  }
}

/// Where a slice begins and ends among `count` items.
struct SliceBounds {
  let start: Int
  let stop: Int
  let step: Int

  init(_ start: Value, _ stop: Value, _ step: Value, count: Int) throws(Fault) {
    let step = try SliceBounds.bound(step) ?? 1
    guard step != 0 else { throw Fault(expected: "a step that is not 0", found: "0") }
    func clamp(_ value: Int?, otherwise: Int) -> Int {
      guard let value else { return otherwise }
      let place = value < 0 ? value + count : value
      return step > 0 ? min(max(place, 0), count) : min(max(place, -1), count - 1)
    }
    self.step = step
    self.start = clamp(try SliceBounds.bound(start), otherwise: step > 0 ? 0 : count - 1)
    self.stop = clamp(try SliceBounds.bound(stop), otherwise: step > 0 ? count : -1)
  }

  private static func bound(_ value: Value) throws(Fault) -> Int? {
    switch value {
    case .null: return nil
    // Far beyond either end.
    case .big(let value): return value.isNegative ? -(1 << 60) : 1 << 60
    default: return min(max(try value.asInt("the bound of a slice"), -(1 << 60)), 1 << 60)
    }
  }

  var range: Range<Int> { start..<max(start, stop) }

  var indices: [Int] { Array(stride(from: start, to: stop, by: step)) }
}
