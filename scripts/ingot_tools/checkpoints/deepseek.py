"""DeepSeek-V3 and V3.2, and Kimi-K2, which has the same architecture."""

from .parts import Published, dense, experts, fp8, framed, mlp, norms, packed_int4


def latent_attention(prefix, c, weight, norm_dtype):
    """Queries and key-values through low-rank latents."""
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    query_rank, latent = c["q_lora_rank"], c["kv_lora_rank"]
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    yield from weight(f"{prefix}q_a_proj.weight", query_rank, hidden)
    yield from dense(f"{prefix}q_a_layernorm.weight", query_rank, dtype=norm_dtype)
    yield from weight(f"{prefix}q_b_proj.weight", heads * (nope + rope), query_rank)
    yield from weight(f"{prefix}kv_a_proj_with_mqa.weight", latent + rope, hidden)
    yield from dense(f"{prefix}kv_a_layernorm.weight", latent, dtype=norm_dtype)
    yield from weight(f"{prefix}kv_b_proj.weight", heads * (nope + value), latent)
    yield from weight(f"{prefix}o_proj.weight", hidden, heads * value)


def indexer(prefix, c):
    """What chooses the keys that a query sees."""
    heads, dim = c["index_n_heads"], c["index_head_dim"]
    yield from fp8(f"{prefix}wq_b.weight", heads * dim, c["q_lora_rank"])
    yield from fp8(f"{prefix}wk.weight", dim, c["hidden_size"])
    yield from dense(f"{prefix}k_norm.weight", dim, dtype="F32")
    yield from dense(f"{prefix}k_norm.bias", dim, dtype="F32")
    yield from dense(f"{prefix}weights_proj.weight", heads, c["hidden_size"])


def layer_tensors(c, i, weight, expert_weight, norm_dtype, frequencies):
    layer = f"model.layers.{i}."
    hidden = c["hidden_size"]
    yield from norms(layer, hidden, norm_dtype)
    yield from latent_attention(f"{layer}self_attn.", c, weight, norm_dtype)
    if "index_n_heads" in c:
        yield from indexer(f"{layer}self_attn.indexer.", c)
    if frequencies:
        yield from dense(f"{layer}self_attn.rotary_emb.inv_freq", frequencies, dtype="F32")
    if i < c["first_k_dense_replace"]:
        yield from mlp(f"{layer}mlp.", hidden, c["intermediate_size"], weight)
        return
    width, count = c["moe_intermediate_size"], c["n_routed_experts"]
    yield from dense(f"{layer}mlp.gate.weight", count, hidden)
    yield from dense(f"{layer}mlp.gate.e_score_correction_bias", count, dtype="F32")
    yield from experts(f"{layer}mlp.", count, hidden, width, expert_weight)
    yield from mlp(f"{layer}mlp.shared_experts.", hidden, width * c["n_shared_experts"], weight)


def prediction_ends(c, norm_dtype="BF16", copies=True):
    """What stands around the layer after the last one, which predicts one token more: copies of embedding and head may be
    among it."""
    layer = f"model.layers.{c['num_hidden_layers']}."
    hidden, vocabulary = c["hidden_size"], c["vocab_size"]
    yield from dense(f"{layer}enorm.weight", hidden, dtype=norm_dtype)
    yield from dense(f"{layer}hnorm.weight", hidden, dtype=norm_dtype)
    yield from dense(f"{layer}eh_proj.weight", hidden, 2 * hidden)
    yield from dense(f"{layer}shared_head.norm.weight", hidden, dtype=norm_dtype)
    if copies:
        yield from dense(f"{layer}embed_tokens.weight", vocabulary, hidden)
        yield from dense(f"{layer}shared_head.head.weight", vocabulary, hidden)


