"""Qwen3's mixtures of experts, Qwen3-Next and Qwen3.5."""

from .parts import Published, attention, dense, experts, framed, mlp, norms, query_key_norms, values


def qwen3_moe(config, **figures):
    c = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "decoder_sparse_step": 1,
        "head_dim": 128,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "mlp_only_layers": [],
        "model_type": "qwen3_moe",
        "norm_topk_prob": True,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 4,
        "output_router_logits": False,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "router_aux_loss_coef": 0.001,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 151_936,
        **config,
    }
    hidden = c["hidden_size"]

    def layers():
        for i in range(c["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            yield from norms(layer, hidden)
            yield from attention(
                f"{layer}self_attn.", hidden, c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"])
            yield from query_key_norms(f"{layer}self_attn.", c["head_dim"])
            yield from dense(f"{layer}mlp.gate.weight", c["num_experts"], hidden)
            yield from experts(f"{layer}mlp.", c["num_experts"], hidden, c["moe_intermediate_size"])

    return Published(c, lambda: framed(c["vocab_size"], hidden, layers()), **figures)


def full_attention(layer, c):
    """Attention whose queries have a gate of the output beside them."""
    yield from attention(
        f"{layer}self_attn.", c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"],
        gated=True)
    yield from query_key_norms(f"{layer}self_attn.", c["head_dim"])


def shared_expert(layer, c):
    hidden = c["hidden_size"]
    yield from dense(f"{layer}mlp.gate.weight", c["num_experts"], hidden)
    yield from mlp(f"{layer}mlp.shared_expert.", hidden, c["shared_expert_intermediate_size"])
    yield from dense(f"{layer}mlp.shared_expert_gate.weight", 1, hidden)


def delta_net(prefix, c, grouped):
    """A layer of gated DeltaNet: its inputs grouped by key head in two tensors, or in four of their own."""
    hidden = c["hidden_size"]
    values = c["linear_num_value_heads"]
    key = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    value = values * c["linear_value_head_dim"]
    if grouped:
        yield from dense(f"{prefix}in_proj_qkvz.weight", 2 * key + 2 * value, hidden)
        yield from dense(f"{prefix}in_proj_ba.weight", 2 * values, hidden)
    else:
        yield from dense(f"{prefix}in_proj_qkv.weight", 2 * key + value, hidden)
        yield from dense(f"{prefix}in_proj_z.weight", value, hidden)
        yield from dense(f"{prefix}in_proj_b.weight", values, hidden)
        yield from dense(f"{prefix}in_proj_a.weight", values, hidden)
    wide = "BF16" if grouped else "F32"
    yield from dense(f"{prefix}conv1d.weight", 2 * key + value, 1, c["linear_conv_kernel_dim"])
    yield from dense(f"{prefix}A_log", values, dtype=wide)
    yield from dense(f"{prefix}dt_bias", values)
    yield from dense(f"{prefix}norm.weight", c["linear_value_head_dim"], dtype=wide)
    yield from dense(f"{prefix}out_proj.weight", hidden, value)


def prediction(c):
    """One layer that predicts the token after the next one; embedding and head are the model's."""
    hidden = c["hidden_size"]
    yield from dense("mtp.fc.weight", hidden, 2 * hidden)
    for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
        yield from dense(f"mtp.{name}.weight", hidden)
    layer = "mtp.layers.0."
    yield from norms(layer, hidden)
    yield from full_attention(layer, c)
    yield from shared_expert(layer, c)
    yield from experts(f"{layer}mlp.", c["num_experts"], hidden, c["moe_intermediate_size"])


def hybrid_layers(c, prefix, fused):
    """DeltaNet on three layers of four; experts one by one, or all of a layer in two tensors."""
    hidden, width, count = c["hidden_size"], c["moe_intermediate_size"], c["num_experts"]
    for i in range(c["num_hidden_layers"]):
        layer = f"{prefix}layers.{i}."
        yield from norms(layer, hidden)
        if (i + 1) % c["full_attention_interval"] == 0:
            yield from full_attention(layer, c)
        else:
            yield from delta_net(f"{layer}linear_attn.", c, grouped=not fused)
        yield from shared_expert(layer, c)
        if fused:
            yield from dense(f"{layer}mlp.experts.gate_up_proj", count, 2 * width, hidden)
            yield from dense(f"{layer}mlp.experts.down_proj", count, hidden, width)
        else:
            yield from experts(f"{layer}mlp.", count, hidden, width)


HYBRID = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "full_attention_interval": 4,
    "head_dim": 256,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
    "moe_intermediate_size": 512,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "shared_expert_intermediate_size": 512,
    "tie_word_embeddings": False,
    "use_cache": True,
}


def qwen3_next_80b():
    c = {
        **HYBRID,
        "architectures": ["Qwen3NextForCausalLM"],
        "decoder_sparse_step": 1,
        "intermediate_size": 5632,
        "max_position_embeddings": 32_768,
        "mlp_only_layers": [],
        "model_type": "qwen3_next",
        "norm_topk_prob": True,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "num_hidden_layers": 48,
        "partial_rotary_factor": 0.25,
        "rope_scaling": None,
        "rope_theta": 10_000_000,
        "torch_dtype": "bfloat16",
        "vocab_size": 151_936,
    }

    def tensors():
        yield from framed(c["vocab_size"], c["hidden_size"], hybrid_layers(c, "model.", fused=False))
        yield from prediction(c)

    return Published(
        c, tensors, parameters=79_674_391_296, active=3_874_929_408, prediction=1_650_471_424,
        elements_in_files=81_324_862_720,
        claims={"total": "80B", "active": "3B", "layers": "48", "experts": "512", "activeExperts": "10"})


VISION = {
    "deepstack_visual_indexes": [],
    "depth": 27,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 1152,
    "in_channels": 3,
    "initializer_range": 0.02,
    "intermediate_size": 4304,
    "model_type": "qwen3_5_moe",
    "num_heads": 16,
    "num_position_embeddings": 2304,
    "out_hidden_size": 2048,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


def vision(v, prefix="model.visual."):
    hidden, width = v["hidden_size"], v["intermediate_size"]

    def linear(name, rows, columns):
        yield from dense(f"{prefix}{name}.weight", rows, columns)
        yield from dense(f"{prefix}{name}.bias", rows)

    def norm(name):
        yield from dense(f"{prefix}{name}.weight", hidden)
        yield from dense(f"{prefix}{name}.bias", hidden)

    patch = (v["in_channels"], v["temporal_patch_size"], v["patch_size"], v["patch_size"])
    yield from dense(f"{prefix}patch_embed.proj.weight", hidden, *patch)
    yield from dense(f"{prefix}patch_embed.proj.bias", hidden)
    yield from dense(f"{prefix}pos_embed.weight", v["num_position_embeddings"], hidden)
    for i in range(v["depth"]):
        yield from norm(f"blocks.{i}.norm1")
        yield from norm(f"blocks.{i}.norm2")
        yield from linear(f"blocks.{i}.attn.qkv", 3 * hidden, hidden)
        yield from linear(f"blocks.{i}.attn.proj", hidden, hidden)
        yield from linear(f"blocks.{i}.mlp.linear_fc1", width, hidden)
        yield from linear(f"blocks.{i}.mlp.linear_fc2", hidden, width)
    merged = hidden * v["spatial_merge_size"] ** 2
    yield from norm("merger.norm")
    yield from linear("merger.linear_fc1", merged, merged)
    yield from linear("merger.linear_fc2", v["out_hidden_size"], merged)


def qwen35_35b():
    c = {
        **HYBRID,
        "attn_output_gate": True,
        "dtype": "bfloat16",
        "layer_types": [
            "full_attention" if (i + 1) % 4 == 0 else "linear_attention" for i in range(40)],
        "mamba_ssm_dtype": "float32",
        "max_position_embeddings": 32_768,
        "model_type": "qwen3_5_moe_text",
        "mtp_num_hidden_layers": 1,
        "num_experts": 256,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 40,
        "rope_parameters": {
            "mrope_interleaved": True, "mrope_section": [11, 11, 10], "partial_rotary_factor": 0.25,
            "rope_theta": 10_000_000, "rope_type": "default",
        },
        "vocab_size": 248_320,
    }
    whole = {
        "architectures": ["Qwen3_5MoeForConditionalGeneration"],
        "image_token_id": 248_056,
        "model_type": "qwen3_5_moe",
        "text_config": c,
        "tie_word_embeddings": False,
        "video_token_id": 248_057,
        "vision_config": VISION,
        "vision_end_token_id": 248_054,
        "vision_start_token_id": 248_053,
    }

    def tensors():
        prefix = "model.language_model."
        yield from framed(c["vocab_size"], c["hidden_size"], hybrid_layers(c, prefix, fused=True), prefix)
        yield from prediction(c)
        yield from vision(VISION)

    return Published(
        whole, tensors, parameters=34_660_610_688, active=3_454_988_928, prediction=844_640_768,
        tensors_in_files=1_811, others=values(vision(VISION)),
        claims={"total": "35B", "active": "3B", "layers": "40", "experts": "256", "activeExperts": "8"})


MODELS = {
    "qwen3-30b-a3b": lambda: qwen3_moe(
        {
            "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40_960,
            "moe_intermediate_size": 768, "num_attention_heads": 32, "num_hidden_layers": 48,
        },
        parameters=30_532_122_624, active=3_353_032_704, tensors_in_files=18_867,
        claims={"total": "30.5B", "active": "3.3B", "layers": "48", "experts": "128", "activeExperts": "8"}),
    "qwen3-235b-a22b": lambda: qwen3_moe(
        {
            "hidden_size": 4096, "intermediate_size": 12_288, "max_position_embeddings": 40_960,
            "moe_intermediate_size": 1536, "num_attention_heads": 64, "num_hidden_layers": 94,
        },
        parameters=235_093_634_560, active=22_190_763_520,
        claims={"total": "235B", "active": "22B", "layers": "94", "experts": "128", "activeExperts": "8"}),
    "qwen3-next-80b-a3b": qwen3_next_80b,
    "qwen3.5-35b-a3b": qwen35_35b,
}
