import IngotSystem

extension JSON {
  /// The part of a schema that a reference within it names: `#/$defs/level`, `#` for all of it; nil where there is none.
  func part(named reference: String) -> JSON? {
    guard reference.hasPrefix("#") else { return nil }
    var found: JSON? = self
    for name in reference.dropFirst().split(separator: "/") { found = found?[String(name)] }
    return found
  }
}
