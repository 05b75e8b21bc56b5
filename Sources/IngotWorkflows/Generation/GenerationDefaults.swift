import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// What a model advises for generation, by generation_config.json, then config.json, then its tokenizer.
package struct GenerationDefaults: Sendable {
  package var sampling = Sampling()
  /// Tokens after which nothing follows.
  package var ends: Set<Int> = []

  /// - Throws: FormatError for files that are no JSON and for numbers that mean nothing.
  package init(_ model: Model, _ tokenizer: Tokenizer) throws(FormatError) {
    let advice = try GenerationDefaults.object("generation_config.json", of: model)
    let config = try GenerationDefaults.object("config.json", of: model)
    let text = config?["text_config"]?.object
    for source in [advice, config, text] where ends.isEmpty {
      let value = source?["eos_token_id"] ?? .null
      ends = Set((value.array ?? [value]).compactMap(\.int))
    }
    if let end = tokenizer.endToken { ends.insert(end) }
    guard let advice, advice["do_sample"]?.bool ?? false else {
      sampling.repetitionPenalty = advice?["repetition_penalty"]?.double ?? 1
      return
    }
    // What generation_config leaves out has transformers' values.
    sampling.temperature = advice["temperature"]?.double ?? 1
    sampling.topK = advice["top_k"]?.int ?? 50
    sampling.topP = advice["top_p"]?.double ?? 1
    sampling.minP = advice["min_p"]?.double ?? 0
    sampling.repetitionPenalty = advice["repetition_penalty"]?.double ?? 1
  }

  /// What the model advises, but for what a caller asks for.
  package func sampling(_ options: TextGenerator.Options) -> Sampling {
    var sampling = sampling
    sampling.temperature = options.temperature ?? sampling.temperature
    sampling.topK = options.topK ?? sampling.topK
    sampling.topP = options.topP ?? sampling.topP
    sampling.minP = options.minP ?? sampling.minP
    sampling.repetitionPenalty = options.repetitionPenalty ?? sampling.repetitionPenalty
    sampling.seed = options.seed
    return sampling
  }

  private static func object(_ name: String, of model: Model) throws(FormatError) -> JSONObject? {
    guard let file = model.sideFile(name) else { return nil }
    return try JSON.parse(file.bytes.array, path: "\(model.path) (\(name))").object
  }
}
