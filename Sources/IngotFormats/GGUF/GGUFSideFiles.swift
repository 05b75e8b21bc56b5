import IngotModels
import IngotSystem
import IngotTensors

/// Side files that no key of llama.cpp's describes (license, model card, special tokens' types, code of the model): each
/// a string under `ingot.file.NAME`, which other engines pass over.
enum GGUFSideFiles {
  static let prefix = "ingot.file."
  /// Larger ones stay behind: every engine reads all keys when it loads a model.
  static let largest = 1 << 20
  /// What other keys say, and what a reader makes of them.
  private static let described: Set<String> = [
    "config.json", "tokenizer.json", "tokenizer.model", "tiktoken.model", "chat_template.jinja",
    "generation_config.json", "vocab.json",
    "merges.txt", "model.safetensors.index.json",
  ]

  static func add(_ model: Model, to metadata: inout GGUFMetadata) {
    for file in model.sideFiles where !described.contains(file.name) && file.bytes.count <= largest {
      guard IngotLayout.isPlainName(file.name),
        let text = String(validating: file.bytes.array, as: UTF8.self)
      else { continue }
      metadata[prefix + file.name] = .string(text)
    }
  }

  /// The files that stand in keys; a name that is no plain one is refused.
  static func read(_ metadata: GGUFMetadata) throws(FormatError) -> [SideFile] {
    var files: [SideFile] = []
    for (key, value) in metadata.entries where key.hasPrefix(prefix) {
      let name = String(key.dropFirst(prefix.count))
      guard IngotLayout.isPlainName(name), !described.contains(name) else {
        throw metadata.error(key, "the plain name of a side file", found: "'\(printable(name, limit: 300))'")
      }
      guard let text = value.string else { throw metadata.error(key, "a string") }
      files.append(SideFile(name: name, bytes: Bytes(Array(text.utf8))))
    }
    return files
  }
}
