"""Cases of models whose attention sees chosen keys only: DeepSeek V3.2, GLM 5, MiniMax-M3."""

from dataclasses import replace
from typing import Any

from ingot_tools.reference.family_base import AUTO, Case, Config, Legacy, Shape, Shapes, Sizes, Tensors, common, rope
from ingot_tools.reference.family_cases_mla import BIAS, DEEPSEEK_SAYS, EVEN, SMALL, Latent, common_mla, even, grouped, latent, yarn
from ingot_tools.reference.family_weights import next_token_layer


def index_config(sizes: Sizes, name: str, keys: int, heads: int = 8) -> Config:
    """An indexer with enough heads that a score of 0, which would be equal to others, is rare."""
    return {"index_topk": sizes.pick(f"{name}.topk", keys, keys - 1), "index_n_heads": heads,
            "index_head_dim": sizes.pick(f"{name}.index_head_dim", 28, 24, 32)}


# llama.cpp turns queries and keys of an indexer by matrices of 64 rows.
EVEN_INDEX: Config = {"index_topk": 6, "index_n_heads": 8, "index_head_dim": 64}


def sparse_mla(name: str, model_type: str, s: Shape, a: Latent, values: Config, **more: Any) -> Case:
    config = common_mla(s, a, n_shared_experts=1, norm_topk_prob=True) | values
    keys = values["index_topk"]
    return Case(name, model_type, s, config, rotary=a.rotary, draws=SMALL, distinct=True,
                needs=(BIAS, r"indexer\.k_norm\.bias$"),
                differs=({"index_topk": keys + 1}, {"index_topk": s.tokens}),
                **more)


# What transformers writes and the releases do not.
WRITTEN = ("head_dim", "layer_types", "mlp_bias", "mlp_layer_types", "output_router_logits", "qk_head_dim")


def deepseek_v32(sizes: Sizes) -> list[Case]:
    plain = grouped(sizes, "deepseek_v32", 4, 2, hidden=52, width=68, layers=3, expert_width=20, top_k=3, tokens=40)
    blocks = grouped(sizes, "deepseek_v32-fp8", 4, 2, hidden=144, width=136, layers=2, expert_width=28, top_k=3,
                     vocabulary=151)
    whole = even(sizes, "deepseek_v32-even", 4, 3, layers=2, tokens=40)
    normal, wide = latent(sizes, "deepseek_v32", 44), latent(sizes, "deepseek_v32-fp8", 132, 122)
    groups: Config = {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5, **yarn(10000.0)}
    legacy = Legacy(rope_type_key="type", extra=DEEPSEEK_SAYS, omit=WRITTEN)
    return [
        sparse_mla("deepseek_v32-plain", "deepseek_v32", plain, normal,
                   groups | index_config(sizes, "deepseek_v32", 6), dtype="bfloat16",
                   keep_float32=BIAS, legacy=legacy, read_by=AUTO),
        # As the release: norms are F32 too, and the F32 scales are powers of two.
        sparse_mla("deepseek_v32-fp8", "deepseek_v32", blocks, wide,
                   groups | index_config(sizes, "deepseek_v32-fp8", 7) | {"num_nextn_predict_layers": 1},
                   dtype="bfloat16", keep_float32=rf"{BIAS}|norm\.(weight|bias)$", code="fp8-powers",
                   legacy=legacy, extra=next_token_layer()),
        sparse_mla("deepseek_v32-even", "deepseek_v32", whole, EVEN,
                   groups | EVEN_INDEX | {"num_nextn_predict_layers": 1}, dtype="bfloat16", keep_float32=BIAS,
                   legacy=legacy, read_by=AUTO, extra=next_token_layer()),
    ]


def glm_moe_dsa(sizes: Sizes) -> list[Case]:
    plain = grouped(sizes, "glm_moe_dsa", 1, 6, hidden=60, width=76, layers=2, expert_width=24, top_k=2, tokens=40)
    shared = grouped(sizes, "glm_moe_dsa-shared", 1, 5, hidden=52, width=68, layers=4, expert_width=20, top_k=2,
                     vocabulary=151)
    whole = even(sizes, "glm_moe_dsa-even", 1, 6, layers=4, vocabulary=263, tokens=40)

    def case(name: str, s: Shape, values: Config, said: Config, omit: tuple[str, ...] = (), **more: Any) -> Case:
        a = EVEN if s is whole else latent(sizes, name, 44)
        values = (EVEN_INDEX if s is whole else index_config(sizes, name, 6)) | {
            "n_group": 1, "topk_group": 1, "routed_scaling_factor": 2.5, "rms_norm_eps": 1e-5,
            "num_nextn_predict_layers": 1, **values}
        legacy = Legacy(omit=(*WRITTEN, *omit), extra={
            "indexer_rope_interleave": True, "moe_layer_freq": 1, "scoring_func": "sigmoid",
            "topk_method": "noaux_tc", **said})
        return sparse_mla(name, "glm_moe_dsa", s, a, values, dtype="bfloat16", keep_float32=BIAS, legacy=legacy,
                          read_by=AUTO, extra=next_token_layer(), **more)

    kinds = ["full" if i % 2 == 0 else "shared" for i in range(shared.layers)]
    return [
        case("glm_moe_dsa-full", plain, {}, {}, ("indexer_types",)),
        # As GLM 5.2: every second layer sees the keys that the one before it chose.
        case("glm_moe_dsa-shared", shared, {"indexer_types": kinds},
             {"index_topk_freq": 2, "index_skip_topk_offset": 1}, ("indexer_types",)),
        case("glm_moe_dsa-even", whole, {"indexer_types": (kinds * 9)[:whole.layers]},
             {"index_topk_freq": 2, "index_skip_topk_offset": 1}, ("indexer_types",)),
    ]


