"""Cases of Gemma 2, 3 and 4."""

import json
from dataclasses import replace
from typing import Any

from ingot_tools.reference.family_base import AUTO, Case, Config, Legacy, Shape, Shapes, Sizes, Tensors, common, flat_rope, rope

# The factor is 1 + w.
DRAWS = {r"norm\.weight$": "near zero"}


def even_hidden(shape: Shape) -> Shape:
    """The classes want whole multiples of the head count, although head_dim is another."""
    return replace(shape, hidden=shape.hidden // shape.heads * shape.heads)


def config_of(s: Shape, scalar: int, **more: Any) -> Config:
    return common(s, tie_word_embeddings=True, pad_token_id=0, bos_token_id=2, eos_token_id=1,
                  query_pre_attn_scalar=scalar, sliding_window=s.window, **more)


def gemma2(sizes: Sizes) -> list[Case]:
    s = even_hidden(sizes.of("gemma2", hidden=60, head_dim=20, width=100, layers=3, tokens=40))
    even = even_hidden(sizes.of("gemma2-even", hidden=96, head_dim=16, width=64, layers=3, tokens=40))
    return [Case("gemma2-capped", "gemma2", s,
                 config_of(s, 30, attn_logit_softcapping=5.0, final_logit_softcapping=3.0), draws=DRAWS,
                 dtype="bfloat16", read_by=AUTO,
                 legacy=Legacy(omit=("layer_types", "use_bidirectional_attention"),
                               extra={"cache_implementation": "hybrid", "hidden_act": "gelu_pytorch_tanh"}),
                 differs=({"attn_logit_softcapping": None}, {"final_logit_softcapping": None},
                          {"sliding_window": s.window + 1}, {"query_pre_attn_scalar": s.head_dim},
                          {"layer_types": ["full_attention"] * s.layers})),
            # Scores by the size of a head, as all but the largest release have it and llama.cpp computes it; blocks of 32.
            Case("gemma2-even", "gemma2", even,
                 config_of(even, even.head_dim, attn_logit_softcapping=5.0, final_logit_softcapping=3.0), draws=DRAWS,
                 dtype="bfloat16", read_by=AUTO, legacy=Legacy(omit=("layer_types", "use_bidirectional_attention")),
                 differs=({"attn_logit_softcapping": None}, {"sliding_window": even.window + 1}))]


def gemma3(sizes: Sizes) -> list[Case]:
    plain = even_hidden(sizes.of("gemma3", hidden=48, head_dim=20, width=76, layers=3, tokens=40))
    scaled = even_hidden(sizes.of("gemma3-nested", hidden=54, head_dim=16, width=76, layers=3, vocabulary=263))
    even = even_hidden(sizes.of("gemma3-even", hidden=96, head_dim=16, width=64, layers=3, vocabulary=263, tokens=40))

    def case(name: str, s: Shape, pattern: int, whole: Config, scalar: int = 30, **more: Any) -> Case:
        kinds = ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(s.layers)]
        legacy = Legacy(omit=("layer_types", "use_bidirectional_attention", "_sliding_window_pattern"),
                        extra={"cache_implementation": "hybrid", "sliding_window_pattern": pattern},
                        respell_rope=two_thetas)

        def ropes(local: Config, other: Config) -> Config:
            return {"rope_parameters": {"sliding_attention": local["rope_parameters"],
                                        "full_attention": other["rope_parameters"]}}

        local = rope(10000.0)
        return Case(name, "gemma3_text", s, config_of(s, scalar, layer_types=kinds) | ropes(local, whole), draws=DRAWS,
                    legacy=legacy, differs=(
                        ropes(local, local), ropes(whole, whole), {"query_pre_attn_scalar": s.head_dim + 4},
                        {"sliding_window": s.window + 1},
                        {"layer_types": ["sliding_attention"] * s.layers}), **more)

    return [
        case("gemma3-text", plain, 3, rope(1000000.0), read_by=AUTO),
        # As the sizes that see are released: the language model is a part, with rope scaling in its full layers.
        case("gemma3-nested", scaled, 2, rope(1000000.0, "linear", factor=8.0), dtype="bfloat16",
             wrap=nested, layout="gemma3", extra=vision, read_by="Gemma3ForConditionalGeneration"),
        # Scores by the size of a head, as all but the largest release have it and llama.cpp computes it; blocks of 32.
        case("gemma3-even", even, 2, rope(1000000.0, "linear", factor=8.0), even.head_dim, dtype="bfloat16",
             read_by=AUTO),
    ]


def two_thetas(config: Config) -> Config:
    """rope_theta and rope_scaling are those of full layers, rope_local_base_freq is that of the others."""
    out = json.loads(json.dumps(config))
    kinds = out.pop("rope_parameters")
    out["rope_local_base_freq"] = kinds["sliding_attention"]["rope_theta"]
    return flat_rope(out | {"rope_parameters": kinds["full_attention"]})


def nested(config: Config) -> Config:
    """A text config within that of the model that also sees."""
    return {
        "architectures": ["Gemma3ForConditionalGeneration"], "dtype": "bfloat16", "model_type": "gemma3",
        "boi_token_index": 3, "eoi_token_index": 4, "image_token_index": 5, "mm_tokens_per_image": 4,
        "text_config": config,
        "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 24,
                          "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 2},
    }


