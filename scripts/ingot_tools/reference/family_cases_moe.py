"""Cases of models with grouped-query attention and routers of their own: GLM 4.5, gpt-oss, Qwen2-MoE and others."""

from dataclasses import replace
from typing import Any

from ingot_tools.reference.family_base import AUTO, SWITCHED_OFF, Case, Config, Legacy, Shape, Shapes, Sizes, Tensors, common, rope, square
from ingot_tools.reference.family_weights import next_token_layer

BIAS = r"e_score_correction_bias$"


def glm4_moe(sizes: Sizes) -> list[Case]:
    plain = sizes.of("glm4_moe", hidden=52, head_dim=20, width=68, experts=6, top_k=2, expert_width=20)
    air = sizes.of("glm4_moe-air", hidden=76, head_dim=28, width=92, experts=5, top_k=3, expert_width=20,
                   vocabulary=263, tokens=40)

    # Rows of whole blocks of 32.
    even = replace(sizes.of("glm4_moe-even", hidden=96, head_dim=32, width=64, experts=6, top_k=2, expert_width=32),
                   hidden=96, head_dim=32, width=64, expert_width=32)

    def case(name: str, s: Shape, values: Config, **more: Any) -> Case:
        half = {"partial_rotary_factor": 0.5}
        config = common(s, **rope(1000000.0, **half)) | {  # type: ignore[arg-type]
            "rms_norm_eps": 1e-5, "attention_bias": True, "n_routed_experts": s.experts, "n_shared_experts": 1,
            "num_experts_per_tok": s.top_k, "moe_intermediate_size": s.expert_width, "first_k_dense_replace": 1,
            "n_group": 1, "topk_group": 1, "norm_topk_prob": True, "num_nextn_predict_layers": 1, **values}
        return Case(name, "glm4_moe", s, config, rotary=s.head_dim // 2, needs=(BIAS,), read_by=AUTO,
                    differs=(rope(1000000.0, partial_rotary_factor=1.0), {"norm_topk_prob": False}),
                    legacy=Legacy(omit=("output_router_logits",)), **more)

    return [
        case("glm4_moe-norm", plain, {"use_qk_norm": True, "routed_scaling_factor": 2.5},
             dtype="bfloat16", keep_float32=BIAS, extra=next_token_layer()),
        case("glm4_moe-air", air, {"use_qk_norm": False, "routed_scaling_factor": 1.0}, dtype="bfloat16",
             keep_float32=BIAS, extra=next_token_layer("embed_tokens.weight", "shared_head.head.weight")),
        case("glm4_moe-even", even, {"use_qk_norm": True, "routed_scaling_factor": 2.5, "n_shared_experts": 2},
             dtype="bfloat16", keep_float32=BIAS, extra=next_token_layer()),
    ]


