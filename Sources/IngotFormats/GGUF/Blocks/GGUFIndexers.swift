import IngotModels
import IngotSystem

/// Indexers, which choose the keys that queries see: keys of a file, and config.json.
struct GGUFIndexers {
  let graph: Family.LlamaCppGraph

  private func key(_ name: String) -> String { "\(graph.architecture).attention.indexer.\(name)" }
  /// Rows of the smallest matrix by which llama.cpp turns an indexer's queries and keys, which changes no score.
  private static let turned = 64
  /// Contexts from this length on are GLM-5.2's, whose files may leave out which layers share a choice.
  private static let longContext = 1_048_576

  /// - Throws: FormatError for indexers that llama.cpp's graph has not.
  func add(_ model: Model, to metadata: inout GGUFMetadata) throws(FormatError) {
    let layers = model.blueprint.layers
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: model.path, expected: "\(expected), as llama.cpp's \(graph.architecture) computes it",
        found: found)
    }
    func set(_ name: String, _ value: Int) { metadata[key(name)] = .uint32(UInt32(clamping: value)) }
    switch graph.indexers {
    case .none: break
    case .tokens(let pairing, let sharesChoices):
      let blocks = layers.compactMap { $0.mixer as? LatentAttention }
      guard let indexer = blocks.first?.indexer else {
        throw wrong("an indexer in the first layer", "none")
      }
      guard blocks.allSatisfy({ $0.indexer == nil || $0.indexer == indexer }),
        sharesChoices || blocks.allSatisfy({ $0.indexer != nil })
      else { throw wrong("equal indexers", "several kinds") }
      guard indexer.dim % GGUFIndexers.turned == 0 else {
        throw wrong("a multiple of \(GGUFIndexers.turned) (index_head_dim)", "\(indexer.dim)")
      }
      guard indexer.rotary.pairing == pairing else {
        throw wrong("\(pairing == .half ? "half-split" : "interleaved") pairs of the indexer", "others")
      }
      set("head_count", indexer.heads)
      set("key_length", indexer.dim)
      set("top_k", indexer.kept)
      if sharesChoices { metadata[key("types")] = .bools(blocks.map { $0.indexer != nil }) }
    case .blocks:
      let blocks = layers.map { ($0.mixer as? GroupedQueryAttention)?.indexer }
      for (layer, block) in zip(layers, blocks) where layer.feedForward.isMixture != (block != nil) {
        throw wrong("an indexer in every mixture and in no other layer", "others (layer_types)")
      }
      guard let indexer = blocks.lazy.compactMap(\.self).first, let attention = model.blueprint.attention
      else { throw wrong("an indexer", "none") }
      guard blocks.allSatisfy({ $0 == nil || $0 == indexer }) else {
        throw wrong("equal indexers", "several kinds")
      }
      guard indexer.heads == attention.keyValueHeads else {
        throw wrong(
          "\(attention.keyValueHeads) heads of the indexer, one for each of keys", "\(indexer.heads)")
      }
      set("head_count", indexer.heads)
      set("key_length", indexer.dim)
      set("top_k", indexer.kept)
      set("block_size", indexer.blockSize)
      set("local_blocks", indexer.localBlocks)
    }
  }

  /// What config.json says of them.
  ///
  /// - Parameter dense: layers before the first mixture.
  func config(_ metadata: GGUFMetadata, layers: Int, dense: Int) throws(FormatError) -> JSONObject {
    func positive(_ name: String) throws(FormatError) -> JSON {
      JSON(try metadata.integer(key(name), 1...Config.limit))
    }
    switch graph.indexers {
    case .none: return [:]
    case .tokens(_, let sharesChoices):
      var config: JSONObject = [
        "index_n_heads": try positive("head_count"), "index_head_dim": try positive("key_length"),
        "index_topk": try positive("top_k"),
      ]
      guard sharesChoices else { return config }
      if let value = metadata[key("types")] {
        guard let values = value.integers, values.count >= layers else {
          throw metadata.error(key("types"), "a flag for each of \(layers) layers")
        }
        config["indexer_types"] = .array(values.prefix(layers).map { $0 != 0 ? "full" : "shared" })
      } else {
        let context = metadata["\(graph.architecture).context_length"]?.integer ?? 0
        let isLong = context >= GGUFIndexers.longContext
        config["index_topk_freq"] = JSON(isLong ? 4 : 1)
        config["index_skip_topk_offset"] = JSON(3)
      }
      return config
    case .blocks:
      return [
        "index_n_heads": try positive("head_count"), "index_head_dim": try positive("key_length"),
        "index_topk_blocks": try positive("top_k"), "index_block_size": try positive("block_size"),
        "index_local_blocks": try positive("local_blocks"),
        "layer_types": .array(
          (0..<layers).map { $0 < dense ? "full_attention" : "minimax_m3_sparse" }),
      ]
    }
  }
}