def minimax_m3(sizes: Sizes) -> list[Case]:
    plain = sizes.of("minimax_m3", hidden=60, head_dim=20, width=28, layers=3, experts=5, top_k=2, tokens=40)
    packed = sizes.of("minimax_m3-mxfp8", hidden=96, head_dim=16, width=32, layers=3, experts=4, top_k=2,
                      vocabulary=263, tokens=40)
    # Blocks of 32 in a row.
    packed = replace(packed, hidden=max(64, packed.hidden // 32 * 32), width=32, head_dim=32 if packed.heads % 2 else 16)

    def case(name: str, s: Shape, widths: tuple[int, int], values: Config, other: Config, **more: Any) -> Case:
        rotated = s.head_dim // 2
        dense = [int(i > 0) for i in range(s.layers)]
        config = common(s, **rope(5000000.0, partial_rotary_factor=0.5)) | {
            "num_local_experts": s.experts, "num_experts_per_tok": s.top_k, "rotary_dim": rotated,
            "dense_intermediate_size": widths[0], "shared_intermediate_size": widths[1],
            "index_n_heads": s.kv_heads, "index_head_dim": rotated + sizes.pick(f"{name}.index", 6, 9),
            "layer_types": ["minimax_m3_sparse" if sparse else "full_attention" for sparse in dense],
            "mlp_layer_types": ["sparse" if sparse else "dense" for sparse in dense], **values}
        flat = {"index_n_heads": "sparse_num_index_heads", "index_head_dim": "sparse_index_dim",
                "index_block_size": "sparse_block_size", "index_topk_blocks": "sparse_topk_blocks",
                "index_local_blocks": "sparse_local_block"}
        sparse = {old: config[new] for new, old in flat.items()}
        legacy = Legacy(omit=(*flat, "layer_types", "mlp_layer_types"), extra={
            "hidden_act": "swigluoai", "moe_layer_freq": dense, "n_shared_experts": 1, "num_mtp_modules": 1,
            "qk_norm_type": "per_head", "scoring_func": "sigmoid", "use_gemma_norm": True, "use_qk_norm": True,
            "use_routing_bias": True,
            "sparse_attention_config": sparse | {"sparse_attention_freq": dense, "use_sparse_attention": True}})
        blocks = values["index_topk_blocks"]
        return Case(name, "minimax_m3_vl_text", s, config, dtype="bfloat16",
                    keep_float32=rf"mlp\.gate\.weight$|{BIAS}", layout="minimax_m3", wrap=seeing, extra=vision,
                    rotary=rotated, legacy=legacy, distinct=True, needs=(BIAS,),
                    draws={r"norm\.weight$": "near zero", r"self_attn\.[qk]_proj": "small"},
                    differs=(other, {"index_topk_blocks": blocks + 1}, {"index_topk_blocks": s.tokens},
                             {"routed_scaling_factor": 1.0}, rope(5000000.0, partial_rotary_factor=1.0)), **more)

    return [
        # Many gates are beyond a limit as small as this.
        case("minimax_m3-plain", plain, (76, 36),
             {"index_block_size": 4, "index_topk_blocks": 3, "index_local_blocks": 1, "swiglu_limit": 1.0},
             {"swiglu_limit": 7.0}, read_by="MiniMaxM3SparseForConditionalGeneration"),
        case("minimax_m3-mxfp8", packed, (64, 32),
             {"index_block_size": 3, "index_topk_blocks": 4, "index_local_blocks": 2, "swiglu_limit": 7.0},
             {"index_local_blocks": 1}, code="mxfp8"),
    ]


def seeing(config: Config) -> Config:
    """A text config within that of the model that also sees; what is quantized stands outside."""
    text = {key: value for key, value in config.items() if key not in ("architectures", "quantization_config")}
    outside = {key: config[key] for key in ("quantization_config",) if key in config}
    return outside | {
        "architectures": ["MiniMaxM3SparseForConditionalGeneration"], "model_type": "minimax_m3_vl",
        "dtype": "bfloat16", "image_token_index": 3, "video_token_index": 4, "projector_hidden_size": 20,
        "tie_word_embeddings": False, "text_config": text,
        "vision_config": {
            "model_type": "minimax_m3_vl_vision", "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 2,
            "spatial_merge_size": 2, "temporal_patch_size": 2},
    }


def vision(tensors: Tensors) -> Shapes:
    return {
        "vision_tower.vision_model.embeddings.patch_embedding.weight": (16, 3, 2, 2, 2),
        "multi_modal_projector.linear_1.weight": (20, 16), "multi_modal_projector.linear_1.bias": (20,),
    }
