"""GLM-4.5-Air and GLM-4.6: grouped-query attention with biases, and DeepSeek-V3's mixture."""

from .deepseek import prediction_ends
from .parts import Published, attention, dense, experts, framed, mlp, norms, query_key_norms


def glm(config, copies, **figures):
    """copies: whether the layer for multi-token prediction holds copies of embedding and head."""
    c = {
        "architectures": ["Glm4MoeForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "head_dim": 128,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "model_type": "glm4_moe",
        "n_group": 1,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_attention_heads": 96,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 8,
        "num_nextn_predict_layers": 1,
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "topk_group": 1,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": 151_552,
        **config,
    }
    hidden = c["hidden_size"]

    def one(i):
        layer = f"model.layers.{i}."
        yield from norms(layer, hidden)
        yield from attention(
            f"{layer}self_attn.", hidden, c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"],
            bias="qkv")
        if c["use_qk_norm"]:
            yield from query_key_norms(f"{layer}self_attn.", c["head_dim"])
        if i < c["first_k_dense_replace"]:
            yield from mlp(f"{layer}mlp.", hidden, c["intermediate_size"])
            return
        width, count = c["moe_intermediate_size"], c["n_routed_experts"]
        yield from dense(f"{layer}mlp.gate.weight", count, hidden)
        yield from dense(f"{layer}mlp.gate.e_score_correction_bias", count, dtype="F32")
        yield from experts(f"{layer}mlp.", count, hidden, width)
        yield from mlp(f"{layer}mlp.shared_experts.", hidden, width * c["n_shared_experts"])

    def tensors():
        layers = c["num_hidden_layers"]
        yield from framed(c["vocab_size"], hidden, (t for i in range(layers) for t in one(i)))
        yield from one(layers)
        yield from prediction_ends(c, copies=copies)

    return Published(c, tensors, **figures)


# Values of the layer for multi-token prediction are added up here; no source gives them.
def prediction(attention_and_norms, count, hidden, width, copies=0):
    return attention_and_norms + count * (hidden + 1) + (count + 1) * 3 * hidden * width \
        + 2 * hidden * hidden + 3 * hidden + copies


def glm_46():
    q, kv, hidden = 96 * 128, 8 * 128, 5120
    around = 2 * hidden * (q + kv) + q + 2 * kv + 2 * 128 + 2 * hidden
    return glm(
        {
            "first_k_dense_replace": 3, "hidden_size": hidden, "intermediate_size": 12_288,
            "max_position_embeddings": 202_752, "moe_intermediate_size": 1536, "n_routed_experts": 160,
            "num_hidden_layers": 92, "rope_theta": 1_000_000, "routed_scaling_factor": 2.5, "use_qk_norm": True,
        },
        copies=False, parameters=352_797_829_024, active=33_632_266_144,
        prediction=prediction(around, 160, hidden, 1536),
        claims={"total": "355B", "active": "32B", "layers": "92", "experts": "160", "activeExperts": "8"})


def glm_45_air():
    q, kv, hidden = 96 * 128, 8 * 128, 4096
    around = 2 * hidden * (q + kv) + q + 2 * kv + 2 * hidden
    return glm(
        {
            "first_k_dense_replace": 1, "hidden_size": hidden, "intermediate_size": 10_944,
            "max_position_embeddings": 131_072, "moe_intermediate_size": 1408, "n_routed_experts": 128,
            "num_hidden_layers": 46, "rope_theta": 10_000, "routed_scaling_factor": 1.0, "use_qk_norm": False,
        },
        copies=True, parameters=106_852_251_264, active=13_424_129_664,
        prediction=prediction(around, 128, hidden, 1408, copies=2 * 151_552 * hidden),
        claims={"total": "106B", "active": "12B", "layers": "46", "experts": "128", "activeExperts": "8"})


MODELS = {"glm-4.5-air": glm_45_air, "glm-4.6": glm_46}
