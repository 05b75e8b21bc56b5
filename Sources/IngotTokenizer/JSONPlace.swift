import IngotSystem

/// A JSON value and where it stands, so that what is wrong with it can be said.
struct JSONPlace {
  let path: String
  /// Keys and indices from the top: `pre_tokenizer.pretokenizers[0]`.
  let name: String
  let json: JSON

  func error(_ expected: String, _ found: String? = nil) -> FormatError {
    FormatError(path: path, expected: "\(name): \(expected)", found: found ?? json.kind)
  }

  /// A member; `null` if it is not there or this is not an object.
  subscript(key: String) -> JSONPlace {
    JSONPlace(path: path, name: name.isEmpty ? key : "\(name).\(key)", json: json[key] ?? .null)
  }

  func string() throws(FormatError) -> String {
    guard let value = json.string else { throw error("a string") }
    return value
  }

  func bool() throws(FormatError) -> Bool {
    guard let value = json.bool else { throw error("true or false") }
    return value
  }

  func bool(default value: Bool) throws(FormatError) -> Bool { json.isNull ? value : try bool() }

  func integer(below limit: Int) throws(FormatError) -> Int {
    guard let value = json.int, value >= 0, value < limit else {
      throw error("a number from 0 to \(limit - 1)")
    }
    return value
  }

  func elements() throws(FormatError) -> [JSONPlace] {
    guard let array = json.array else { throw error("an array") }
    return array.enumerated().map { JSONPlace(path: path, name: "\(name)[\($0.offset)]", json: $0.element) }
  }
}
