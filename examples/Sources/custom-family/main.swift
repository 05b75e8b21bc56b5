// Teaches the library a family that it does not know, and quantizes a model of it: custom-family MODEL OUTPUT TEXT
import Ingot
// What describes models is beneath `Ingot`, and may change from version to version.
import IngotModels
import IngotSystem

/// Acorn: a norm of each query and key head, a dense layer first, then mixtures with a softmax router.
let acorn = Family(
  name: "acorn", modelTypes: ["acorn"], classNames: ["AcornForCausalLM"],
  names: TensorNames.llama.adding(TensorNames.expertsOfMLP),
  config: .init(constants: ["hidden_act": "silu"])
) { config throws(FormatError) in
  // The forward pass has no parallel residual: a config that asks for one is refused.
  try config.require("use_parallel_residual", [false], missing: true)
  let common = try DecoderConfig(config)
  let rotary = try config.rotary(headDim: common.headDim, theta: 10_000)
  let attention = common.attention(rotary: rotary, queryKeyNorm: .perHead)
  let experts = try common.mixture(
    width: try config.positive("moe_intermediate_size"), countKey: "num_experts",
    .init(scoring: .softmax, normalizesWeights: try config.flag("norm_topk_prob", or: false)))
  let dense = try config.integer("first_k_dense_replace", 0...common.layers, or: 0)
  let mlp = dense > 0 ? common.mlp(try config.positive("intermediate_size")) : nil
  let feedForward = common.denseFirst(dense, mlp, experts)
  return try common.blueprint { layer in (attention, feedForward(layer)) }
}
Family.register(acorn)

let (model, output, text) = (CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3])
let checkpoint = try Checkpoint(model)
print(checkpoint.family, "\(checkpoint.layerCount) layers, \(checkpoint.expertCount) experts")
_ = try await Quantization(of: model, to: output).run()
var verification = Verification(of: output, against: model, texts: [text])
(verification.contextLength, verification.maximumContexts) = (64, 4)
let drift = try await verification.run()
print("mean KL divergence", drift.divergence, "experts changed", drift.changedExperts ?? 0)
