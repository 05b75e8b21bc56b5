/// What `keys()`, `values()` and `items()` of a dict give.
final class DictView: Object {
  enum Part: String { case keys, values, items }
  let dict: Dict
  let part: Part

  init(_ dict: Dict, _ part: Part) {
    self.dict = dict
    self.part = part
  }

  subscript(index: Int) -> Value {
    switch part {
    case .keys: dict.keys[index]
    case .values: dict.values[index]
    case .items: dict.item(index)
    }
  }

  override var typeName: String { "dict_\(part.rawValue)" }
  override var depth: Int { dict.depth + 1 }
  override var isHashable: Bool { part == .values }

  override func length(_ run: Rendering) throws(Fault) -> Int? { dict.count }

  override func iterate(_ run: Rendering) throws(Fault) -> Iteration? {
    Counting(dict.count, over: .object(self)) { [self] index in self[index] }
  }

  override func iterateBackward(_ run: Rendering) throws(Fault) -> Iteration? {
    Counting(dict.count, over: .object(self)) { [self] index in self[dict.count - 1 - index] }
  }

  /// Keys, and items, compare as sets.
  override func isEqual(_ other: Object, _ run: Rendering) throws(Fault) -> Bool {
    guard let other = other as? DictView, part != .values, other.part == part else { return self === other }
    guard dict.count == other.dict.count else { return false }
    try run.spend(dict.count)
    for index in dict.keys.indices {
      guard let match = other.dict.value(try dict.keys[index].key(run)) else { return false }
      if part == .items {
        guard try dict.values[index].isSameOrEqual(match, run) else { return false }
      }
    }
    return true
  }

  override func representation(_ run: Rendering, depth: Int) throws(Fault) -> Text {
    var text = Text("\(typeName)([")
    for index in dict.keys.indices {
      if index > 0 { text.append(", ") }
      try self[index].represent(into: &text, run, depth: depth)
    }
    text.append("])")
    return text
  }
}
