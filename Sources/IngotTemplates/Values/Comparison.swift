/// Comparing values by Python's rules.
extension Value {
  func isTrue(_ run: Rendering) throws(Fault) -> Bool {
    switch self {
    case .undefined, .null: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .big: true
    case .float(let value): value != 0
    case .text(let text): !text.isEmpty
    case .list(let list), .tuple(let list): !list.items.isEmpty
    case .dict(let dict): dict.count > 0
    case .object(let object): try object.length(run).map { $0 > 0 } ?? true
    }
  }

  /// `==`
  func isEqual(_ other: Value, _ run: Rendering) throws(Fault) -> Bool {
    switch (self, other) {
    case (.undefined, .undefined), (.null, .null): return true
    case (.text(let a), .text(let b)):
      guard a.bytes.count == b.bytes.count else { return false }
      try run.spend(bytes: a.bytes.count)
      return a == b
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      if a === b { return true }
      guard a.items.count == b.items.count else { return false }
      try run.spend(1)
      for (x, y) in zip(a.items, b.items) {
        guard try x.isSameOrEqual(y, run) else { return false }
      }
      return true
    case (.dict(let a), .dict(let b)):
      if a === b { return true }
      guard a.count == b.count else { return false }
      try run.spend(1 + a.count)
      for (key, value) in zip(a.keys, a.values) {
        guard let match = b.value(try key.key(run)), try value.isSameOrEqual(match, run) else { return false }
      }
      return true
    case (.object(let a), .object(let b)): return try a.isEqual(b, run)
    default:
      guard let a = Number(self), let b = Number(other) else { return false }
      return a == b
    }
  }

  /// Equality within lists and dicts: what is the same is equal there, not-a-number too.
  func isSameOrEqual(_ other: Value, _ run: Rendering) throws(Fault) -> Bool {
    if case .float(let a) = self, case .float(let b) = other, a.isNaN { return b.isNaN }
    return try isEqual(other, run)
  }

  /// Whether both are one value, `is` of Python, as far as values here have an identity.
  func isIdentical(_ other: Value) -> Bool {
    switch (self, other) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.int(let a), .int(let b)): a == b
    case (.text(let a), .text(let b)): a == b && a.isMarkup == b.isMarkup
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      a === b
    case (.dict(let a), .dict(let b)): a === b
    case (.object(let a), .object(let b)): a === b
    case (.undefined(let a), .undefined(let b)): a === b
    case (.float(let a), .float(let b)): a == b
    default: false
    }
  }

  /// `<`; the other orders follow from it by exchanging and negating, except for not-a-number.
  enum Order { case less, lessOrEqual, greater, greaterOrEqual }

  func compare(_ order: Order, _ other: Value, _ run: Rendering) throws(Fault) -> Bool {
    switch (self, other) {
    case (.text(let a), .text(let b)):
      try run.spend(bytes: min(a.bytes.count, b.bytes.count))
      return order.holds(isLess: a < b, isEqual: a == b)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      try run.spend(1)
      for (x, y) in zip(a.items, b.items) where try !x.isSameOrEqual(y, run) {
        return try x.compare(order, y, run)
      }
      return order.holds(
        isLess: a.items.count < b.items.count, isEqual: a.items.count == b.items.count)
    case (.undefined(let reason), _), (_, .undefined(let reason)): throw reason.fault
    default:
      guard let a = Number(self), let b = Number(other) else {
        throw Fault(
          expected: "values that have an order", found: "\(typeName) and \(other.typeName) compared")
      }
      return order.holds(isLess: a < b, isEqual: a == b, isGreater: b < a)
    }
  }

  /// `in`
  func isContained(in container: Value, _ run: Rendering) throws(Fault) -> Bool {
    switch container {
    case .text(let text):
      guard case .text(let part) = self else {
        throw Fault(expected: "a text to look for in a text", found: "a value of type \(typeName)")
      }
      try run.spend(bytes: text.bytes.count)
      return text.contains(part)
    case .list(let list), .tuple(let list):
      for item in list.items {
        try run.spend(1)
        if try isSameOrEqual(item, run) { return true }
      }
      return false
    case .dict(let dict): return dict.value(try key(run)) != nil
    case .object(let view as DictView) where view.part == .keys:
      return view.dict.value(try key(run)) != nil
    default:
      let items = try container.iterate(run)
      while let item = try items.next(run) {
        try run.spend(1)
        if try isSameOrEqual(item, run) { return true }
      }
      return false
    }
  }
}

extension Value.Order {
  func holds(isLess: Bool, isEqual: Bool, isGreater: Bool? = nil) -> Bool {
    switch self {
    case .less: isLess
    case .lessOrEqual: isLess || isEqual
    case .greater: isGreater ?? !(isLess || isEqual)
    case .greaterOrEqual: isGreater.map { $0 || isEqual } ?? !isLess
    }
  }
}

/// A number of any of Python's types. Numbers of different types are compared exactly.
enum Number: Equatable {
  case int(Int)
  case big(BigInt)
  case float(Double)

  init?(_ value: Value) {
    switch value {
    case .bool(let value): self = .int(value ? 1 : 0)
    case .int(let value): self = .int(value)
    case .big(let value): self = .big(value)
    case .float(let value): self = .float(value)
    default: return nil
    }
  }

  /// As an integer of any size; nil for fractions.
  var integer: BigInt? {
    switch self {
    case .int(let value): BigInt(value)
    case .big(let value): value
    case .float: nil
    }
  }

  static func == (a: Number, b: Number) -> Bool {
    switch (a, b) {
    case (.int(let a), .int(let b)): a == b
    case (.float(let a), .float(let b)): a == b
    case (.float(let a), let b), (let b, .float(let a)):
      a.isFinite && a.rounded() == a && b.integer == BigInt(a)
    default: a.integer == b.integer
    }
  }

  static func < (a: Number, b: Number) -> Bool {
    switch (a, b) {
    case (.int(let a), .int(let b)): return a < b
    case (.float(let a), .float(let b)): return a < b
    case (.float(let a), let b):
      guard a.isFinite, let b = b.integer else { return a < 0 }
      let floor = BigInt(a.rounded(.down))
      return floor < b
    case (let a, .float(let b)):
      guard b.isFinite, let a = a.integer else { return b > 0 }
      let ceiling = BigInt(b.rounded(.up))
      return a < ceiling
    default: return a.integer! < b.integer!
    }
  }
}
