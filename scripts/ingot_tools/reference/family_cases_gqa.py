"""Cases of models with grouped-query attention and ordinary experts: llama to MiniMax-M2."""

from dataclasses import replace
from typing import Any

from ingot_tools.reference.family_base import AUTO, DEFAULT_ROPE, SWITCHED_OFF, Case, Config, Legacy, Shape, Sizes, common, rope, square


def llama(sizes: Sizes) -> list[Case]:
    plain = sizes.of("llama", hidden=96, width=64)
    small = sizes.of("llama-small", hidden=48)
    odd = sizes.of("llama-odd", hidden=72, heads=9, head_dim=20, width=100, vocabulary=263)
    equal = square(sizes.of("llama-mha", hidden=48, kv_heads=6))
    llama3 = rope(10000.0, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=32)
    yarn = rope(10000.0, "yarn", factor=4.0, original_max_position_embeddings=512)
    linear = rope(10000.0, "linear", factor=2.5)
    return [
        # The oldest files name neither theta nor biases: the class's defaults count.
        Case("llama-plain", "llama", plain, common(plain, rms_norm_eps=1e-5),
             legacy=Legacy(omit=("rope_theta", "rope_scaling", "attention_bias", "mlp_bias"))),
        Case("llama-llama3-tied", "llama", small,
             common(small, tie_word_embeddings=True, rms_norm_eps=1e-3) | llama3,
             differs=(DEFAULT_ROPE, {"rms_norm_eps": 1e-6})),
        Case("llama-bias", "llama", odd, common(odd, 500000.0, attention_bias=True, mlp_bias=True),
             shard_bytes=200_000),
        Case("llama-linear", "llama", small, common(small) | linear, dtype="bfloat16",
             legacy=Legacy(rope_type_key="type"), differs=(DEFAULT_ROPE,)),
        Case("llama-yarn", "llama", small, common(small) | yarn, differs=(DEFAULT_ROPE,)),
        Case("llama-mha", "llama", equal, common(equal, 250000.0),
             legacy=Legacy(omit=("head_dim", "num_key_value_heads"))),
        Case("llama-fused", "llama", plain, common(plain, rms_norm_eps=1e-5), dtype="bfloat16",
             layout="phi3", weights="llama-plain"),
    ]


def mistral(sizes: Sizes) -> list[Case]:
    window = sizes.of("mistral", tokens=40)
    full = sizes.of("mistral-odd", hidden=76, head_dim=20, width=100, vocabulary=269)
    return [
        Case("mistral-window", "mistral", window,
             common(window, 1000000.0, sliding_window=window.window),
             differs=({"sliding_window": None}, {"sliding_window": window.window + 1})),
        Case("mistral-full", "mistral", full, common(full, sliding_window=None), dtype="bfloat16"),
    ]


def qwen2(sizes: Sizes) -> list[Case]:
    # The class has no head_dim: it is hidden / heads.
    tied = square(sizes.of("qwen2", hidden=96))
    mixed = square(sizes.of("qwen2-odd", hidden=60, width=100, layers=3, vocabulary=263, tokens=40))
    window = {"use_sliding_window": True, "sliding_window": mixed.window, "max_window_layers": 1}

    def config(s: Shape, **more: Any) -> Config:
        c = common(s, 1000000.0, **more)
        del c["head_dim"]
        return c

    return [
        Case("qwen2-tied", "qwen2", tied, config(tied, tie_word_embeddings=True), dtype="bfloat16",
             legacy=Legacy(omit=("layer_types",), extra=SWITCHED_OFF)),
        Case("qwen2-window", "qwen2", mixed, config(mixed, **window),
             legacy=Legacy(omit=("layer_types",)),
             differs=({"use_sliding_window": False}, {"max_window_layers": 0})),
    ]


