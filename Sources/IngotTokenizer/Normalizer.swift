import IngotSystem

/// What becomes of a text, before it is cut, by `normalizer` of tokenizer.json.
struct Normalizer: Sendable {
  private enum Step: Sendable {
    case form(Normalization)
    /// Put before a text that is not empty.
    case prepend([UInt8])
    case replace(Replacement)
  }

  private var steps: [Step] = []
  /// As tokenizer.json has it, to compare by.
  let json: JSON

  /// Reads null, NFC, NFD, NFKC, NFKD, Prepend, Replace, or a Sequence of these.
  init(_ place: JSONPlace) throws(FormatError) {
    json = place.json
    if !place.json.isNull { try add(place) }
  }

  /// Whether a text that is composed (NFC) stays as it is.
  var keepsComposed: Bool {
    steps.allSatisfy { step in
      if case .form(.nfc) = step { true } else { false }
    }
  }

  private mutating func add(_ place: JSONPlace) throws(FormatError) {
    switch place["type"].json.string {
    case "Sequence": for part in try place["normalizers"].elements() { try add(part) }
    case "Prepend": steps.append(.prepend(Array(try place["prepend"].string().utf8)))
    case "Replace": steps.append(.replace(try Replacement(place)))
    case let name:
      guard let form = name.flatMap(Normalization.init) else {
        throw place["type"].error(
          "NFC, NFD, NFKC, NFKD, Prepend, Replace or Sequence (no other is supported; conversions do not need it)"
        )
      }
      steps.append(.form(form))
    }
  }

  /// `text`, which is well-formed UTF-8, as the vocabulary expects it.
  func normalized(_ text: [UInt8]) -> [UInt8] {
    steps.reduce(text) { text, step in
      switch step {
      case .form(let form): form.applied(to: text)
      case .prepend(let start): text.isEmpty ? text : start + text
      case .replace(let replacement): replacement.applied(to: text)
      }
    }
  }
}
