"""gpt-oss 20b and 120b: experts in MXFP4, all of a layer in one tensor, gate and up rows by turns."""

from .parts import Published, attention, dense, framed, norms


def gpt_oss(layers, count, **figures):
    c = {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "experts_per_token": 4,
        "head_dim": 64,
        "hidden_act": "silu",
        "hidden_size": 2880,
        "initializer_range": 0.02,
        "intermediate_size": 2880,
        "layer_types": [("sliding_attention", "full_attention")[i % 2] for i in range(layers)],
        "max_position_embeddings": 131_072,
        "model_type": "gpt_oss",
        "num_attention_heads": 64,
        "num_experts_per_tok": 4,
        "num_hidden_layers": layers,
        "num_key_value_heads": 8,
        "num_local_experts": count,
        "output_router_logits": False,
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "original_max_position_embeddings": 4096,
            "rope_type": "yarn", "truncate": False,
        },
        "rope_theta": 150_000,
        "router_aux_loss_coef": 0.001,
        "sliding_window": 128,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": 201_088,
    }
    hidden, heads = c["hidden_size"], c["num_attention_heads"]

    def mxfp4(name, rows, columns):
        """Blocks of 32 values in 16 bytes, each with an exponent."""
        yield f"{name}_blocks", "U8", [count, rows, columns // 32, 16]
        yield f"{name}_scales", "U8", [count, rows, columns // 32]
        yield from dense(f"{name}_bias", count, rows)

    def tensors():
        for i in range(layers):
            layer = f"model.layers.{i}."
            yield from norms(layer, hidden)
            yield from attention(
                f"{layer}self_attn.", hidden, heads, c["num_key_value_heads"], c["head_dim"], bias="qkvo")
            yield from dense(f"{layer}self_attn.sinks", heads)
            yield from dense(f"{layer}mlp.router.weight", count, hidden)
            yield from dense(f"{layer}mlp.router.bias", count)
            yield from mxfp4(f"{layer}mlp.experts.gate_up_proj", 2 * c["intermediate_size"], hidden)
            yield from mxfp4(f"{layer}mlp.experts.down_proj", hidden, c["intermediate_size"])

    return Published(c, lambda: framed(c["vocab_size"], hidden, tensors()), **figures)


MODELS = {
    "gpt-oss-20b": lambda: gpt_oss(
        24, 32, parameters=20_914_757_184, active=4_187_440_704, tensors_in_files=459,
        claims={"total": "21B", "active": "3.6B", "layers": "24", "experts": "32", "activeExperts": "4"}),
    "gpt-oss-120b": lambda: gpt_oss(
        36, 128, parameters=116_829_156_672, active=5_711_982_912,
        claims={"total": "117B", "active": "5.1B", "layers": "36", "experts": "128", "activeExperts": "4"}),
}
