"""Cases of models that mix softmax attention with linear attention: Qwen3-Next, Qwen3.5, MiniMax-01."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ingot_tools.reference.family_base import AUTO, Case, Config, Legacy, Shape, Shapes, Sizes, Tensors, common, rope

# The factor is 1 + w, except in the norm of linear attention's output.
DRAWS = {r"linear_attn\.norm": "near one", r"norm\.weight$": "near zero", r"self_attn\.[qk]_proj": "small",
         r"conv1d|in_proj|out_proj|mlp\.": "small"}
# A state's output that is small by chance is made large by its norm, and the rounding with it.
ROUNDING = 3e-6
NEEDS = ("A_log$", "dt_bias$")
QUARTER = {"partial_rotary_factor": 0.25}


def quartered(sizes: Sizes, name: str, **base: int) -> Shape:
    """A shape a quarter of whose heads can be rotated."""
    return replace(sizes.of(name, **base), head_dim=sizes.pick(f"{name}.head_dim", base["head_dim"], 16, 32))


def linear_config(sizes: Sizes, name: str, s: Shape, ratio: int, interval: int, dims: int = 0) -> Config:
    """Full attention in every `interval`-th layer; `ratio` value heads for each key head; `dims` dimensions of each, if any."""
    keys = sizes.pick(f"{name}.keys", 2, 3)
    config = common(s, **rope(1000000.0, **QUARTER)) | {  # type: ignore[arg-type]
        "layer_types": ["linear_attention" if (i + 1) % interval else "full_attention" for i in range(s.layers)],
        "linear_num_key_heads": keys, "linear_num_value_heads": ratio * keys, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": dims or sizes.pick(f"{name}.key_dim", 12, 20, 16),
        "linear_value_head_dim": dims or sizes.pick(f"{name}.value_dim", 20, 16, 12),
    }
    return config


def with_experts(s: Shape, shared: int, **more: Any) -> Config:
    return {"num_experts": s.experts, "num_experts_per_tok": s.top_k, "moe_intermediate_size": s.expert_width,
            "shared_expert_intermediate_size": shared, **more}


def mtp(tensors: Tensors) -> Shapes:
    """A block for the token after next like the model's last full layer."""
    attention = next(name for name in tensors if name.endswith("self_attn.q_norm.weight"))
    layer = attention.removesuffix("self_attn.q_norm.weight")
    hidden = tensors["model.norm.weight"].shape[0]
    out = {"mtp.layers.0." + name.removeprefix(layer): tuple(tensors[name].shape)
           for name in tensors if name.startswith(layer)}
    norms = ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")
    return out | {f"mtp.{norm}.weight": (hidden,) for norm in norms} | {"mtp.fc.weight": (hidden, 2 * hidden)}


def qwen3_next(sizes: Sizes) -> list[Case]:
    plain = quartered(sizes, "qwen3_next", hidden=52, head_dim=24, width=68, layers=3, experts=6, top_k=2,
                      expert_width=20)
    # Longer than the 64 tokens that the reference takes at once.
    long = quartered(sizes, "qwen3_next-long", hidden=60, head_dim=32, width=84, layers=3, experts=5, top_k=3,
                     expert_width=28, vocabulary=263, contexts=1, tokens=70)
    # As all releases and llama.cpp have it: keys as wide as values. Rows of whole blocks of 32.
    even = quartered(sizes, "qwen3_next-even", hidden=96, head_dim=32, width=64, layers=3, experts=4, top_k=2,
                     expert_width=32)

    def case(name: str, s: Shape, ratio: int, interval: int, values: Config, dims: int = 0, shared: int = 36,
             **more: Any) -> Case:
        config = linear_config(sizes, name, s, ratio, interval, dims) | with_experts(s, shared) | values
        legacy = Legacy(omit=("layer_types", "output_router_logits"), extra={"full_attention_interval": interval})
        return Case(name, "qwen3_next", s, config, rotary=s.head_dim // 4, draws=DRAWS, read_by=AUTO, legacy=legacy,
                    rounding=ROUNDING,
                    needs=(*NEEDS, "shared_expert_gate"),
                    differs=({"norm_topk_prob": not values["norm_topk_prob"]},
                             rope(1000000.0, partial_rotary_factor=1.0)), **more)

    return [
        case("qwen3_next-norm", plain, 2, 2, {"norm_topk_prob": True}, dtype="bfloat16", extra=mtp),
        case("qwen3_next-long", long, 3, 3, {"norm_topk_prob": False, "mlp_only_layers": [1]}, dtype="bfloat16"),
        case("qwen3_next-even", even, 2, 2, {"norm_topk_prob": True}, dims=32, shared=64, dtype="bfloat16"),
    ]


