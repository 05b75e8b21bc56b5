"""Cases of models with multi-head latent attention: DeepSeek V2 and V3, Kimi K2, GLM 4.7 Flash."""

from dataclasses import dataclass, replace
from typing import Any

from ingot_tools.reference.family_base import AUTO, DEFAULT_ROPE, Case, Config, Legacy, Shape, Shapes, Sizes, Tensors, common, rope
from ingot_tools.reference.family_weights import next_token_layer

BIAS = r"e_score_correction_bias$"
# Scores that are not too far apart, or rounding grows.
SMALL = {r"self_attn\.(q_(b_)?|kv_b_)proj": "small"}


@dataclass(frozen=True)
class Latent:
    """Sizes of latent attention; `query` 0 = queries have no latent."""

    query: int
    key_value: int
    nope: int
    rotary: int
    value: int


def latent(sizes: Sizes, name: str, query: int, key_value: int = 36) -> Latent:
    def pick(what: str, *choices: int) -> int:
        return sizes.pick(f"{name}.{what}", *choices)

    return Latent(query and pick("query", query, query + 8, query - 6),
                  pick("key_value", key_value, key_value + 4, key_value - 8),
                  pick("nope", 20, 14, 32), pick("rotary", 12, 16, 20), pick("value", 28, 16, 36))


# Rows of whole blocks of 32, and what llama.cpp computes: norms of latents by one eps, groups by their two best.
EVEN = Latent(query=64, key_value=64, nope=32, rotary=16, value=32)
EVEN_SHAPE: dict[str, int] = {"hidden": 96, "width": 64, "expert_width": 32, "top_k": 2}


def even(sizes: Sizes, name: str, groups: int, each: int, **base: int) -> Shape:
    """A shape of whole blocks of 32, whatever the seed."""
    shape = grouped(sizes, name, groups, each, **EVEN_SHAPE, **base)
    return replace(shape, hidden=96, width=64, expert_width=32)


def grouped(sizes: Sizes, name: str, groups: int, each: int, **base: int) -> Shape:
    """A shape whose experts are so many groups; heads are not shared in latent attention."""
    heads = sizes.pick(f"{name}.heads", 5, 3, 6)
    shape = sizes.of(name, heads=heads, kv_heads=heads, experts=groups * each, **base)
    return replace(shape, experts=groups * sizes.pick(f"{name}.each", each, each + 1), top_k=base["top_k"])


