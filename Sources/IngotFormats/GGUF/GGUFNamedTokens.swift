import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Numbers of tokens that have a part of their own (begin, end, unknown, padding), from wherever a model states them:
/// by name in tokenizer_config.json or special_tokens_map.json; by tokenizer.model; by number in generation_config.json, then
/// config.json. transformers stops at every end token of generation_config.json; llama.cpp at three, which have keys.
struct GGUFNamedTokens {
  private let model: Model
  private let tokenizer: Tokenizer
  private let config: JSONObject?
  /// Numbers in the order of `GGUFTokenizer.named` that the tokenizer's own file has; below 0 for none.
  private let fileIDs: [Int]

  init(_ model: Model, _ tokenizer: Tokenizer, _ config: JSONObject?, fileIDs: [Int] = []) {
    self.model = model
    self.tokenizer = tokenizer
    self.config = config
    self.fileIDs = fileIDs
  }

  func add(to metadata: inout GGUFMetadata) throws(FormatError) {
    let size = model.blueprint.vocabulary
    for (index, (name, key)) in GGUFTokenizer.named.enumerated() {
      var ids: [Int] = []
      if let (text, path) = try text(name) {
        guard let id = tokenizer.tokens.firstIndex(of: text) else {
          throw FormatError(
            path: path, expected: "\(name): a token of the tokenizer",
            found: "'\(printable(text, limit: 40))'")
        }
        ids.append(id)
      } else if fileIDs.indices.contains(index), (0..<size).contains(fileIDs[index]) {
        ids.append(fileIDs[index])
      }
      let isEnd = name == "eos_token"
      if ids.isEmpty || isEnd { ids += try numbers(name, size).filter { !ids.contains($0) } }
      guard let first = ids.first else { continue }
      metadata[key] = .uint32(UInt32(first))
      guard isEnd else { continue }
      for (key, id) in zip(GGUFTokenizer.otherEnds, ids.dropFirst()) { metadata[key] = .uint32(UInt32(id)) }
    }
  }

  /// A token's text where a file gives it by name, and that file.
  private func text(_ name: String) throws(FormatError) -> (text: String, path: String)? {
    var places = [("tokenizer_config.json", config)]
    if config?["added_tokens_decoder"]?.object == nil {
      places.insert(("special_tokens_map.json", try object("special_tokens_map.json")), at: 0)
    }
    for (file, object) in places {
      if let text = object?[name].flatMap({ $0.string ?? $0["content"]?.string }) {
        return (text, "\(model.path) (\(file))")
      }
    }
    return nil
  }

  /// The numbers of the first file that has some; `bos_token_id` may be a number or a list.
  private func numbers(_ name: String, _ size: Int) throws(FormatError) -> [Int] {
    for file in ["generation_config.json", "config.json"] {
      guard let object = try object(file) else { continue }
      let key = name + "_id"
      guard
        let value = [object[key], object["text_config"]?[key]].lazy.compactMap(\.self).first(where: {
          !$0.isNull
        })
      else { continue }
      let list = value.array ?? [value]
      var ids: [Int] = []
      for item in list {
        // −1 is a way to say none.
        guard let id = item.int, id < size || name == "pad_token" else {
          throw FormatError(
            path: "\(model.path) (\(file))", expected: "\(key): numbers of tokens below \(size)",
            found: item.kind)
        }
        if (0..<size).contains(id), !ids.contains(id) { ids.append(id) }
      }
      if !ids.isEmpty { return ids }
    }
    return []
  }

  private func object(_ name: String) throws(FormatError) -> JSONObject? {
    guard let file = model.sideFile(name) else { return nil }
    return try JSON.parse(file.bytes.array, path: "\(model.path) (\(name))").object
  }
}
