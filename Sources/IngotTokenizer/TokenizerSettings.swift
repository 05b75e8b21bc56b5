import IngotSystem

/// What of tokenizer_config.json concerns text and tokens, and of the files that earlier versions of transformers wrote beside
/// it: special_tokens_map.json and added_tokens.json, which count where tokenizer_config.json lists no added tokens.
struct TokenizerSettings {
  private(set) var addsBeginToken: Bool?
  private(set) var beginToken: String?
  private(set) var endToken: String?
  /// The file, if there is one.
  private var top: JSONPlace?
  /// special_tokens_map.json and added_tokens.json, where they count.
  private var map: JSONPlace?
  private var added: JSONPlace?

  /// - Parameters:
  ///   - bytes: tokenizer_config.json.
  ///   - tokenizer: the path of tokenizer.json, beside which the file lies.
  ///   - others: files beside it by name.
  init(_ bytes: [UInt8]?, besides tokenizer: String, others: (String) -> [UInt8]? = { _ in nil })
    throws(FormatError)
  {
    // FOLDER/tokenizer.json, or MODEL (tokenizer.json).
    let (mark, end): (UInt8, String) = tokenizer.hasSuffix(")") ? (0x28, ")") : (0x2F, "")
    let folder = tokenizer.utf8.lastIndex(of: mark).map { String(tokenizer[...$0]) } ?? ""
    func object(_ name: String, _ bytes: [UInt8]?) throws(FormatError) -> JSONPlace? {
      guard let bytes else { return nil }
      let path = folder + name + end
      let place = JSONPlace(path: path, name: "", json: try JSON.parse(bytes, path: path))
      guard place.json.object != nil else {
        throw FormatError(path: path, expected: "an object", found: place.json.kind)
      }
      return place
    }
    top = try object("tokenizer_config.json", bytes)
    if let top {
      let flag = top["add_bos_token"]
      addsBeginToken = flag.json.isNull ? nil : try flag.bool()
    }
    if top?["added_tokens_decoder"].json.isNull ?? true {
      map = try object("special_tokens_map.json", others("special_tokens_map.json"))
      added = try object("added_tokens.json", others("added_tokens.json"))
    }
    beginToken = try named("bos_token")
    endToken = try named("eos_token")
  }

  /// The text of a token that has a part of its own, such as `eos_token`; nil for none.
  func named(_ name: String) throws(FormatError) -> String? {
    for place in [map?[name], top?[name]] {
      if let place, let text = try Self.content(place) { return text }
    }
    return nil
  }

  /// Whether these files say of a part which token has it, be it none.
  func has(_ part: String) -> Bool {
    (map?.json[part] ?? top?.json[part]) != nil
  }

  /// Names that transformers' own parts for tokens have, in its order.
  private static let parts = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// Tokens with a part of their own, then those that are special without one, each once and with the file that names it.
  /// - Parameter usual: tokens of parts that the files do not mention.
  func specialTokens(usual: [String: String]) throws(FormatError) -> [(token: AddedToken, path: String)] {
    var tokens: [(token: AddedToken, path: String)] = []
    func add(_ place: JSONPlace) throws(FormatError) {
      guard let content = try Self.content(place) else { return }
      guard !content.isEmpty, content.utf8.count <= AddedTokenFinder.longest else {
        throw place.error("1 to \(AddedTokenFinder.longest) bytes", "\(content.utf8.count)")
      }
      if tokens.contains(where: { $0.token.content.utf8.elementsEqual(content.utf8) }) { return }
      let token = AddedToken(
        id: 0, content: content, isSingleWord: try place["single_word"].bool(default: false),
        stripsLeft: try place["lstrip"].bool(default: false),
        stripsRight: try place["rstrip"].bool(default: false),
        isNormalized: try place["normalized"].bool(default: false), isSpecial: true)
      tokens.append((token, place.path))
    }
    func place(_ part: String) -> JSONPlace? {
      [map, top].compactMap { $0 }.first { $0.json[part] != nil }?[part]
    }
    for part in Self.parts {
      if let place = place(part) {
        try add(place)
      } else if let text = usual[part] {
        try add(JSONPlace(path: top?.path ?? "tokenizer_config.json", name: part, json: .string(text)))
      }
    }
    let others = (top?.json.object ?? [:]).map(\.key).filter {
      $0.hasSuffix("_token") && !Self.parts.contains($0)
    }
    for part in others {
      if let place = place(part), place.json.string != nil { try add(place) }
    }
    for list in ["extra_special_tokens", "additional_special_tokens"] {
      guard let place = place(list) else { continue }
      if place.json.array != nil {
        for element in try place.elements() { try add(element) }
      } else if let object = place.json.object {
        for (key, _) in object { try add(place[key]) }
      }
    }
    return tokens
  }

  /// Tokens that these files add to tokenizer.json, in the order of their numbers, each with the file that has it.
  func tokensBeside() throws(FormatError) -> [(token: AddedToken, path: String)] {
    if let top, !top["added_tokens_decoder"].json.isNull {
      return try addedTokens(asStated: true).map { ($0, top.path) }
    }
    guard let added, let members = added.json.object else { return [] }
    let special = Set(
      (map?.json.object?.map(\.value) ?? []).flatMap { $0.array ?? [$0] }
        .compactMap { $0.string ?? $0["content"]?.string })
    var tokens: [(token: AddedToken, path: String)] = []
    for (content, _) in members {
      guard !content.isEmpty, content.utf8.count <= AddedTokenFinder.longest else {
        throw added[content].error("1 to \(AddedTokenFinder.longest) bytes", "\(content.utf8.count)")
      }
      let isSpecial = special.contains(content)
      tokens.append(
        (
          token: AddedToken(
            id: try added[content].integer(below: TokenizerFile.mostTokens), content: content,
            isNormalized: !isSpecial, isSpecial: isSpecial), path: added.path
        ))
    }
    return tokens.sorted { $0.token.id < $1.token.id }
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
  /// - Parameter asStated: go by `normalized` of each.
  func addedTokens(asStated: Bool = false) throws(FormatError) -> [AddedToken] {
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
      let isSpecial = try entry["special"].bool(default: false)
      tokens.append(
        AddedToken(
          id: id, content: content, isSingleWord: try entry["single_word"].bool(default: false),
          stripsLeft: try entry["lstrip"].bool(default: false),
          stripsRight: try entry["rstrip"].bool(default: false),
          isNormalized: asStated ? try entry["normalized"].bool(default: !isSpecial) : false,
          isSpecial: isSpecial))
    }
    return tokens.sorted { $0.id < $1.id }
  }

  /// A token is given by its text, or as an object with `content`.
  private static func content(_ place: JSONPlace) throws(FormatError) -> String? {
    if place.json.isNull { return nil }
    return try place.json.object == nil ? place.string() : place["content"].string()
  }
}
