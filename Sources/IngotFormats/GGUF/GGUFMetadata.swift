import IngotSystem
import IngotTensors

/// The keys and values of a GGUF file in their order; keys are unique.
struct GGUFMetadata: Sendable {
  /// File they stand in, for messages.
  var path: String
  private(set) var entries: [(key: String, value: GGUFValue)] = []
  private var places: [String: Int] = [:]

  init(path: String) { self.path = path }

  /// The value of `key`; setting one that is there keeps its place.
  subscript(key: String) -> GGUFValue? {
    get { places[key].map { entries[$0].value } }
    set {
      if let newValue {
        if let place = places[key] {
          entries[place].value = newValue
        } else {
          places[key] = entries.count
          entries.append((key, newValue))
        }
      } else if let place = places[key] {
        entries.remove(at: place)
        places = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.key, $0) })
      }
    }
  }

  /// Kinds, keys and values as they stand in a file.
  func write(to writer: inout ByteWriter) {
    for (key, value) in entries {
      writer.put(string: key)
      writer.put(value.kind.rawValue)
      value.write(to: &writer)
    }
  }

  func error(_ key: String, _ expected: String, found: String? = nil) -> FormatError {
    FormatError(
      path: path, expected: "\(key): \(expected)", found: found ?? self[key]?.text ?? "no such key")
  }

  func string(_ key: String) throws(FormatError) -> String {
    guard let value = self[key]?.string else { throw error(key, "a string") }
    return value
  }

  func strings(_ key: String) throws(FormatError) -> [String] {
    guard let value = self[key]?.strings else { throw error(key, "an array of strings") }
    return value
  }

  func integer(_ key: String, _ range: ClosedRange<Int>, or fallback: Int? = nil) throws(FormatError) -> Int {
    if self[key] == nil, let fallback { return fallback }
    guard let value = self[key]?.integer, range.contains(value) else {
      throw error(key, "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func positiveNumber(_ key: String, or fallback: Double? = nil) throws(FormatError) -> Double {
    if self[key] == nil, let fallback { return fallback }
    guard let value = self[key]?.number, value.isFinite, value > 0 else {
      throw error(key, "a positive number")
    }
    return value
  }
}
