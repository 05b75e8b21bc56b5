import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

extension Tokenizer {
  /// The tokenizer among a model's side files: tokenizer.json, tokenizer.model or tiktoken.model.
  /// - Throws: FormatError if there is none, or one that is not supported.
  public init(of model: Model) throws(FormatError) {
    try self.init(folder: model.path) { model.sideFile($0)?.bytes.array }
  }
}
