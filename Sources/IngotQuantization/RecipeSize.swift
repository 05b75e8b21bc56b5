import IngotModels
import IngotSystem
import IngotTensors

extension Recipe {
  /// Bits per weight that this recipe gives a MiniMax-M2, for lists in which no model is named; nil when it has rules
  /// for single experts or asks for what no tensor of M2 fits.
  ///
  /// Planned for a model of one expert a layer, whose tensors count as often as there are experts: 62 layers of 256
  /// would be 47,000 tensors for each line of the list.
  public func bitsPerWeightOfMiniMaxM2() -> Double? {
    guard rules.allSatisfy({ $0.experts == nil }), let model = try? Recipe.miniMaxM2(experts: 1),
      let plan = try? plan(for: model)
    else { return nil }
    var bits = 0
    var weights = 0
    for tensor in model.tensors {
      guard let bytes = plan.assignments[tensor.role]?.encoding.bytes(tensor.shape) else { return nil }
      let times = tensor.role.expert != nil || Mixture.perExpertRows.contains(tensor.role.kind) ? 256 : 1
      bits += 8 * bytes * times
      weights += tensor.count * times
    }
    return Double(bits) / Double(weights)
  }

  /// A model with MiniMax-M2's shapes and no data, stored as it is published.
  private static func miniMaxM2(experts: Int) throws(FormatError) -> Model {
    let config = """
      {"model_type": "minimax_m2", "hidden_size": 3072, "num_hidden_layers": 62, "vocab_size": 200064,
       "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "rotary_dim": 64, "rope_theta": 5000000,
       "num_local_experts": \(experts), "num_experts_per_tok": 1, "intermediate_size": 1536, "rms_norm_eps": 1e-6,
       "scoring_func": "sigmoid", "use_routing_bias": true, "use_qk_norm": true, "qk_norm_type": "per_layer",
       "max_position_embeddings": 196608}
      """
    let family = Family.miniMaxM2
    let blueprint = try family.blueprint(Config(Array(config.utf8), path: "MiniMax-M2's shapes"))
    let fp8 = BlockScaled(code: .f8e4m3, scale: .f32, blockRows: 128, blockColumns: 128)!
    var tensors: [Tensor] = []
    try blueprint.forEachTensor { role, spec in
      let encoding: Encoding =
        if Mixture.perExpertRows.contains(role.kind) {
          .dense(.f32)
        } else if blueprint.isExact(role) || role.layer == nil {
          .dense(.bf16)
        } else {
          .blockScaled(fp8)
        }
      let name = family.name(of: role)
      tensors.append(
        Tensor(name: name, role: role, shape: spec.shape, encoding: encoding, path: name) {
          _ throws(FormatError) in
          throw FormatError(path: name, expected: "a model", found: "its shapes only")
        })
    }
    return try Model(
      family: family, blueprint: blueprint, tensors: tensors, sideFiles: [],
      path: "MiniMax-M2's shapes", format: "", weightFiles: [])
  }
}