def yarn(theta: float, factor: float = 40.0, **more: Any) -> Config:
    """All three bands within a dozen dimensions."""
    return rope(theta, "yarn", factor=factor, original_max_position_embeddings=512,
                **{"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0} | more)


def common_mla(s: Shape, a: Latent, theta: float = 10000.0, **more: Any) -> Config:
    config = common(s, theta)
    del config["head_dim"]
    return config | {
        "q_lora_rank": a.query or None, "kv_lora_rank": a.key_value, "qk_nope_head_dim": a.nope,
        "qk_rope_head_dim": a.rotary, "v_head_dim": a.value, "n_routed_experts": s.experts,
        "num_experts_per_tok": s.top_k, "moe_intermediate_size": s.expert_width, "first_k_dense_replace": 1,
        **more,
    }


# What DeepSeek's files say besides.
DEEPSEEK_SAYS: Config = {
    "aux_loss_alpha": 0.001, "ep_size": 1, "moe_layer_freq": 1, "pretraining_tp": 1, "seq_aux": True,
    "scoring_func": "sigmoid", "topk_method": "noaux_tc",
}
DEEPSEEK = Legacy(rope_type_key="type", extra=DEEPSEEK_SAYS,
                  omit=("head_dim", "qk_head_dim", "rope_interleave", "output_router_logits"))


def deepseek_v3(sizes: Sizes) -> list[Case]:
    plain = grouped(sizes, "deepseek_v3", 4, 2, hidden=52, width=68, layers=2, expert_width=20, top_k=3)
    odd = grouped(sizes, "deepseek_v3-lite", 3, 4, hidden=76, width=92, layers=2, expert_width=28, top_k=4,
                  vocabulary=263, tokens=40)
    later = grouped(sizes, "deepseek_v3-mtp", 4, 2, hidden=60, width=72, layers=2, expert_width=28, top_k=2,
                    vocabulary=151)
    blocks = grouped(sizes, "deepseek_v3-fp8", 4, 2, hidden=144, width=136, layers=2, expert_width=40, top_k=3)
    whole = even(sizes, "deepseek_v3-even", 4, 3, layers=2)
    normal, lite = latent(sizes, "deepseek_v3", 44), latent(sizes, "deepseek_v3-lite", 0)
    wide = latent(sizes, "deepseek_v3-fp8", 132, 122)

    def config(s: Shape, a: Latent, groups: int, kept: int, **more: Any) -> Config:
        return common_mla(s, a, n_group=groups, topk_group=kept, n_shared_experts=1, norm_topk_prob=True,
                          routed_scaling_factor=2.5, num_nextn_predict_layers=0, **more)

    def case(name: str, s: Shape, a: Latent, values: Config, **more: Any) -> Case:
        return Case(name, "deepseek_v3", s, values, rotary=a.rotary, needs=(BIAS,), draws=SMALL,
                    **{"legacy": DEEPSEEK} | more)

    low = {"dtype": "bfloat16", "keep_float32": BIAS}
    return [
        case("deepseek_v3-plain", plain, normal, config(plain, normal, 4, 2) | yarn(10000.0), read_by=AUTO,
             differs=({"n_group": 1, "topk_group": 1}, {"norm_topk_prob": False}, {"routed_scaling_factor": 1.0},
                      {"rope_interleave": False}, yarn(10000.0, mscale=0.5, mscale_all_dim=0.5), DEFAULT_ROPE)),
        # cos and sin have a factor too; the latent norms keep their own eps.
        case("deepseek_v3-lite", odd, lite,
             config(odd, lite, 3, 2) | yarn(50000.0, 16.0, mscale=1.0, mscale_all_dim=0.6) | {
                 "norm_topk_prob": False, "n_shared_experts": 2, "rms_norm_eps": 1e-3,
                 "routed_scaling_factor": 1.25}, **low, read_by=AUTO,
             differs=({"n_group": 1, "topk_group": 1}, {"norm_topk_prob": True}, {"rms_norm_eps": 1e-6},
                      yarn(50000.0, 16.0, mscale=0.6, mscale_all_dim=0.6))),
        # Weights of a half-split order, no scaling, and a layer for the token after next.
        case("deepseek_v3-mtp", later, normal,
             config(later, normal, 4, 3) | {"rope_interleave": False, "num_nextn_predict_layers": 1}, **low,
             extra=next_token_layer("embed_tokens.weight", "shared_head.head.weight"), read_by=AUTO,
             shard_bytes=200_000, legacy=replace(DEEPSEEK, omit=("head_dim", "qk_head_dim")),
             differs=({"rope_interleave": True},)),
        case("deepseek_v3-even", whole, EVEN,
             config(whole, EVEN, 4, 2) | yarn(10000.0, mscale=1.0, mscale_all_dim=0.6), **low, read_by=AUTO,
             differs=({"n_group": 1, "topk_group": 1}, yarn(10000.0, mscale=0.6, mscale_all_dim=0.6))),
        case("deepseek_v3-fp8", blocks, wide, config(blocks, wide, 4, 2) | yarn(10000.0), **low, code="fp8"),
        case("deepseek_v3-e8m0", blocks, wide, config(blocks, wide, 4, 2) | yarn(10000.0), **low, code="fp8-e8m0"),
    ]


def deepseek_v2(sizes: Sizes) -> list[Case]:
    groups = grouped(sizes, "deepseek_v2", 4, 3, hidden=60, width=76, layers=2, expert_width=24, top_k=4)
    greedy = grouped(sizes, "deepseek_v2-lite", 1, 7, hidden=65, width=84, layers=3, expert_width=20, top_k=3,
                     vocabulary=263, tokens=40)
    whole = replace(even(sizes, "deepseek_v2-even", 1, 6, layers=2), heads=4, kv_heads=4)
    normal, lite = latent(sizes, "deepseek_v2", 40), latent(sizes, "deepseek_v2-lite", 0)
    legacy = replace(DEEPSEEK, omit=("head_dim", "qk_head_dim", "mlp_bias", "output_router_logits"))

    def case(name: str, s: Shape, a: Latent, method: str, values: Config, **more: Any) -> Case:
        # The class has no sigmoid, no bias, and never divides by the sum.
        says = {"scoring_func": "softmax", "topk_method": method, "norm_topk_prob": False}
        # The class wants whole multiples of the head count.
        s = replace(s, hidden=s.hidden // s.heads * s.heads)
        config = common_mla(s, a, **says) | values  # type: ignore[arg-type]
        return Case(name, "deepseek_v2", s, config, rotary=a.rotary, draws=SMALL, read_by=AUTO,
                    legacy=replace(legacy, extra=DEEPSEEK_SAYS | says), **more)

    return [
        case("deepseek_v2-groups", groups, normal, "group_limited_greedy",
             yarn(10000.0, mscale=0.707, mscale_all_dim=0.707) | {
                 "n_group": 4, "topk_group": 2, "n_shared_experts": 1, "routed_scaling_factor": 4.0},
             dtype="bfloat16",
             differs=({"n_group": 1, "topk_group": 1}, {"routed_scaling_factor": 1.0}, {"topk_method": "greedy"},
                      yarn(10000.0, mscale=0.5, mscale_all_dim=0.5))),
        case("deepseek_v2-lite", greedy, lite, "greedy",
             yarn(10000.0, mscale=0.707, mscale_all_dim=1.0) | {
                 "n_group": 1, "topk_group": 1, "n_shared_experts": 2, "routed_scaling_factor": 1.0},
             dtype="bfloat16", differs=(yarn(10000.0), {"num_experts_per_tok": greedy.top_k - 1})),
        case("deepseek_v2-even", whole, replace(EVEN, query=0), "greedy",
             yarn(10000.0, mscale=0.707, mscale_all_dim=0.707) | {
                 "n_group": 1, "topk_group": 1, "n_shared_experts": 2, "routed_scaling_factor": 1.0},
             dtype="bfloat16", differs=({"num_experts_per_tok": whole.top_k - 1},)),
    ]


def kimi_k2(sizes: Sizes) -> list[Case]:
    plain = grouped(sizes, "kimi_k2", 1, 7, hidden=68, width=76, layers=2, expert_width=28, top_k=3)
    packed = grouped(sizes, "kimi_k2-int4", 1, 5, hidden=96, width=76, layers=2, expert_width=64, top_k=2)
    # Groups of 32 in a row.
    packed = replace(packed, hidden=packed.hidden // 32 * 32, expert_width=packed.expert_width // 32 * 32)
    normal = latent(sizes, "kimi_k2", 44)

    def case(name: str, s: Shape, **more: Any) -> Case:
        config = common_mla(s, normal, rms_norm_eps=1e-5, n_group=1, topk_group=1, n_shared_experts=1,
                            norm_topk_prob=True, routed_scaling_factor=2.827, num_nextn_predict_layers=0)
        config |= yarn(50000.0, 32.0, beta_fast=1.0)
        return Case(name, "deepseek_v3", s, config, dtype="bfloat16", keep_float32=f"{BIAS}|inv_freq$",
                    rotary=normal.rotary, draws=SMALL, needs=(BIAS,), written_type="kimi_k2",
                    architecture="DeepseekV3ForCausalLM", legacy=DEEPSEEK, **more)

    def frequencies(tensors: Tensors) -> Shapes:
        # K2-Instruct's files have them, and nothing reads them.
        return {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": (normal.rotary // 2,)
                for layer in range(plain.layers)}

    return [
        case("kimi_k2-plain", plain, extra=frequencies, differs=(yarn(50000.0, 32.0),)),
        case("kimi_k2-int4", packed, code="int4", weights="kimi_k2-int4"),
        # K2.5: the same model beside a vision tower.
        case("kimi_k25-int4", packed, code="int4", weights="kimi_k2-int4", wrap=kimi_k25, layout="kimi_k25",
             extra=kimi_k25_vision),
    ]


def kimi_k25(config: Config) -> Config:
    """A text config within that of the model that also sees; quantization_config is in both."""
    whole = {key: config[key] for key in ("bos_token_id", "eos_token_id", "tie_word_embeddings")}
    return whole | {
        "architectures": ["KimiK25ForConditionalGeneration"], "dtype": "bfloat16", "model_type": "kimi_k25",
        "media_placeholder_token_id": 5, "quantization_config": config["quantization_config"],
        "text_config": config, "vision_config": {"model_type": "kimi_k25", "vt_hidden_size": 24},
    }


def kimi_k25_vision(tensors: Tensors) -> Shapes:
    return {
        "vision_tower.patch_embed.proj.weight": (24, 3, 2, 2),
        "vision_tower.encoder.blocks.0.wqkv.weight": (72, 24), "vision_tower.encoder.blocks.0.wqkv.bias": (72,),
        "mm_projector.pre_norm.weight": (24,), "mm_projector.proj.0.weight": (40, 24),
    }


def glm4_moe_lite(sizes: Sizes) -> list[Case]:
    s = grouped(sizes, "glm4_moe_lite", 1, 6, hidden=60, width=76, layers=3, expert_width=20, top_k=2,
                vocabulary=193)
    whole = even(sizes, "glm4_moe_lite-even", 1, 6, layers=3)
    # 4.7 Flash stores embedding and head again with its last layer.
    last = next_token_layer("embed_tokens.weight", "shared_head.head.weight")

    def case(name: str, s: Shape, a: Latent, layers: int, **more: Any) -> Case:
        config = common_mla(s, a, 1000000.0, rms_norm_eps=1e-5, n_group=1, topk_group=1, n_shared_experts=1,
                            norm_topk_prob=True, routed_scaling_factor=1.8, num_nextn_predict_layers=layers)
        return Case(name, "glm4_moe_lite", s, config, dtype="bfloat16", keep_float32=BIAS,
                    rotary=a.rotary, draws=SMALL, needs=(BIAS,), read_by=AUTO,
                    legacy=Legacy(omit=("qk_head_dim", "rope_interleave", "mlp_layer_types", "output_router_logits"),
                                  extra={"topk_method": "noaux_tc", "partial_rotary_factor": 1.0}),
                    differs=({"rope_interleave": False}, {"routed_scaling_factor": 1.0}), **more)

    return [case("glm4_moe_lite-mtp", s, latent(sizes, "glm4_moe_lite", 44), 1, extra=last),
            case("glm4_moe_lite-even", whole, EVEN, 0)]