def vision(tensors: Tensors) -> Shapes:
    hidden = tensors["model.norm.weight"].shape[0]
    embeddings = "vision_tower.vision_model.embeddings."
    return {
        embeddings + "patch_embedding.weight": (16, 3, 2, 2), embeddings + "patch_embedding.bias": (16,),
        embeddings + "position_embedding.weight": (16, 16),
        "multi_modal_projector.mm_input_projection_weight": (16, hidden),
        "multi_modal_projector.mm_soft_emb_norm.weight": (16,),
    }


def gemma4(sizes: Sizes) -> list[Case]:
    dense = sizes.of("gemma4", hidden=52, head_dim=16, width=76, layers=4, tokens=40)
    experts = sizes.of("gemma4-moe", hidden=60, head_dim=16, width=52, layers=3, experts=6, top_k=2,
                       expert_width=20, vocabulary=263)
    shared = sizes.of("gemma4-shared", hidden=44, head_dim=20, width=36, layers=6, tokens=40)
    shared = replace(shared, layers=shared.layers // 2 * 2)
    even = replace(sizes.of("gemma4-even", hidden=96, layers=3, width=64, experts=4, top_k=2, expert_width=32,
                            vocabulary=263, tokens=40),
                   hidden=96, heads=6, kv_heads=3, head_dim=16, width=64, expert_width=32)

    def case(name: str, s: Shape, pattern: int, wide: int, values: Config, **more: Any) -> Case:
        kinds = ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(s.layers)]
        # The class wants a full layer at the end.
        kinds[-1] = "full_attention"
        # Heads of full layers are wider, and there may be fewer of keys.
        keys = {"num_global_key_value_heads": 1} if values.get("attention_k_eq_v") else {}
        full = {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0}
        config = common(s, tie_word_embeddings=True, pad_token_id=0, bos_token_id=2, eos_token_id=1) | {
            "sliding_window": s.window, "layer_types": kinds, "global_head_dim": wide,
            "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": s.vocabulary,
            "rope_parameters": {"full_attention": full, "sliding_attention": rope(10000.0)["rope_parameters"]},
            **keys, **values}
        legacy = Legacy(respell_rope=dict, omit=("per_layer_config", "use_bidirectional_attention"),
                        extra={"global_head_dim": wide, **keys})
        other: Config = {"rope_parameters": config["rope_parameters"] | {
            "full_attention": full | {"partial_rotary_factor": 0.5}}}
        return Case(name, "gemma4_text", s, config, legacy=legacy,
                    # Scores have no scale: norms of queries are small instead.
                    draws={r"q_norm\.weight$": "near a third"},
                    rotary={"sliding_attention": s.head_dim, "full_attention": wide // 8 * 2},
                    differs=(other, {"sliding_window": s.window + 1}, *more.pop("differs", ())), **more)

    return [
        # As 31B: values of full layers are the keys before their norm.
        case("gemma4-dense", dense, 2, sizes.pick("gemma4.wide", 24, 32),
             {"attention_k_eq_v": True, "final_logit_softcapping": 3.0}, read_by=AUTO,
             differs=({"final_logit_softcapping": None},)),
        # As 26B-A4B: experts beside the dense block, within a model that also sees.
        case("gemma4-moe", experts, 3, sizes.pick("gemma4-moe.wide", 24, 40),
             {"attention_k_eq_v": True, "enable_moe_block": True, "num_experts": experts.experts,
              "top_k_experts": experts.top_k, "moe_intermediate_size": experts.expert_width,
              "final_logit_softcapping": 30.0}, dtype="bfloat16", wrap=gemma4_seeing, layout="gemma4",
             extra=gemma4_vision, read_by="Gemma4ForConditionalGeneration",
             differs=({"top_k_experts": experts.top_k + 1},), needs=("per_expert_scale",)),
        # As E2B: the last layers have no keys of their own and wider blocks, and each layer its own embedding.
        case("gemma4-shared", shared, 2, sizes.pick("gemma4-shared.wide", 32, 24),
             {"num_kv_shared_layers": 2, "use_double_wide_mlp": True, "hidden_size_per_layer_input": 12},
             dtype="bfloat16", read_by=AUTO, needs=("embed_tokens_per_layer", "per_layer_model_projection")),
        case("gemma4-even", even, 3, 32,
             {"attention_k_eq_v": True, "enable_moe_block": True, "num_experts": even.experts,
              "top_k_experts": even.top_k, "moe_intermediate_size": even.expert_width}, dtype="bfloat16",
             differs=({"top_k_experts": even.top_k + 1},), needs=("per_expert_scale",), read_by=AUTO),
    ]


def gemma4_seeing(config: Config) -> Config:
    """A text config within that of the model that also sees."""
    return {
        "architectures": ["Gemma4ForConditionalGeneration"], "dtype": "bfloat16", "model_type": "gemma4",
        "audio_config": None, "image_token_id": 258880, "tie_word_embeddings": True,
        "text_config": {key: value for key, value in config.items() if key != "architectures"},
        "vision_config": {
            "model_type": "gemma4_vision", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "patch_size": 2,
            "position_embedding_size": 16},
    }


def gemma4_vision(tensors: Tensors) -> Shapes:
    hidden = tensors["model.norm.weight"].shape[0]
    return {
        "model.vision_tower.patch_embedder.input_proj.weight": (16, 12),
        "model.embed_vision.embedding_projection.weight": (hidden, 16),
    }
