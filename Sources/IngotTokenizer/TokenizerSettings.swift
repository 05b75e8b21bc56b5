import IngotSystem

/// What of tokenizer_config.json concerns text and tokens.
struct TokenizerSettings {
  private(set) var addsBeginToken: Bool?
  private(set) var beginToken: String?
  private(set) var endToken: String?
  /// The file, if there is one.
  private var top: JSONPlace?

  /// - Parameter tokenizer: the path of tokenizer.json, beside which the file lies.
  init(_ bytes: [UInt8]?, besides tokenizer: String) throws(FormatError) {
    guard let bytes else { return }
    let folder = tokenizer.utf8.lastIndex(of: 0x2F).map { String(tokenizer[...$0]) } ?? ""
    let path = folder + "tokenizer_config.json"
    let top = JSONPlace(path: path, name: "", json: try JSON.parse(bytes, path: path))
    guard top.json.object != nil else {
      throw FormatError(path: path, expected: "an object", found: top.json.kind)
    }
    let flag = top["add_bos_token"]
    addsBeginToken = flag.json.isNull ? nil : try flag.bool()
    self.top = top
    beginToken = try Self.content(top["bos_token"])
    endToken = try Self.content(top["eos_token"])
  }

  /// What transformers calls the tokenizer.
  var tokenizerClass: String? { top?["tokenizer_class"].json.string }

  /// A member that is true or false; nil if it is not there.
  func flag(_ name: String) throws(FormatError) -> Bool? {
    guard let place = top?[name], !place.json.isNull else { return nil }
    return try place.bool()
  }

  /// `added_tokens_decoder`, by number. Its tokens are found in texts as they are: that a text is normalized before is
  /// tokenizer.json's.
  func addedTokens() throws(FormatError) -> [AddedToken] {
    guard let place = top?["added_tokens_decoder"], !place.json.isNull else { return [] }
    guard let object = place.json.object else { throw place.error("an object") }
    var tokens: [AddedToken] = []
    for (key, _) in object {
      let entry = place[key]
      guard let id = Int(key), id >= 0, id < TokenizerFile.mostTokens else {
        throw entry.error(
          "a token's number from 0 to \(TokenizerFile.mostTokens - 1)", "'\(printable(key, limit: 40))'")
      }
      let content = try entry["content"].string()
      guard !content.isEmpty, content.utf8.count <= AddedTokenFinder.longest else {
        throw entry["content"].error("1 to \(AddedTokenFinder.longest) bytes", "\(content.utf8.count)")
      }
      tokens.append(
        AddedToken(
          id: id, content: content, isSingleWord: try entry["single_word"].bool(default: false),
          stripsLeft: try entry["lstrip"].bool(default: false),
          stripsRight: try entry["rstrip"].bool(default: false), isNormalized: false,
          isSpecial: try entry["special"].bool(default: false)))
    }
    return tokens.sorted { $0.id < $1.id }
  }

  /// A token is given by its text, or as an object with `content`.
  private static func content(_ place: JSONPlace) throws(FormatError) -> String? {
    if place.json.isNull { return nil }
    return try place.json.object == nil ? place.string() : place["content"].string()
  }
}
