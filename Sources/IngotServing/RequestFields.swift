import IngotSystem

/// The members of an object in a request, read by type. Members that are null are not there.
struct RequestFields {
  let object: JSONObject
  /// Of the object in the request; empty for the request itself.
  let place: String

  init(_ json: JSON, _ place: String = "") throws(ServingError) {
    guard let object = json.object else {
      throw .invalid(place.isEmpty ? "the body" : place, expected: "an object", found: json.kind)
    }
    (self.object, self.place) = (object, place)
  }

  func name(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }

  subscript(key: String) -> JSON? {
    guard let json = object[key], !json.isNull else { return nil }
    return json
  }

  func string(_ key: String) throws(ServingError) -> String? {
    try value(key, "a string") { $0.string }
  }

  func bool(_ key: String) throws(ServingError) -> Bool? {
    try value(key, "true or false") { $0.bool }
  }

  func int(_ key: String, in range: ClosedRange<Int>) throws(ServingError) -> Int? {
    let upper = range.upperBound == .max ? "" : ", at most \(range.upperBound)"
    return try value(key, "a whole number of at least \(range.lowerBound)\(upper)") { json in
      json.int.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  func double(_ key: String, in range: ClosedRange<Double>) throws(ServingError) -> Double? {
    try value(key, "a number from \(short(range.lowerBound)) to \(short(range.upperBound))") { json in
      json.double.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  func array(_ key: String) throws(ServingError) -> [JSON]? {
    try value(key, "a list") { $0.array }
  }

  func fields(_ key: String) throws(ServingError) -> RequestFields? {
    guard let json = self[key] else { return nil }
    return try RequestFields(json, name(key))
  }

  /// A string, or a list of some.
  func strings(_ key: String, most: Int) throws(ServingError) -> [String] {
    guard let json = self[key] else { return [] }
    if let text = json.string { return [text] }
    guard let list = json.array, list.count <= most else {
      throw .invalid(name(key), expected: "a string, or a list of at most \(most)", found: json.kind)
    }
    var strings: [String] = []
    for (index, entry) in list.enumerated() {
      guard let text = entry.string else {
        throw .invalid("\(name(key))[\(index)]", expected: "a string", found: entry.kind)
      }
      strings.append(text)
    }
    return strings
  }

  /// Refuses a member that would change the answer and that there is nothing for.
  func refuse(_ key: String, unless isHarmless: (JSON) -> Bool = { _ in false }, _ why: String)
    throws(ServingError)
  {
    guard let json = self[key], !isHarmless(json) else { return }
    throw ServingError(.invalid, "\(name(key)): \(why)", parameter: name(key))
  }

  func missing(_ key: String, _ expected: String) -> ServingError {
    .invalid(name(key), expected: expected, found: "none")
  }

  private func value<Value>(_ key: String, _ expected: String, _ read: (JSON) -> Value?) throws(ServingError)
    -> Value?
  {
    guard let json = self[key] else { return nil }
    guard let value = read(json) else { throw .invalid(name(key), expected: expected, found: json.kind) }
    return value
  }

  private func short(_ value: Double) -> String {
    value == value.rounded() ? String(Int(value)) : String(value)
  }
}
