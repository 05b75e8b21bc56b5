/// Keys with values in the order in which they came. A dict never changes.
final class Dict {
  let keys: [Value]
  let values: [Value]
  let depth: Int
  /// Where keys are. Nil for a few texts, which are found faster by looking at each.
  private let places: [Key: Int]?

  /// What a key is found by: values that are equal have equal ones, so 1, 1.0 and True are one key.
  enum Key: Hashable {
    case undefined, null
    case int(Int)
    case big(BigInt)
    case float(Double)
    case text(Text)
    case tuple([Key])
    case object(ObjectIdentifier)
  }

  fileprivate init(keys: [Value], values: [Value], places: [Key: Int]?) {
    self.keys = keys
    self.values = values
    self.places = places
    depth = max(keys.reduce(0) { max($0, $1.depth) }, values.reduce(0) { max($0, $1.depth) }) + 1
  }

  var count: Int { keys.count }

  func value(_ name: Text) -> Value? {
    if let places { return places[.text(name)].map { values[$0] } }
    for index in keys.indices {
      if case .text(let key) = keys[index], key == name { return values[index] }
    }
    return nil
  }

  func value(_ key: Key) -> Value? {
    if let places { return places[key].map { values[$0] } }
    if case .text(let name) = key { return value(name) }
    return nil
  }

  /// Key and value as a pair.
  func item(_ index: Int) -> Value { .tuple(List([keys[index], values[index]])) }
}

/// A dict in the making. A key that comes again keeps its place and takes the new value.
struct DictBuilder {
  private var keys: [Value] = []
  private var values: [Value] = []
  private var places: [Dict.Key: Int]?

  mutating func set(_ key: Value, _ value: Value, _ run: Rendering) throws(Fault) {
    set(try key.key(run), shown: key, value)
  }

  mutating func set(_ name: Text, _ value: Value) { set(.text(name), shown: .text(name), value) }

  private mutating func set(_ key: Dict.Key, shown: Value, _ value: Value) {
    if let place = place(key) {
      values[place] = value
    } else {
      places?[key] = keys.count
      keys.append(shown)
      values.append(value)
    }
  }

  private mutating func place(_ key: Dict.Key) -> Int? {
    if places == nil {
      if case .text(let name) = key, keys.count < 8 {
        for index in keys.indices {
          if case .text(let other) = keys[index], other == name { return index }
        }
        return nil
      }
      // All keys so far are texts.
      var found: [Dict.Key: Int] = [:]
      for (index, key) in keys.enumerated() {
        if case .text(let name) = key { found[.text(name)] = index }
      }
      places = found
    }
    return places?[key]
  }

  mutating func merge(_ dict: Dict, _ run: Rendering) throws(Fault) {
    for (key, value) in zip(dict.keys, dict.values) { try set(key, value, run) }
  }

  var dict: Dict { Dict(keys: keys, values: values, places: places) }
}

extension Value {
  /// What this is found by as a key.
  /// - Throws: for what Python cannot hash: lists and dicts.
  func key(_ run: Rendering) throws(Fault) -> Dict.Key {
    switch self {
    case .undefined: return .undefined
    case .null: return .null
    case .bool(let value): return .int(value ? 1 : 0)
    case .int(let value): return .int(value)
    case .big(let value): return .big(value)
    case .float(let value):
      if let int = Int(exactly: value) { return .int(int) }
      if value.isFinite { return value.rounded() == value ? .big(BigInt(value)) : .float(value) }
      return .float(value)
    case .text(let text): return .text(text)
    case .tuple(let list):
      try run.spend(list.items.count)
      var keys: [Dict.Key] = []
      for item in list.items { keys.append(try item.key(run)) }
      return .tuple(keys)
    case .object(let object) where object.isHashable: return .object(ObjectIdentifier(object))
    case .list, .dict, .object:
      throw Fault(expected: "a key that can be hashed", found: "a value of type \(typeName)")
    }
  }
}
