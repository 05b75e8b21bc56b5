/// A filter: takes the value in front of `|` and the arguments behind the name.
typealias Filter = @Sendable (Value, Arguments, Rendering) throws(Fault) -> Value

/// The filters of jinja2 that chat templates have a use for, with `tojson` as transformers has it. Without those for web pages
/// (`forceescape`, `striptags`, `urlencode`, `urlize`, `xmlattr`), for terminals (`filesizeformat`, `pprint`, `wordwrap`), and
/// `random`, which gives no text twice.
enum Filters {
  static let named: [String: Filter] = textFilters.merging(valueFilters) { first, _ in first }

  private static let textFilters: [String: Filter] = [
    "capitalize": { (v, a, run) throws(Fault) in try text(v, a, "capitalize", run) { $0.capitalized } },
    "center": center, "e": escape, "escape": escape, "format": format,
    "indent": indent, "join": join,
    "lower": { (v, a, run) throws(Fault) in try text(v, a, "lower", run) { $0.lowercased } },
    "replace": replace, "safe": safe, "string": string,
    "title": { (v, a, run) throws(Fault) in try text(v, a, "title", run) { $0.filterTitle } },
    "trim": trim, "truncate": truncate,
    "upper": { (v, a, run) throws(Fault) in try text(v, a, "upper", run) { $0.uppercased } },
    "wordcount": wordCount,
  ]

  private static let valueFilters: [String: Filter] = [
    "abs": abs, "attr": attr, "batch": batch, "count": length, "d": defaultValue, "default": defaultValue,
    "dictsort": dictSort, "first": first, "float": float, "groupby": groupBy,
    "int": int, "items": items, "last": last, "length": length, "list": list, "map": map, "max": max,
    "min": min, "reject": reject, "rejectattr": rejectAttribute, "reverse": reverse,
    "round": round, "select": select, "selectattr": selectAttribute, "slice": slice, "sort": sort,
    "sum": sum, "tojson": toJSON, "unique": unique,
  ]

  static func named(_ name: String) throws(Fault) -> Filter {
    guard let filter = named[name] else { throw unknown(name) }
    return filter
  }

  static func unknown(_ name: String, line: Int? = nil) -> Fault {
    Fault(expected: "a filter of jinja2 that chat templates use", found: "'\(name)'", line: line)
  }

  static let defaultValue: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("default", ["default_value", "boolean"])
    let otherwise = values[0] ?? .text("")
    if value.isUndefined { return otherwise }
    if let boolean = values[1], try boolean.isTrue(run), try !value.isTrue(run) { return otherwise }
    return value
  }

  static let toJSON: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
    var json = JSONText()
    json.ensuresASCII = try values[0]?.isTrue(run) ?? false
    json.sortsKeys = try values[3]?.isTrue(run) ?? false
    if let indent = values[1], !indent.isNull {
      json.separatesItems = ","
      if case .text(let text) = indent {
        json.indent = text
      } else {
        let width = Swift.max(try indent.asInt("an indentation"), 0)
        try run.make(bytes: width)
        json.indent = Text([UInt8](repeating: 0x20, count: width))
      }
    }
    if let separators = values[2], !separators.isNull {
      let parts = try separators.items(run)
      guard parts.count == 2 else {
        throw Fault(expected: "two separators for tojson", found: "\(parts.count)")
      }
      json.separatesItems = try parts[0].asText("a separator")
      json.separatesKeys = try parts[1].asText("a separator")
    }
    return .text(try json.text(value, run))
  }

  static let attr: Filter = { (value, arguments, run) throws(Fault) in
    let name = try arguments.bound("attr", ["name"], required: 1)[0]!.asText("the name of an attribute")
    if let found = try value.attribute(MemberName(name.string), run) { return found }
    return .undefined(Undefined(.member(of: value.typeName, name.string)))
  }

  static let length: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("length", [])
    guard let length = try value.length(run) else {
      throw Fault(expected: "something that has a length", found: "a value of type \(value.typeName)")
    }
    return .int(length)
  }

  static let items: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("items", [])
    var rest: Iteration?
    return .object(
      Generator(over: value) { (run) throws(Fault) in
        if value.isUndefined { return nil }
        guard case .dict(let dict) = value else {
          throw Fault(expected: "a dict for items", found: "a value of type \(value.typeName)")
        }
        if rest == nil { rest = try DictView(dict, .items).iterate(run) }
        return try rest?.next(run)
      })
  }
}

/// A function of what `attribute="a.b.0"` names: members and items of a value.
struct AttributePath {
  private enum Part {
    case name(Text)
    case value(Value)
  }
  private var parts: [Part] = []
  private var otherwise: Value?
  private var ignoresCase = false

  /// - Parameters:
  ///   - attribute: a text with dots, a number, or none for the value itself.
  ///   - otherwise: what stands for what is not there.
  init(_ attribute: Value, otherwise: Value? = nil, ignoresCase: Bool = false) {
    self.ignoresCase = ignoresCase
    if let otherwise, !otherwise.isNull { self.otherwise = otherwise }
    switch attribute {
    case .null: break
    case .text(let text):
      parts = text.split(".").map { part in
        part.isAll(\.isPythonDigit) ? .value(.int(part.digits ?? 0)) : .name(part)
      }
    default: parts = [.value(attribute)]
    }
  }

  func of(_ item: Value, _ run: Rendering) throws(Fault) -> Value {
    var value = item
    for part in parts {
      try run.spend(1)
      switch part {
      case .name(let name): value = try value.item(.text(name), run)
      case .value(let index): value = try value.item(index, run)
      }
      if let otherwise, value.isUndefined { value = otherwise }
    }
    if ignoresCase, case .text(let text) = value {
      try run.spend(bytes: text.bytes.count)
      return .text(text.lowercased)
    }
    return value
  }
}