def qwen3(sizes: Sizes) -> list[Case]:
    tied = sizes.of("qwen3")
    odd = sizes.of("qwen3-odd", hidden=56, heads=9, head_dim=20, width=100, vocabulary=271)
    mixed = sizes.of("qwen3-mixed", hidden=64, head_dim=16, width=64, layers=3, tokens=40)
    kinds = ["full_attention" if i % 3 == 1 else "sliding_attention" for i in range(mixed.layers)]
    swapped = [kinds[1] if kind == kinds[0] else kinds[0] for kind in kinds]
    yarn = rope(1000000.0, "yarn", factor=4.0, original_max_position_embeddings=128, beta_fast=8.0,
                beta_slow=2.0, attention_factor=1.25)
    return [
        Case("qwen3-tied", "qwen3", tied, common(tied, 1000000.0, tie_word_embeddings=True),
             legacy=Legacy(omit=("layer_types",), extra=SWITCHED_OFF)),
        Case("qwen3-untied", "qwen3", odd, common(odd, 1000000.0), dtype="bfloat16",
             legacy=Legacy(omit=("layer_types",))),
        Case("qwen3-mixed-yarn", "qwen3", mixed,
             common(mixed, attention_bias=True, use_sliding_window=True, sliding_window=mixed.window,
                    max_window_layers=mixed.layers, layer_types=kinds) | yarn,
             legacy=Legacy(rope_type_key="type"),
             differs=({"layer_types": None}, rope(1000000.0), {"layer_types": swapped})),
    ]


def smollm3(sizes: Sizes) -> list[Case]:
    # The class has no head_dim of its own, but takes one.
    plain = square(sizes.of("smollm3", hidden=96, layers=5))
    odd = sizes.of("smollm3-odd", hidden=60, heads=9, head_dim=20, width=100, layers=3, vocabulary=263)
    mixed = sizes.of("smollm3-window", hidden=72, head_dim=16, width=64, layers=3, tokens=40)
    rotates = [i % 2 for i in range(odd.layers)]
    window = {"use_sliding_window": True, "sliding_window": mixed.window, "no_rope_layer_interval": 2}
    yarn = rope(5000000.0, "yarn", factor=4.0, original_max_position_embeddings=128)

    def omit(*more: str) -> Legacy:
        return Legacy(omit=("layer_types", *more))

    def config(s: Shape, theta: float, **more: Any) -> Config:
        return common(s, theta, pad_token_id=0, **more)

    return [
        # Old files may leave out what the class has by default.
        Case("smollm3-plain", "smollm3", plain, config(plain, 2000000.0, tie_word_embeddings=True),
             legacy=omit("head_dim", "rope_theta", "no_rope_layers", "no_rope_layer_interval", "tie_word_embeddings"),
             differs=({"no_rope_layer_interval": 5}, rope(10000.0))),
        Case("smollm3-bias", "smollm3", odd,
             config(odd, 10000.0, attention_bias=True, mlp_bias=True, no_rope_layers=rotates) | yarn,
             dtype="bfloat16", legacy=omit("no_rope_layer_interval"),
             differs=({"no_rope_layers": [1 - i for i in rotates]}, rope(5000000.0))),
        Case("smollm3-window", "smollm3", mixed, config(mixed, 5000000.0, **window), legacy=omit("no_rope_layers"),
             differs=({"use_sliding_window": False}, {"no_rope_layer_interval": 3},
                      {"sliding_window": mixed.window + 1})),
    ]


def mixtral(sizes: Sizes) -> list[Case]:
    plain = sizes.of("mixtral", hidden=96, head_dim=16, width=32, experts=5, top_k=2, expert_width=32)
    odd = sizes.of("mixtral-odd", hidden=60, head_dim=20, experts=5, top_k=2, expert_width=44,
                   vocabulary=263, tokens=40)

    def config(s: Shape, **more: Any) -> Config:
        return common(s, 1000000.0, rms_norm_eps=1e-5, num_local_experts=s.experts,
                      num_experts_per_tok=s.top_k, **more) | {"intermediate_size": s.expert_width}

    def stored(name: str, layout: str, shards: int = 0) -> Case:
        return Case(name, "mixtral", plain, config(plain), dtype="bfloat16", layout=layout,
                    read_by=AUTO if layout == "fused" else "", weights="mixtral-plain", shard_bytes=shards)

    return [
        stored("mixtral-plain", "", shards=200_000),
        stored("mixtral-fused", "fused"),
        stored("mixtral-transposed", "transposed"),
        Case("mixtral-window", "mixtral", odd, config(odd, sliding_window=odd.window),
             differs=({"sliding_window": None}, {"num_experts_per_tok": 1})),
    ]