def gpt_oss(sizes: Sizes) -> list[Case]:
    plain = sizes.of("gpt_oss", hidden=60, head_dim=20, width=44, layers=3, experts=5, top_k=2, tokens=40)
    packed = sizes.of("gpt_oss-mxfp4", hidden=96, head_dim=16, width=64, experts=4, top_k=3, vocabulary=263)
    # Blocks of 32 in a row.
    packed = replace(packed, hidden=packed.hidden // 32 * 32, width=packed.width // 32 * 32)
    yarn: Config = {"factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                    "original_max_position_embeddings": 512}

    # Blocks of 32, and what llama.cpp computes: YaRN with rounded bounds, and the releases' limit.
    even = replace(sizes.of("gpt_oss-even", hidden=96, head_dim=32, width=64, experts=4, top_k=2, tokens=40),
                   hidden=96, head_dim=32, width=64)

    def case(name: str, s: Shape, limit: float, *differs: Config, truncate: bool = False, **more: Any) -> Case:
        own = yarn | {"truncate": truncate}
        config = common(s, **rope(150000.0, "yarn", **own)) | {
            "rms_norm_eps": 1e-5, "num_local_experts": s.experts, "num_experts_per_tok": s.top_k,
            "sliding_window": s.window, "swiglu_limit": limit, "max_position_embeddings": 16384}
        legacy = Legacy(omit=("swiglu_alpha", "output_router_logits"),
                        extra={"experts_per_token": s.top_k, "initial_context_length": 512})
        # The experts' matrices are [in, out].
        return Case(name, "gpt_oss", s, config, dtype="bfloat16", legacy=legacy, read_by=AUTO,
                    draws={r"experts\.(gate_up|down)_proj$": "transposed", "sinks$": "unit",
                           r"\.[qk]_proj\.weight": "small"},
                    needs=("sinks$", r"router\.bias$", r"down_proj_bias$", r"o_proj\.bias$"),
                    differs=(rope(150000.0, "yarn", **yarn | {"truncate": not truncate}), {"sliding_window": s.window + 1},
                             {"layer_types": ["full_attention"] * s.layers}, *differs), **more)

    return [
        # Most gates are beyond a limit as small as this.
        case("gpt_oss-plain", plain, 0.75, {"swiglu_limit": 7.0}),
        case("gpt_oss-mxfp4", packed, 7.0, code="mxfp4"),
        case("gpt_oss-even", even, 7.0, truncate=True),
    ]


def squared(s: Shape, theta: float = 10000.0, **more: Any) -> Config:
    """The config of a class without head_dim: it is hidden / heads."""
    config = common(s, theta, **more)
    del config["head_dim"]
    return config


def qwen2_moe(sizes: Sizes) -> list[Case]:
    plain = square(sizes.of("qwen2_moe", hidden=60, width=84, experts=6, top_k=3, expert_width=20))
    mixed = square(sizes.of("qwen2_moe-mixed", hidden=72, width=100, layers=3, experts=5, top_k=2, expert_width=28,
                            vocabulary=263))
    # Rows of whole blocks of 32.
    even = square(sizes.of("qwen2_moe-even", hidden=96, width=64, experts=4, top_k=2, expert_width=32))

    def case(name: str, s: Shape, shared: int, norm: bool, values: Config, **more: Any) -> Case:
        config = squared(s, 1000000.0) | {
            "num_experts": s.experts, "num_experts_per_tok": s.top_k, "moe_intermediate_size": s.expert_width,
            "shared_expert_intermediate_size": shared, "norm_topk_prob": norm} | values
        return Case(name, "qwen2_moe", s, config, read_by=AUTO, needs=(r"shared_expert_gate", r"k_proj\.bias$"),
                    legacy=Legacy(omit=("layer_types", "qkv_bias"), extra=SWITCHED_OFF),
                    differs=({"norm_topk_prob": not norm},), **more)

    return [
        case("qwen2_moe-raw", plain, sizes.pick("qwen2_moe.shared", 44, 36, 60), False, {}),
        case("qwen2_moe-norm", mixed, sizes.pick("qwen2_moe-mixed.shared", 52, 40, 28), True,
             {"mlp_only_layers": [1]}, dtype="bfloat16"),
        case("qwen2_moe-even", even, 64, False, {}, dtype="bfloat16"),
    ]


def olmoe(sizes: Sizes) -> list[Case]:
    raw = square(sizes.of("olmoe", hidden=54, kv_heads=6, width=28, experts=7, top_k=3))
    norm = square(sizes.of("olmoe-norm", hidden=84, width=36, experts=5, top_k=2, vocabulary=263, tokens=40))
    # Rows of whole blocks of 32.
    even = square(sizes.of("olmoe-even", hidden=96, kv_heads=6, width=32, experts=4, top_k=2))

    def case(name: str, s: Shape, divides: bool, **more: Any) -> Case:
        config = squared(s, 10000.0, rms_norm_eps=1e-5, pad_token_id=1) | {
            "num_experts": s.experts, "num_experts_per_tok": s.top_k, "norm_topk_prob": divides}
        return Case(name, "olmoe", s, config, read_by=AUTO, differs=({"norm_topk_prob": not divides},), **more)

    return [case("olmoe-raw", raw, False), case("olmoe-norm", norm, True, dtype="bfloat16"),
            case("olmoe-even", even, False, dtype="bfloat16")]


def phimoe(sizes: Sizes) -> list[Case]:
    plain = square(sizes.of("phimoe", hidden=60, width=28, experts=6, top_k=2, vocabulary=263, tokens=40))
    scaled = square(sizes.of("phimoe-longrope", hidden=72, width=20, experts=5, top_k=2))

    def case(name: str, s: Shape, ropes: Config, **more: Any) -> Case:
        # Always two experts. The jitter decides in inference too which other scores count as equal.
        config = squared(s, rms_norm_eps=1e-5, attention_bias=True, lm_head_bias=True, num_local_experts=s.experts,
                         num_experts_per_tok=2, router_jitter_noise=0.3, input_jitter_noise=0.01) | ropes
        return Case(name, "phimoe", s, config, read_by=AUTO, draws={r"\.[qk]_proj\.weight": "small"},
                    differs=({"router_jitter_noise": 0.01}, *more.pop("differs", ())),
                    needs=(r"layernorm\.bias$", r"lm_head\.bias$", r"model\.norm\.bias$"), **more)

    half = scaled.head_dim // 2
    # Contexts are shorter than the original length: the short factors count.
    factors: Config = {
        "short_factor": [1 + 0.25 * i for i in range(half)], "long_factor": [2 + 1.5 * i for i in range(half)],
        "short_mscale": 1.125, "long_mscale": 1.25, "original_max_position_embeddings": 128}
    return [
        case("phimoe-plain", plain, rope(1000000.0), dtype="bfloat16"),
        case("phimoe-longrope", scaled, rope(10000.0, "longrope", factor=32.0, **factors),
             legacy=Legacy(rope_type_key="type", extra={"original_max_position_embeddings": 128}),
             differs=(rope(10000.0),)),
    ]


def granitemoe(sizes: Sizes) -> list[Case]:
    tied = square(sizes.of("granitemoe", hidden=60, width=28, experts=6, top_k=3))
    plain = square(sizes.of("granitemoe-untied", hidden=72, width=20, experts=5, top_k=2, vocabulary=263))
    # Rows of whole blocks of 32.
    even = square(sizes.of("granitemoe-even", hidden=96, width=32, experts=4, top_k=2, vocabulary=263))

    def case(name: str, s: Shape, multipliers: Config, **more: Any) -> Case:
        config = squared(s, 10000.0, num_local_experts=s.experts, num_experts_per_tok=s.top_k) | multipliers
        return Case(name, "granitemoe", s, config, read_by=AUTO, differs=tuple(
            {key: 1.0} for key in multipliers if key.endswith(("multiplier", "scaling"))), **more)

    return [
        case("granitemoe-tied", tied, {
            "embedding_multiplier": 6.0, "residual_multiplier": 0.4, "attention_multiplier": 0.2,
            "logits_scaling": 3.0, "tie_word_embeddings": True}),
        case("granitemoe-untied", plain, {
            "embedding_multiplier": 2.0, "residual_multiplier": 0.7, "attention_multiplier": 0.35,
            "logits_scaling": 0.5}, dtype="bfloat16"),
        case("granitemoe-even", even, {
            "embedding_multiplier": 3.0, "residual_multiplier": 0.6, "attention_multiplier": 0.3,
            "logits_scaling": 2.0, "tie_word_embeddings": True}, dtype="bfloat16"),
    ]


def llama4(sizes: Sizes) -> list[Case]:
    scout = sizes.of("llama4-scout", hidden=60, head_dim=20, width=28, layers=4, experts=5, top_k=1,
                     vocabulary=263, tokens=40)
    other = sizes.of("llama4-maverick", hidden=44, head_dim=16, width=24, layers=4, experts=4, top_k=1, tokens=40)
    # llama.cpp's chunks and temperature are the release's, beyond these contexts.
    even = replace(sizes.of("llama4-even", hidden=96, layers=4, width=64, experts=4, top_k=1, tokens=40),
                   hidden=96, head_dim=32, width=64, heads=6, kv_heads=3)
    llama3 = rope(500000.0, "llama3", factor=16.0, low_freq_factor=1.0, high_freq_factor=1.0,
                  original_max_position_embeddings=32)

    def case(name: str, s: Shape, dense: int, values: Config, omit: tuple[str, ...], **more: Any) -> Case:
        # The longest context is five chunks and five steps of the temperature.
        config = common(s, rms_norm_eps=1e-5, num_local_experts=s.experts, num_experts_per_tok=1,
                        intermediate_size_mlp=dense, attention_chunk_size=9, floor_scale=8, attn_scale=0.3) | values
        return Case(name, "llama4_text", s, config, draws={r"experts\.(gate_up|down)_proj$": "transposed"},
                    legacy=Legacy(omit=("layer_types", "output_router_logits", *omit),
                                  extra={"no_rope_layers": []}),
                    **{"differs": ({"attention_chunk_size": 10}, {"attn_temperature_tuning": False},
                                   {"floor_scale": 16}, {"use_qk_norm": not values["use_qk_norm"]})} | more)

    return [
        case("llama4-scout", scout, 76, {"use_qk_norm": True, **llama3}, (), dtype="bfloat16", wrap=llama4_seeing,
             layout="llama4", extra=llama4_vision, read_by="Llama4ForConditionalGeneration"),
        case("llama4-maverick", other, 68, {"use_qk_norm": False, "interleave_moe_layer_step": 2,
                                            **rope(500000.0)}, ("moe_layers",), read_by=AUTO),
        case("llama4-even", even, 64, {
            "use_qk_norm": True, "interleave_moe_layer_step": 2, "attention_chunk_size": 8192, "floor_scale": 8192,
            "attn_scale": 0.1, **llama3}, ("moe_layers",), dtype="bfloat16", read_by=AUTO,
             differs=({"use_qk_norm": False}, rope(500000.0))),
    ]


def llama4_seeing(config: Config) -> Config:
    """A text config within that of the model that also sees."""
    return {
        "architectures": ["Llama4ForConditionalGeneration"], "dtype": "bfloat16", "model_type": "llama4",
        "boi_token_index": 200080, "eoi_token_index": 200081, "image_token_index": 200092,
        "tie_word_embeddings": False,
        "text_config": {key: value for key, value in config.items() if key != "architectures"},
        "vision_config": {
            "model_type": "llama4_vision_model", "hidden_size": 16, "intermediate_size": 64, "image_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 2, "num_channels": 3,
            "projector_input_dim": 16, "projector_output_dim": 16, "vision_output_dim": 16},
    }


def llama4_vision(tensors: Tensors) -> Shapes:
    hidden = tensors["model.norm.weight"].shape[0]
    return {
        "vision_model.patch_embedding.linear.weight": (16, 12), "vision_model.class_embedding": (16,),
        "multi_modal_projector.linear_1.weight": (hidden, 16),
    }
