"""Checkpoints whose config.json is wrong."""

from making.base import BASE, CONFIG, dump, model, safetensors


def config_cases(c):
    """The weights play no part where the config alone is refused, so a cut-down file serves."""
    c.folder("safetensors", "good", model(), None, "control: the base model in one file")
    c.folder("safetensors", "good-minimax", model({"model_type": "minimax"}), None,
             "control: the model_type of early releases")
    c.folder("safetensors", "good-rope-parameters", model(
        {"rope_parameters": {"rope_theta": 5000000, "partial_rotary_factor": 0.5,
                             "rope_type": "default"}}, without=("rotary_dim", "rope_theta")),
        None, "control: rotation as newer writers give it")
    c.folder("safetensors", "good-nulls", model({"sliding_window": None, "rope_scaling": None}),
             None, "control: null is like a key that is not there")

    small = safetensors({"model.norm.weight": BASE["model.norm.weight"]})

    def refused(name, about, *expects, changes=None, without=(), text=None):
        files = model(changes, without, config=text)
        files["model.safetensors"] = small
        c.folder("config", name, files, ["config.json", *expects], about)

    for key in ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
                "num_local_experts", "num_experts_per_tok", "intermediate_size", "vocab_size"):
        refused(f"no-{key}", f"{key} is missing", key, without=(key,))

    for name, key, value, about in (
            ("hidden-string", "hidden_size", "32", "a number as a string"),
            ("hidden-array", "hidden_size", [32], "a number in an array"),
            ("hidden-fraction", "hidden_size", 32.5, "a fraction"),
            ("hidden-zero", "hidden_size", 0, "no width"),
            ("hidden-huge", "hidden_size", 1 << 62, "products of it overflow"),
            ("layers-negative", "num_hidden_layers", -1, "a negative number of layers"),
            ("layers-zero", "num_hidden_layers", 0, "no layers"),
            ("layers-bool", "num_hidden_layers", True, "true for a number"),
            ("layers-1e9", "num_hidden_layers", 1_000_000_000, "a thousand million layers"),
            ("layers-30-digits", "num_hidden_layers", 10 ** 29, "a number of 30 digits"),
            ("vocabulary-negative", "vocab_size", -16, "a negative vocabulary"),
            ("experts-zero", "num_local_experts", 0, "no experts"),
            ("experts-huge", "num_local_experts", 1 << 40, "2^40 experts"),
            ("active-too-many", "num_experts_per_tok", 3, "more active experts than experts"),
            ("active-zero", "num_experts_per_tok", 0, "no active expert"),
            ("kv-heads-not-dividing", "num_key_value_heads", 3, "3 key heads for 4 query heads"),
            ("kv-heads-zero", "num_key_value_heads", 0, "division by zero"),
            ("heads-zero", "num_attention_heads", 0, "no heads"),
            ("head-dim-zero", "head_dim", 0, "heads without width"),
            ("rotary-odd", "rotary_dim", 3, "pairs of dimensions are turned"),
            ("rotary-too-large", "rotary_dim", 10, "more dimensions than a head has"),
            ("rotary-negative", "rotary_dim", -4, "a negative number of dimensions"),
            ("epsilon-negative", "rms_norm_eps", -1e-06, "a negative epsilon"),
            ("epsilon-string", "rms_norm_eps", "1e-6", "a number as a string"),
            ("theta-zero", "rope_theta", 0, "no base"),
            ("family-number", "model_type", 2, "a number for a family"),
            ("softmax-router", "scoring_func", "softmax", "another router"),
            ("no-routing-bias", "use_routing_bias", False, "another router"),
            ("qk-norm-per-head", "qk_norm_type", "per_head", "another norm"),
            ("qk-norm-off", "use_qk_norm", False, "no norm although the family has one"),
            ("shared-expert", "shared_intermediate_size", 16, "a shared expert"),
            ("sliding-window", "sliding_window", 4096, "attention to a window"),
            ("linear-attention", "attn_type_list", [0], "linear attention"),
            ("attention-list-long", "attn_type_list", [1, 1], "more entries than layers"),
            ("attention-list-string", "attn_type_list", "full", "a string for a list"),
            ("tied-string", "tie_word_embeddings", "yes", "text for true or false"),
            ("rope-scaling", "rope_scaling", {"type": "longrope", "factor": 4.0}, "stretched positions"),
            ("gelu", "hidden_act", "gelu", "another activation")):
        refused(name, about, key, changes={key: value})
    refused("rope-type-yarn", "stretched positions as newer writers give them", "rope_parameters",
            changes={"rope_parameters": {"rope_type": "yarn", "rope_theta": 5000000}})

    for name, quantization, word, about in (
            ("quantization-unknown", {"quant_method": "bitsandbytes", "bits": 4}, "quant_method",
             "weights of another method"),
            ("quantization-list", ["fp8"], "quantization_config", "a list for an object"),
            ("block-one-size", {**CONFIG["quantization_config"], "weight_block_size": [16]},
             "weight_block_size", "one block size"),
            ("block-zero", {**CONFIG["quantization_config"], "weight_block_size": [0, 16]},
             "weight_block_size", "division by zero"),
            ("block-negative", {**CONFIG["quantization_config"], "weight_block_size": [-16, 16]},
             "weight_block_size", "a negative block size"),
            ("block-string", {**CONFIG["quantization_config"], "weight_block_size": "16x16"},
             "weight_block_size", "a string for block sizes")):
        refused(name, about, word, changes={"quantization_config": quantization})

    whole = dump(CONFIG)
    refused("empty", "no bytes", text=b"")
    refused("cut", "the end is missing", text=whole[:200])
    refused("array", "an array", text=b"[1, 2, 3]\n")
    refused("not-json", "something else", text=b"hidden_size: 32\n")
    refused("garbage-after", "a second value after the object", text=whole + b"{}")
    refused("not-utf-8", "a string that is not UTF-8",
            text=whole.replace(b'"silu"', b'"sil\xff"'))
    refused("duplicate-key", "one key twice, values that differ", "hidden_size",
            text=whole.replace(b'"hidden_size": 32,', b'"hidden_size": 32, "hidden_size": 64,'))
    refused("deep", "ten thousand arrays in each other", text=(
        whole.rstrip()[:-1] + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"))
    refused("nan", "NaN is no JSON", text=whole.replace(b"1e-06", b"NaN"))
    refused("infinite", "a number beyond every double", "rope_theta",
            text=whole.replace(b"5000000", b"1e999"))
    c.folder("config", "missing", {"model.safetensors": small}, ["config.json"],
             "no config.json at all")

    # The config is one that can be read, but the weights are of another model.
    for name, key, value, tensor, about in (
            ("hidden-other", "hidden_size", 64, "model.embed_tokens.weight",
             "the config says 64, the tensors 32"),
            ("vocabulary-other", "vocab_size", 17, "model.embed_tokens.weight",
             "the config says 17, the embedding 16"),
            ("width-other", "intermediate_size", 32, "experts.0.w1.weight",
             "the config says 32, the experts 16"),
            ("heads-other", "num_attention_heads", 8, "self_attn.", "the config says 8 heads"),
            ("experts-more", "num_local_experts", 4, "block_sparse_moe.", "the config says 4 experts"),
            ("block-other", "quantization_config",
             {**CONFIG["quantization_config"], "weight_block_size": [8, 8]}, "_scale_inv",
             "the config says blocks of 8, the scales are for 16")):
        c.folder("config", name, model({key: value}), [tensor], about)
    c.folder("config", "layers-more", model({"num_hidden_layers": 2, "attn_type_list": [1, 1]}),
             ["model.layers.1."], "the config says 2 layers, the tensors 1")
    c.folder("config", "no-quantization", model(without=("quantization_config",)),
             ["model.safetensors", "model.layers.0."],
             "FP8 weights whose blocks nothing describes")