def seeing(model_type: str, architecture: str) -> Callable[[Config], Config]:
    """A text config within that of the model that also sees."""
    def wrapped(config: Config) -> Config:
        return {
            "architectures": [architecture], "model_type": model_type, "image_token_id": 3, "video_token_id": 4,
            "vision_start_token_id": 5, "vision_end_token_id": 6,
            "tie_word_embeddings": config["tie_word_embeddings"],
            "text_config": {key: value for key, value in config.items() if key != "architectures"},
            "vision_config": {
                "model_type": model_type, "depth": 1, "hidden_size": 16, "in_channels": 3, "intermediate_size": 24,
                "num_heads": 2, "num_position_embeddings": 16, "out_hidden_size": config["hidden_size"],
                "patch_size": 2, "spatial_merge_size": 2, "temporal_patch_size": 2},
        }
    return wrapped


def mtp_and_vision(tensors: Tensors) -> Shapes:
    return mtp(tensors) | {
        "model.visual.patch_embed.proj.weight": (16, 3, 2, 2, 2), "model.visual.patch_embed.proj.bias": (16,),
        "model.visual.pos_embed.weight": (16, 16), "model.visual.blocks.0.attn.qkv.weight": (48, 16),
        "model.visual.blocks.0.norm1.weight": (16,), "model.visual.blocks.0.norm1.bias": (16,),
    }


