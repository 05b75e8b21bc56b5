import IngotFormats
import IngotSystem
import IngotTensors

/// A checkpoint of one layer and one expert, of zeros: what stands around an input.
struct TinyCheckpoint {
  let path: String
  let config: Scratch
  let weights: Scratch

  init(in name: String, config text: String = "{}") {
    config = Scratch(name + "/config.json")
    config.write(Array(text.utf8))
    weights = Scratch(name + "/model.safetensors")
    path = Scratch.folder + "/" + name
  }

  static func config(_ more: String = "") -> String {
    """
    {"model_type":"minimax_m2","num_hidden_layers":1,"hidden_size":32,"vocab_size":4,"num_attention_heads":4,\
    "head_dim":8,"num_key_value_heads":1,"num_local_experts":1,"num_experts_per_tok":1,"intermediate_size":32,\
    "max_position_embeddings":64,"rms_norm_eps":1e-6,"rope_theta":5000000,"rotary_dim":4,"use_qk_norm":true,\
    "scoring_func":"sigmoid","use_routing_bias":true,"qk_norm_type":"per_layer"\(more)}
    """
  }

  /// Names and shapes, all BF16.
  static let tensors: [(name: String, shape: [Int])] = [
    ("model.embed_tokens.weight", [4, 32]),
    ("model.layers.0.input_layernorm.weight", [32]),
    ("model.layers.0.self_attn.q_proj.weight", [32, 32]),
    ("model.layers.0.self_attn.k_proj.weight", [8, 32]),
    ("model.layers.0.self_attn.v_proj.weight", [8, 32]),
    ("model.layers.0.self_attn.o_proj.weight", [32, 32]),
    ("model.layers.0.self_attn.q_norm.weight", [32]),
    ("model.layers.0.self_attn.k_norm.weight", [8]),
    ("model.layers.0.post_attention_layernorm.weight", [32]),
    ("model.layers.0.block_sparse_moe.gate.weight", [1, 32]),
    ("model.layers.0.block_sparse_moe.e_score_correction_bias", [1]),
    ("model.layers.0.block_sparse_moe.experts.0.w1.weight", [32, 32]),
    ("model.layers.0.block_sparse_moe.experts.0.w3.weight", [32, 32]),
    ("model.layers.0.block_sparse_moe.experts.0.w2.weight", [32, 32]),
    ("model.norm.weight", [32]),
    ("lm_head.weight", [4, 32]),
  ]

  /// A file of zeros.
  static func safeTensors(_ tensors: [(name: String, shape: [Int])]) -> [UInt8] {
    var end = 0
    let entries = tensors.map { name, shape in
      let start = end
      end += 2 * shape.reduce(1, *)
      return "\"\(name)\":{\"dtype\":\"BF16\",\"shape\":\(shape),\"data_offsets\":[\(start),\(end)]}"
    }
    let text = Array("{\(entries.joined(separator: ","))}".utf8)
    return littleEndian(text.count) + text + [UInt8](repeating: 0, count: end)
  }

  static func littleEndian(_ value: Int) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