def qwen3_moe(sizes: Sizes) -> list[Case]:
    plain = sizes.of("qwen3_moe", hidden=96, head_dim=32, heads=3, kv_heads=1, experts=7, top_k=3,
                     expert_width=32)
    odd = sizes.of("qwen3_moe-odd", hidden=60, head_dim=20, width=100, experts=5, top_k=2,
                   expert_width=44, vocabulary=263)
    step = sizes.of("qwen3_moe-step", hidden=64, head_dim=16, layers=4, experts=5, top_k=2,
                    expert_width=40)
    blocks = sizes.of("qwen3_moe-fp8", hidden=144, experts=4, top_k=2, expert_width=40, vocabulary=257)
    renamed = Legacy(rename={"num_local_experts": "num_experts"},
                     extra=SWITCHED_OFF | {"max_window_layers": 1})

    def config(s: Shape, norm: bool = True, **more: Any) -> Config:
        return common(s, 1000000.0, num_experts=s.experts, num_experts_per_tok=s.top_k,
                      moe_intermediate_size=s.expert_width, norm_topk_prob=norm, **more)

    def stored(name: str, layout: str) -> Case:
        return Case(name, "qwen3_moe", plain, config(plain), dtype="bfloat16", layout=layout,
                    read_by=AUTO if layout == "fused" else "", weights="qwen3_moe-norm", legacy=renamed,
                    differs=({"norm_topk_prob": False},))

    return [
        stored("qwen3_moe-norm", ""),
        stored("qwen3_moe-fused", "fused"),
        stored("qwen3_moe-transposed", "transposed"),
        # The class default of norm_topk_prob is false, and old files may leave it out.
        Case("qwen3_moe-raw", "qwen3_moe", odd, config(odd, False, mlp_only_layers=[1]),
             legacy=replace(renamed, omit=("norm_topk_prob",)), differs=({"norm_topk_prob": True},)),
        Case("qwen3_moe-step", "qwen3_moe", step,
             config(step, decoder_sparse_step=2, attention_bias=True), dtype="bfloat16",
             shard_bytes=100_000, legacy=renamed),
        Case("qwen3_moe-fp8", "qwen3_moe", blocks, config(blocks), dtype="bfloat16", code="fp8-bf16",
             legacy=renamed),
    ]


def minimax_m2(sizes: Sizes) -> list[Case]:
    plain = sizes.of("minimax_m2", head_dim=16, experts=4, top_k=2, expert_width=64)
    odd = sizes.of("minimax_m2-odd", hidden=60, head_dim=20, experts=7, top_k=3, expert_width=36,
                   vocabulary=263)
    release: Config = {
        "scoring_func": "sigmoid", "use_routing_bias": True, "use_qk_norm": True, "qk_norm_type": "per_layer",
        "shared_intermediate_size": 0, "num_mtp_modules": 3, "mtp_transformer_layers": 1, "use_mtp": True,
    }

    def case(name: str, s: Shape, rotary: int, spelled: Config, **more: Any) -> Case:
        factor: Config = {"partial_rotary_factor": rotary / s.head_dim}
        config = common(s, num_local_experts=s.experts, num_experts_per_tok=s.top_k,
                        intermediate_size=s.expert_width)
        config |= rope(5000000.0, **(factor if not spelled else {})) | spelled
        legacy = Legacy(omit=("partial_rotary_factor",), extra=release | {
            "rotary_dim": rotary, "attn_type_list": [1] * s.layers})
        return Case(name, "minimax_m2", s, config, rotary=rotary, legacy=legacy,
                    differs=(rope(5000000.0, partial_rotary_factor=1.0) | {"rotary_dim": None},), **more)

    def half(s: Shape) -> int:
        return s.head_dim // 4 * 2

    return [
        case("minimax_m2-plain", plain, half(plain), {"rotary_dim": half(plain)}),
        # As the release: router and its bias stay F32. No rotary_dim: only the factor says it.
        case("minimax_m2-bf16", odd, half(odd) + 2, {}, dtype="bfloat16",
             keep_float32=r"block_sparse_moe\.(gate\.weight|e_score_correction_bias)$"),
    ]
