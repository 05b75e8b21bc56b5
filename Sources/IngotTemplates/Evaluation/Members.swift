/// The name of a member as it stands in a template, with the methods it may mean.
struct MemberName: Sendable {
  let string: String
  let text: Text
  let textMethod: TextMethod?
  let dictMethod: DictMethod?
  let isPrivate: Bool

  /// What every value of Python has, and the sandbox gives out of none.
  static let ofEverything: Set<String> = [
    "__class__", "__doc__", "__eq__", "__hash__", "__init__", "__module__", "__new__", "__repr__", "__str__",
  ]

  init(_ name: String) {
    string = name
    text = Text(name)
    textMethod = TextMethod(rawValue: name)
    dictMethod = DictMethod(rawValue: name)
    isPrivate = name.utf8.first == UInt8(ascii: "_")
  }
}

/// A method with the value it is of.
final class BoundMethod: Object {
  enum Method {
    case text(TextMethod)
    case dict(DictMethod)
    /// A method of lists, tuples, ranges and other things, by name.
    case sequence(String)
  }
  let receiver: Value
  let method: Method

  init(_ receiver: Value, _ method: Method) {
    self.receiver = receiver
    self.method = method
  }

  override var typeName: String { "builtin_function_or_method" }
  override var depth: Int { receiver.depth + 1 }
  override var isCallable: Bool { true }

  override func call(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    switch (method, receiver) {
    case (.text(let method), .text(let text)): try text.call(method, arguments, run)
    case (.dict(let method), .dict(let dict)): try dict.call(method, arguments, run)
    case (.sequence(let name), let receiver): try receiver.callMethod(name, arguments, run)
    default: preconditionFailure("a method is bound to what has it")
    }
  }

  override func isEqual(_ other: Object, _ run: Rendering) throws(Fault) -> Bool { self === other }
}

extension Value {
  /// The member that Python finds: methods and properties, no items. Nil when there is none.
  func attribute(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    switch self {
    case .undefined(let undefined):
      guard MemberName.ofEverything.contains(name.string) else { throw undefined.fault }
      return forbidden(name)
    case .text:
      if let method = name.textMethod {
        return .object(BoundMethod(self, .text(method)))
      }
    case .dict:
      if let method = name.dictMethod {
        return method.isChange ? forbidden(name) : .object(BoundMethod(self, .dict(method)))
      }
    case .list:
      switch name.string {
      case "index", "count", "copy": return .object(BoundMethod(self, .sequence(name.string)))
      case "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort":
        return forbidden(name)
      default: break
      }
    case .tuple(let list):
      switch name.string {
      case "index", "count": return .object(BoundMethod(self, .sequence(name.string)))
      case "grouper" where list.isGroup: return list.items[0]
      case "list" where list.isGroup: return list.items[1]
      default: break
      }
    case .bool, .int, .big, .float: return numberAttribute(name.string)
    case .null: break
    case .object(let object): return name.isPrivate ? nil : try object.member(name, run)
    }
    return nil
  }

  private func forbidden(_ name: MemberName) -> Value {
    .undefined(Undefined(.unsafe(of: typeName, name.string)))
  }

  private func numberAttribute(_ name: String) -> Value? {
    switch name {
    case "real": self.index.map { .int($0) } ?? self
    case "imag": if case .float = self { .float(0) } else { .int(0) }
    case "numerator": if case .float = self { nil } else { self.index.map { .int($0) } ?? self }
    case "denominator": if case .float = self { nil } else { .int(1) }
    case "conjugate": .object(BoundMethod(self, .sequence(name)))
    case "bit_length", "bit_count":
      if case .float = self { nil } else { .object(BoundMethod(self, .sequence(name))) }
    case "is_integer": if case .float = self { .object(BoundMethod(self, .sequence(name))) } else { nil }
    default: nil
    }
  }

  /// `value.name`: the member, else the item.
  func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value {
    // Most are keys of dicts that mean no method.
    if case .dict(let dict) = self, name.dictMethod == nil {
      return dict.value(name.text) ?? missing(name.string)
    }
    if let found = try attribute(name, run) { return found }
    if case .dict(let dict) = self, let value = dict.value(name.text) { return value }
    return missing(name.string)
  }

  /// `value[index]`: the item, else the member.
  func item(_ index: Value, _ run: Rendering) throws(Fault) -> Value {
    switch (self, index) {
    case (.undefined(let undefined), _): throw undefined.fault
    case (.dict(let dict), .text(let name)):
      if let value = dict.value(name) { return value }
    case (.dict(let dict), _):
      // What cannot be a key is not there.
      if let key = try? index.key(run), let value = dict.value(key) { return value }
    case (.list(let list), _), (.tuple(let list), _):
      if let place = index.index.flatMap({ list.items.place($0) }) { return list.items[place] }
    case (.text(let text), _):
      if let place = index.index {
        try run.spend(bytes: text.bytes.count)
        let count = text.count
        let from = place < 0 ? place + count : place
        if from >= 0 && from < count {
          return .text(text.codePoints(from..<from + 1).marked(text.isMarkup))
        }
      }
    case (.object(let object), _):
      if let value = try object.item(index, run) { return value }
    default: break
    }
    if case .text(let name) = index {
      return try attribute(MemberName(name.string), run) ?? missing(name.string)
    }
    return .undefined(Undefined(.hint("an item that a value of type \(typeName) does not have")))
  }

  private func missing(_ name: String) -> Value { .undefined(Undefined(.member(of: typeName, name))) }
}

extension Array {
  /// The place that `index` means, which counts from the end when it is negative.
  func place(_ index: Int) -> Int? {
    let place = index < 0 ? index + count : index
    return place >= 0 && place < count ? place : nil
  }
}
