/// A test: takes the value in front of `is` and the arguments behind the name.
typealias Test = @Sendable (Value, Arguments, Rendering) throws(Fault) -> Value

/// The tests of jinja2.
enum Tests {
  static let named: [String: Test] = {
    var tests = comparisons
    for (name, test) in kinds { tests[name] = test }
    for (name, test) in others { tests[name] = test }
    return tests
  }()

  static func named(_ name: String) throws(Fault) -> Test {
    guard let test = named[name] else { throw Fault(expected: "a test that jinja2 has", found: "'\(name)'") }
    return test
  }

  /// A test without arguments.
  private static func kind(_ name: String, _ condition: @escaping @Sendable (Value) -> Bool) -> Test {
    { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound(name, [])
      return .bool(condition(value))
    }
  }

  private static let kinds: [String: Test] = [
    "defined": kind("defined") { !$0.isUndefined },
    "undefined": kind("undefined") { $0.isUndefined },
    "none": kind("none") { $0.isNull },
    "boolean": kind("boolean") { if case .bool = $0 { true } else { false } },
    "true": kind("true") { if case .bool(true) = $0 { true } else { false } },
    "false": kind("false") { if case .bool(false) = $0 { true } else { false } },
    "integer": kind("integer") {
      switch $0 {
      case .int, .big: true
      default: false
      }
    },
    "float": kind("float") { if case .float = $0 { true } else { false } },
    "number": kind("number") { Number($0) != nil },
    "string": kind("string") { $0.text != nil },
    "mapping": kind("mapping") { $0.dict != nil },
    "escaped": kind("escaped") { $0.text?.isMarkup ?? false },
    "callable": kind("callable") {
      switch $0 {
      case .object(let object): object.isCallable
      case .undefined: true
      default: false
      }
    },
    "sequence": kind("sequence") {
      switch $0 {
      case .undefined, .text, .list, .tuple, .dict: true
      case .object(let object): object.hasItems
      default: false
      }
    },
  ]

  private static func comparison(_ order: Value.Order) -> Test {
    { (value, arguments, run) throws(Fault) in
      let other = try arguments.bound("a comparison", ["other"], required: 1, positionalOnly: true)[0]!
      return .bool(try value.compare(order, other, run))
    }
  }

  private static func equality(_ expected: Bool) -> Test {
    { (value, arguments, run) throws(Fault) in
      let other = try arguments.bound("a comparison", ["other"], required: 1, positionalOnly: true)[0]!
      return .bool(try value.isEqual(other, run) == expected)
    }
  }

  private static let comparisons: [String: Test] = [
    "eq": equality(true), "==": equality(true), "equalto": equality(true),
    "ne": equality(false), "!=": equality(false),
    "lt": comparison(.less), "<": comparison(.less), "lessthan": comparison(.less),
    "le": comparison(.lessOrEqual), "<=": comparison(.lessOrEqual),
    "gt": comparison(.greater), ">": comparison(.greater), "greaterthan": comparison(.greater),
    "ge": comparison(.greaterOrEqual), ">=": comparison(.greaterOrEqual),
  ]

  /// Whether the remainder of a division is `expected`.
  private static func remainder(_ value: Value, _ divisor: Value, is expected: Int, _ run: Rendering)
    throws(Fault) -> Value
  {
    let remainder = try BinaryOperator.remainder.apply(value, divisor, run)
    return .bool(try remainder.isEqual(.int(expected), run))
  }

  private static let others: [String: Test] = [
    "odd": { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound("odd", [])
      return try remainder(value, .int(2), is: 1, run)
    },
    "even": { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound("even", [])
      return try remainder(value, .int(2), is: 0, run)
    },
    "divisibleby": { (value, arguments, run) throws(Fault) in
      let divisor = try arguments.bound("divisibleby", ["num"], required: 1)[0]!
      return try remainder(value, divisor, is: 0, run)
    },
    "lower": { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound("lower", [])
      let text = try value.printed(run)
      try run.spend(slow: text.bytes.count)
      return .bool(text.isLower)
    },
    "upper": { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound("upper", [])
      let text = try value.printed(run)
      try run.spend(slow: text.bytes.count)
      return .bool(text.isUpper)
    },
    "iterable": { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound("iterable", [])
      switch value {
      case .undefined, .text, .list, .tuple, .dict: return .bool(true)
      case .object(let object):
        if object is LoopObject { return .bool(true) }
        return .bool(try object.iterate(run) != nil)
      default: return .bool(false)
      }
    },
    "sameas": { (value, arguments, run) throws(Fault) in
      let other = try arguments.bound("sameas", ["other"], required: 1)[0]!
      return .bool(value.isIdentical(other))
    },
    "in": { (value, arguments, run) throws(Fault) in
      let container = try arguments.bound("in", ["seq"], required: 1)[0]!
      return .bool(try value.isContained(in: container, run))
    },
    "filter": { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound("filter", [])
      guard case .text(let name) = value else {
        _ = try value.key(run)
        return .bool(false)
      }
      return .bool(Filters.named[name.string] != nil)
    },
    "test": { (value, arguments, run) throws(Fault) in
      _ = try arguments.bound("test", [])
      guard case .text(let name) = value else {
        _ = try value.key(run)
        return .bool(false)
      }
      return .bool(named[name.string] != nil)
    },
  ]
}