def as_released(config: Config) -> Config:
    """Qwen3.5 came with transformers 5: only the interval and keys that change nothing for text are others."""
    out = dict(config)
    pairs = config["head_dim"] // 8
    thirds = [pairs - 2 * (pairs // 3), pairs // 3, pairs // 3]
    out["rope_parameters"] = config["rope_parameters"] | {"mrope_interleaved": True, "mrope_section": thirds}
    return out


def qwen3_5(sizes: Sizes) -> list[Case]:
    dense = quartered(sizes, "qwen3_5", hidden=60, head_dim=24, width=76, layers=3)
    moe = quartered(sizes, "qwen3_5_moe", hidden=52, head_dim=24, layers=3, experts=6, top_k=2, expert_width=20,
                    vocabulary=263)
    # As all releases and llama.cpp have it: keys as wide as values. Rows of whole blocks of 32.
    even = quartered(sizes, "qwen3_5-even", hidden=96, head_dim=32, width=64, layers=3)
    even_moe = quartered(sizes, "qwen3_5_moe-even", hidden=96, head_dim=32, layers=3, experts=4, top_k=2,
                         expert_width=32, vocabulary=263)

    def case(name: str, kind: str, s: Shape, ratio: int, values: Config, dims: int = 0, **more: Any) -> Case:
        config = linear_config(sizes, name, s, ratio, 2, dims) | values
        legacy = Legacy(omit=("layer_types",), respell_rope=as_released, extra={
            "attn_output_gate": True, "full_attention_interval": 2, "mamba_ssm_dtype": "float32",
            "mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": False})
        architecture = ("Qwen3_5Moe" if "moe" in kind else "Qwen3_5") + "ForConditionalGeneration"
        return Case(name, kind + "_text", s, config, dtype="bfloat16",
                    keep_float32=r"A_log$|linear_attn\.norm\.weight$", rotary=s.head_dim // 4, draws=DRAWS,
                    rounding=ROUNDING, extra=mtp_and_vision, layout="qwen3_5",
                    wrap=seeing(kind, architecture), legacy=legacy,
                    read_by=architecture, differs=(rope(1000000.0, partial_rotary_factor=1.0),), **more)

    return [
        case("qwen3_5-dense", "qwen3_5", dense, 3, {"tie_word_embeddings": True}, needs=NEEDS),
        case("qwen3_5_moe-fused", "qwen3_5_moe", moe, 2, with_experts(moe, 36),
             needs=(*NEEDS, "shared_expert_gate")),
        case("qwen3_5-even", "qwen3_5", even, 3, {"tie_word_embeddings": True}, dims=32, needs=NEEDS),
        case("qwen3_5_moe-even", "qwen3_5_moe", even_moe, 2, with_experts(even_moe, 64), dims=32,
             needs=(*NEEDS, "shared_expert_gate")),
    ]


def minimax(sizes: Sizes) -> list[Case]:
    plain = sizes.of("minimax", hidden=44, head_dim=20, layers=3, width=28, experts=5, top_k=2, tokens=40)
    released = sizes.of("minimax-text01", hidden=60, head_dim=16, layers=4, width=36, experts=4, top_k=2,
                        vocabulary=263, tokens=40)
    # The release has its own slopes where the number of heads is no power of two, and half a head is rotated.
    heads = sizes.pick("minimax-text01.heads", 4, 8)
    released = replace(released, heads=heads, kv_heads=2, head_dim=sizes.pick("minimax-text01.head_dim", 16, 24))
    # What llama.cpp computes: one factor on all norms, none on blocks.
    even = replace(sizes.of("minimax-even", hidden=96, layers=4, width=64, experts=4, top_k=2, tokens=40),
                   hidden=96, width=64, heads=4, kv_heads=2, head_dim=32)

    def case(name: str, s: Shape, factors: Config, ropes: Config, **more: Any) -> Case:
        kinds = ["full_attention" if i % 3 == 1 else "linear_attention" for i in range(s.layers)]
        config = common(s, rms_norm_eps=1e-5, num_local_experts=s.experts, num_experts_per_tok=s.top_k,
                        layer_types=kinds, block_size=9) | ropes | factors
        # The decays are buffers of the class, which follow from the config.
        return Case(name, "minimax", s, config, rounding=ROUNDING,
                    differs=tuple({key: 1.0} for key, value in factors.items() if value != 1.0),
                    draws={r"_decay$|slope_rate$": "computed", r"self_attn\.[qk]_proj|experts": "small"},
                    **more)

    def factors(*values: float) -> Config:
        kinds = ("full_attn", "linear_attn", "mlp")
        keys = [f"{kind}_{part}_factor" for kind in kinds for part in ("alpha", "beta")]
        return dict(zip(keys, values, strict=True))

    def half(name: str, s: Shape, values: Config) -> Case:
        # transformers rotates whole heads, or the first pairs of whole heads: with those dimensions elsewhere,
        # and the theta that gives the same frequencies, that is the release's rotation of the first half.
        return case(name, s, values, rope(10000.0 ** 2, "proportional", partial_rotary_factor=0.5), dtype="bfloat16",
                    keep_float32=r"_decay$|slope_rate$", layout="minimax_text_01", rotary=s.head_dim // 2,
                    wrap=text_01, reorder=lambda tensors: half_first(tensors, s.head_dim), readable=False)

    return [
        case("minimax-plain", plain, factors(1.7, 0.8, 1.3, 1.2, 0.9, 1.15), rope(1000000.0), read_by=AUTO,
             dtype="bfloat16", keep_float32=r"_decay$|slope_rate$"),
        half("minimax-text01", released, factors(2.5, 0.7, 2.0, 1.25, 1.5, 1.2)),
        half("minimax-even", even, factors(1.5, 1.0, 1.5, 1.0, 1.5, 1.0)),
    ]


def half_first(tensors: Tensors, head_dim: int) -> Tensors:
    """Rows of q and k: from the first half of all pairs (i, i + d/2) to pairs within the first half of the head."""
    quarter, half = head_dim // 4, head_dim // 2
    order = [*range(quarter), *range(half, half + quarter), *range(quarter, half), *range(half + quarter, head_dim)]
    rows = torch.tensor(order)
    return {
        name: tensor.view(-1, head_dim, tensor.shape[-1])[:, rows].reshape(tensor.shape)
        if re.search(r"\.[qk]_proj\.weight$", name) else tensor
        for name, tensor in tensors.items()}


def text_01(config: Config) -> Config:
    """The same model as MiniMax-Text-01's release spells it."""
    out = {key: value for key, value in config.items()
           if key not in ("rope_parameters", "rope_scaling", "layer_types", "block_size", "partial_rotary_factor")}
    for kind, name in (("full_attn", "full_attention"), ("linear_attn", "linear_attention"), ("mlp", "mlp")):
        for part in ("alpha", "beta"):
            out[f"layernorm_{name}_{part}"] = out.pop(f"{kind}_{part}_factor")
    return out | {
        "architectures": ["MiniMaxText01ForCausalLM"], "model_type": "minimax_text_01", "rope_theta": 10000.0,
        "attn_type_list": [int(kind == "full_attention") for kind in config["layer_types"]],
        "rotary_dim": config["head_dim"] // 2, "postnorm": True, "shared_intermediate_size": 0,
        "shared_moe_mode": "sigmoid",
    }
