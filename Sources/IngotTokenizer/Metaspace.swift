import IngotSystem

/// `Metaspace` of tokenizer.json: a visible character stands for each space and, by the scheme, for one before the text.
struct Metaspace: Sendable {
  enum Scheme: String, Sendable, CaseIterable {
    case always, first, never
  }

  let scalar: Unicode.Scalar
  /// Before which pieces the character is put that do not begin with it.
  let scheme: Scheme
  /// Whether the text is cut before each of the characters.
  let isCut: Bool

  init(_ place: JSONPlace) throws(FormatError) {
    scalar = try place["replacement"].scalar()
    let named = place["prepend_scheme"]
    var scheme = Scheme.always
    if !named.json.isNull {
      guard let known = named.json.string.flatMap(Scheme.init) else {
        throw named.error("one of \(Scheme.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      scheme = known
    }
    // Older files say whether, not where.
    let older = place["add_prefix_space"]
    if try !older.bool(default: true) {
      guard scheme != .first else { throw older.error("true beside a prepend_scheme of \"first\"") }
      scheme = .never
    }
    self.scheme = scheme
    isCut = try place["split"].bool(default: true)
  }

  var bytes: [UInt8] { Array(String(Character(scalar)).utf8) }
}
