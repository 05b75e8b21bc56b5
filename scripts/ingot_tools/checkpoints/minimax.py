"""MiniMax-M1, with lightning attention on most layers, and the text model of M3, with an indexer of blocks of keys."""

from .parts import Published, attention, dense, experts, framed, mlp, norms, query_key_norms

# Gate, up and down, as Mixtral calls them.
MIXTRAL = ("w1", "w3", "w2")


def minimax_m1():
    layers, hidden, heads, head_dim = 80, 6144, 64, 128
    full = [1 if i % 8 == 7 else 0 for i in range(layers)]
    alpha = 3.5565588200778455
    c = {
        "architectures": ["MiniMaxM1ForCausalLM"],
        "attention_dropout": 0.0,
        "attn_type_list": full,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": 9216,
        "layernorm_full_attention_alpha": alpha,
        "layernorm_full_attention_beta": 1.0,
        "layernorm_linear_attention_alpha": alpha,
        "layernorm_linear_attention_beta": 1.0,
        "layernorm_mlp_alpha": alpha,
        "layernorm_mlp_beta": 1.0,
        "max_position_embeddings": 10_240_000,
        "model_type": "minimax_m1",
        "num_attention_heads": heads,
        "num_experts_per_tok": 2,
        "num_hidden_layers": layers,
        "num_key_value_heads": 8,
        "num_local_experts": 32,
        "output_router_logits": False,
        "postnorm": True,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10_000_000,
        "rotary_dim": 64,
        "router_aux_loss_coef": 0.001,
        "router_jitter_noise": 0.0,
        "shared_intermediate_size": 0,
        "shared_moe_mode": "sigmoid",
        "sliding_window": None,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": 200_064,
    }

    def lightning(prefix):
        width = heads * head_dim
        yield from dense(f"{prefix}qkv_proj.weight", 3 * width, hidden)
        yield from dense(f"{prefix}output_gate.weight", width, hidden)
        yield from dense(f"{prefix}out_proj.weight", hidden, width)
        yield from dense(f"{prefix}norm.weight", width)

    def tensors():
        for i in range(layers):
            layer = f"model.layers.{i}."
            yield from norms(layer, hidden)
            if full[i]:
                yield from attention(f"{layer}self_attn.", hidden, heads, c["num_key_value_heads"], head_dim)
            else:
                yield from lightning(f"{layer}self_attn.")
            moe = f"{layer}block_sparse_moe."
            yield from dense(f"{moe}gate.weight", c["num_local_experts"], hidden)
            yield from experts(moe, c["num_local_experts"], hidden, c["intermediate_size"], names=MIXTRAL)

    return Published(
        c, lambda: framed(c["vocab_size"], hidden, tensors()), parameters=456_089_655_296, active=48_403_306_496,
        claims={"total": "456B", "active": "45.9B", "layers": "80", "experts": "32", "activeExperts": "2"})


# Values of M3's indexers, which the published total has in it and the published count of active values has not.
M3_INDEXERS = 57 * (5 * 128 * 6144 + 2 * 128)


def minimax_m3():
    """In BF16. The image encoder, whose tensors no source lists, is left out."""
    layers, hidden, heads, head_dim = 60, 6144, 64, 128
    late = [0, 0, 0] + [1] * (layers - 3)
    c = {
        "dense_intermediate_size": 12_288,
        "head_dim": head_dim,
        "hidden_act": "swigluoai",
        "hidden_size": hidden,
        "intermediate_size": 3072,
        "max_position_embeddings": 1_048_576,
        "model_type": "minimax_m3_vl_text",
        "moe_layer_freq": late,
        "n_shared_experts": 1,
        "num_attention_heads": heads,
        "num_experts_per_tok": 4,
        "num_hidden_layers": layers,
        "num_key_value_heads": 4,
        "num_local_experts": 128,
        "num_mtp_modules": 1,
        "qk_norm_type": "per_head",
        "rms_norm_eps": 1e-06,
        "rope_theta": 5_000_000,
        "rotary_dim": 64,
        "routed_scaling_factor": 2.0,
        "scoring_func": "sigmoid",
        "shared_intermediate_size": 3072,
        "sparse_attention_config": {
            "sparse_attention_freq": late, "sparse_block_size": 128, "sparse_index_dim": 128,
            "sparse_local_block": 1, "sparse_num_index_heads": 4, "sparse_topk_blocks": 16,
        },
        "swiglu_alpha": 1.702,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "use_gemma_norm": True,
        "use_qk_norm": True,
        "use_routing_bias": True,
        "vocab_size": 200_064,
    }
    whole = {
        "architectures": ["MiniMaxM3SparseForConditionalGeneration"],
        "image_token_index": 200_025,
        "model_type": "minimax_m3_vl",
        "text_config": c,
        "tie_word_embeddings": False,
        "video_token_index": 200_026,
    }
    prefix = "language_model.model."

    def tensors():
        for i in range(layers):
            layer = f"{prefix}layers.{i}."
            yield from norms(layer, hidden)
            yield from attention(f"{layer}self_attn.", hidden, heads, c["num_key_value_heads"], head_dim)
            yield from query_key_norms(f"{layer}self_attn.", head_dim)
            if not late[i]:
                yield from mlp(f"{layer}mlp.", hidden, c["dense_intermediate_size"])
                continue
            yield from dense(f"{layer}self_attn.index_q_proj.weight", 4 * 128, hidden)
            yield from dense(f"{layer}self_attn.index_k_proj.weight", 128, hidden)
            yield from dense(f"{layer}self_attn.index_q_norm.weight", 128)
            yield from dense(f"{layer}self_attn.index_k_norm.weight", 128)
            moe, count = f"{layer}block_sparse_moe.", c["num_local_experts"]
            yield from dense(f"{moe}gate.weight", count, hidden, dtype="F32")
            yield from dense(f"{moe}e_score_correction_bias", count, dtype="F32")
            yield from experts(moe, count, hidden, c["intermediate_size"], names=MIXTRAL)
            yield from mlp(f"{moe}shared_experts.", hidden, c["shared_intermediate_size"])

    return Published(
        whole, lambda: framed(c["vocab_size"], hidden, tensors(), prefix, "language_model.lm_head.weight"),
        parameters=426_174_572_928, active=25_738_326_144 + M3_INDEXERS,
        claims={"total": "426B", "active": "26B", "layers": "60", "experts": "128", "activeExperts": "4"})


MODELS = {"minimax-m1": minimax_m1, "minimax-m3": minimax_m3}
