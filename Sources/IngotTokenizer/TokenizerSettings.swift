import IngotSystem

/// What of tokenizer_config.json concerns text and tokens.
struct TokenizerSettings {
  private(set) var addsBeginToken: Bool?
  private(set) var beginToken: String?
  private(set) var endToken: String?

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
    beginToken = try Self.content(top["bos_token"])
    endToken = try Self.content(top["eos_token"])
  }

  /// A token is given by its text, or as an object with `content`.
  private static func content(_ place: JSONPlace) throws(FormatError) -> String? {
    if place.json.isNull { return nil }
    return try place.json.object == nil ? place.string() : place["content"].string()
  }
}