def deepseek(config, weight=fp8, expert_weight=fp8, norm_dtype="BF16", frequencies=0, **figures):
    c = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "first_k_dense_replace": 3,
        "hidden_act": "silu",
        "hidden_size": 7168,
        "initializer_range": 0.02,
        "intermediate_size": 18_432,
        "kv_lora_rank": 512,
        "max_position_embeddings": 163_840,
        "model_type": "deepseek_v3",
        "moe_intermediate_size": 2048,
        "moe_layer_freq": 1,
        "n_group": 8,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_attention_heads": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 61,
        "num_key_value_heads": 128,
        "num_nextn_predict_layers": 1,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "quantization_config": {
            "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128],
        },
        "rms_norm_eps": 1e-06,
        "rope_scaling": {
            "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 4096, "type": "yarn",
        },
        "rope_theta": 10_000,
        "routed_scaling_factor": 2.5,
        "scoring_func": "sigmoid",
        "tie_word_embeddings": False,
        "topk_group": 4,
        "topk_method": "noaux_tc",
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "v_head_dim": 128,
        "vocab_size": 129_280,
        **config,
    }

    def tensors():
        one = lambda i: layer_tensors(c, i, weight, expert_weight, norm_dtype, frequencies)
        layers = (t for i in range(c["num_hidden_layers"]) for t in one(i))
        yield from framed(c["vocab_size"], c["hidden_size"], layers, norm_dtype=norm_dtype)
        if c["num_nextn_predict_layers"]:
            yield from one(c["num_hidden_layers"])
            yield from prediction_ends(c, norm_dtype)

    return Published(c, tensors, **figures)


def deepseek_v3():
    return deepseek(
        {}, parameters=671_026_419_200, active=37_552_297_472, prediction=13_463_426_304,
        tensors_in_files=91_991, elements_in_files=684_531_386_000,
        claims={"total": "671B", "active": "37B", "layers": "61", "experts": "256", "activeExperts": "8"})


# Of one layer of V3.2, which is V3 otherwise.
INDEXER = 13_959_424


def deepseek_v32():
    quantization = {
        "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "scale_fmt": "ue8m0",
        "weight_block_size": [128, 128],
    }
    return deepseek(
        {
            "architectures": ["DeepseekV32ForCausalLM"], "index_head_dim": 128, "index_n_heads": 64,
            "index_topk": 2048, "model_type": "deepseek_v32", "quantization_config": quantization,
        },
        norm_dtype="F32", parameters=671_026_419_200 + 61 * INDEXER, active=37_552_297_472 + 61 * INDEXER,
        prediction=13_463_426_304 + INDEXER, tensors_in_files=92_425, elements_in_files=685_396_921_376,
        claims={"total": "671B", "active": "37B", "layers": "61", "experts": "256", "activeExperts": "8"})


def kimi_k2(config, factor, beta_fast, **others):
    return deepseek(
        {
            "architectures": ["DeepseekV3ForCausalLM"],
            "first_k_dense_replace": 1,
            "model_type": "kimi_k2",
            "n_group": 1,
            "n_routed_experts": 384,
            "num_attention_heads": 64,
            "num_key_value_heads": 64,
            "num_nextn_predict_layers": 0,
            "rope_scaling": {
                "beta_fast": beta_fast, "beta_slow": 1, "factor": factor, "mscale": 1.0, "mscale_all_dim": 1.0,
                "original_max_position_embeddings": 4096, "type": "yarn",
            },
            "rope_theta": 50_000,
            "routed_scaling_factor": 2.827,
            "topk_group": 1,
            "vocab_size": 163_840,
            **config,
        },
        parameters=1_026_408_232_448, active=32_861_500_928,
        claims={"total": "1T", "active": "32B", "layers": "61", "experts": "384", "activeExperts": "8"}, **others)


def kimi_k2_instruct():
    return kimi_k2({"max_position_embeddings": 131_072}, 32, 1, frequencies=56, tensors_in_files=139_644)


def kimi_k2_thinking():
    """Routed experts are int4 in groups of 32, all else BF16: as Kimi-K2.5's text model is stored."""
    quantization = {
        "config_groups": {
            "group_0": {
                "input_activations": None,
                "output_activations": None,
                "targets": ["Linear"],
                "weights": {
                    "actorder": None, "block_structure": None, "dynamic": False, "group_size": 32, "num_bits": 4,
                    "observer": "minmax", "observer_kwargs": {}, "strategy": "group", "symmetric": True,
                    "type": "int",
                },
            },
        },
        "format": "pack-quantized",
        "ignore": [
            "lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
            r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
        ],
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
    }
    return kimi_k2(
        {"max_position_embeddings": 262_144, "quantization_config": quantization}, 64, 1,
        weight=dense, expert_weight=packed_int4)


MODELS = {
    "deepseek-v3": deepseek_v3,
    "deepseek-v3.2": deepseek_v32,
    "kimi-k2": kimi_k2_instruct,
    "kimi-k2-thinking": kimi_k2_thinking,
}
