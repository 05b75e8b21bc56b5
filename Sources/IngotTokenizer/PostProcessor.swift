import IngotSystem

/// What `post_processor` puts around a text's tokens.
enum PostProcessor {
  /// Reads null, ByteLevel (which only moves offsets), TemplateProcessing, or a Sequence of these.
  static func specialTokens(_ place: JSONPlace) throws(FormatError) -> (prefix: [Int], suffix: [Int]) {
    if place.json.isNull { return ([], []) }
    switch place["type"].json.string {
    case "ByteLevel": return ([], [])
    case "TemplateProcessing": return try template(place)
    case "Sequence":
      var prefix: [Int] = []
      var suffix: [Int] = []
      for part in try place["processors"].elements() {
        if part["type"].json.string == "Sequence" { throw part.error("no Sequence inside a Sequence") }
        let (before, after) = try specialTokens(part)
        prefix = before + prefix
        suffix += after
      }
      return (prefix, suffix)
    default: throw place["type"].error("ByteLevel, TemplateProcessing or Sequence (no other is supported)")
    }
  }

  private static func template(_ place: JSONPlace) throws(FormatError) -> (prefix: [Int], suffix: [Int]) {
    let single = place["single"]
    var sides: [[Int]] = [[]]
    for part in try single.elements() {
      if part.json["Sequence"] != nil {
        guard part["Sequence"]["id"].json.string == "A" else { throw part["Sequence"]["id"].error("\"A\"") }
        sides.append([])
        continue
      }
      let name = part["SpecialToken"]["id"]
      let ids = place["special_tokens"][try name.string()]["ids"]
      for id in try ids.elements() {
        sides[sides.count - 1].append(try id.integer(below: TokenizerFile.mostTokens))
      }
    }
    guard sides.count == 2 else { throw single.error("the text once") }
    return (sides[0], sides[1])
  }
}
