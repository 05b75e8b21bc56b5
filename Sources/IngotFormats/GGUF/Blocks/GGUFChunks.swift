import IngotModels
import IngotSystem

/// Attention in chunks beside layers without rotation, whose sizes llama.cpp's graph has fixed.
struct GGUFChunks {
  let chunks: Family.LlamaCppGraph.Chunks
  let architecture: String

  init?(_ graph: Family.LlamaCppGraph) {
    guard let chunks = graph.chunks else { return nil }
    self.chunks = chunks
    architecture = graph.architecture
  }

  /// - Throws: FormatError for attention that the graph computes otherwise within the context that the model announces.
  func require(_ model: Model) throws(FormatError) {
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: model.path, expected: "\(expected), as llama.cpp's \(architecture) computes it", found: found)
    }
    let blueprint = model.blueprint
    // A context within both chunks shows no difference.
    func isSeen(_ size: Int?) -> Bool {
      size != chunks.size && blueprint.contextLength > min(size ?? Int.max, chunks.size)
    }
    let isNormed = blueprint.experts.count != chunks.plainExperts
    for (index, layer) in blueprint.layers.enumerated() {
      guard let block = layer.mixer as? GroupedQueryAttention else { continue }
      let rotates = (index + 1) % chunks.period != 0
      guard (block.rotary != nil) == rotates else {
        throw wrong(
          "rotation in all but every layer \(chunks.period)",
          "layer \(index) \(rotates ? "without" : "with") it")
      }
      guard rotates else {
        guard
          block.temperature == chunks.temperature || blueprint.contextLength < Int(chunks.temperature.floor)
        else {
          throw wrong(
            "attn_scale \(chunks.temperature.scale) and floor_scale \(Int(chunks.temperature.floor))",
            block.temperature.map { "\($0.scale) and \(Int($0.floor))" } ?? "no attn_temperature_tuning")
        }
        continue
      }
      guard !isSeen(block.chunk) else {
        throw wrong("attention_chunk_size \(chunks.size)", block.chunk.map { "\($0)" } ?? "none")
      }
      guard (block.queryKeyNorm == .perHeadPlain) == isNormed else {
        throw wrong(
          "use_qk_norm \(isNormed) in a model of \(blueprint.experts.count) experts", "\(!isNormed)")
      }
    }
  }

  /// What config.json says of it.
  func config(_ metadata: GGUFMetadata) -> JSONObject {
    [
      "attention_chunk_size": JSON(chunks.size), "attn_scale": JSON(chunks.temperature.scale),
      "attn_temperature_tuning": true, "floor_scale": JSON(Int(chunks.temperature.floor)),
      "no_rope_layer_interval": JSON(chunks.period),
      "use_qk_norm": .bool(metadata["\(architecture).expert_count"]?.integer != chunks.plainExperts),
    ]
  }
}
