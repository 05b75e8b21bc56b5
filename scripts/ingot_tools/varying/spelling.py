"""Spellings of config.json that mean the same, and files beside it."""

import copy
import json

# What transformers' classes have where config.json says nothing; None: any value, since the forward pass does not use it.
DEFAULTS = {
    "hidden_act": "silu", "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "use_cache": None,
    "attention_dropout": None, "initializer_range": None, "output_router_logits": None, "router_aux_loss_coef": None,
    "router_jitter_noise": None, "pretraining_tp": None, "architectures": None, "auto_map": None, "pad_token_id": None,
    "bos_token_id": None, "eos_token_id": None, "transformers_version": None, "shared_intermediate_size": 0,
    "scoring_func": "sigmoid", "use_qk_norm": True, "qk_norm_type": "per_layer", "use_routing_bias": True,
    "use_sliding_window": False, "max_window_layers": None, "dtype": None, "norm_topk_prob": False,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "rms_norm_eps": 1e-6,
}
# Families whose classes have these defaults, but for some keys; of others only what means nothing is left out.
KNOWN = {"minimax_m2", "mixtral", "qwen3", "qwen3_moe", "llama", "qwen2", "mistral", "gemma3"}
OTHERS = {("rms_norm_eps", "mixtral"), ("tie_word_embeddings", "gemma3")}
THETAS = {"minimax_m2": 5_000_000, "mixtral": 1_000_000, "qwen3": 10_000, "qwen3_moe": 10_000, "llama": 10_000,
          "qwen2": 10_000, "mistral": 10_000}


def leave_out(config, rng, note):
    """Leaves out keys that the class's defaults stand for."""
    text = config.get("text_config", config)
    for key in sorted(text):
        usual = DEFAULTS.get(key, "?")
        if usual == "?" or (key, config["model_type"]) in OTHERS or rng.random() < 0.6:
            continue
        if usual is None or config["model_type"] in KNOWN and text[key] == usual:
            del text[key]
            note(f"no {key}")


def rope(config, rng, note):
    """rope_theta at top level as in transformers 4, in rope_parameters as in 5, or both."""
    if "text_config" in config or config["model_type"] not in KNOWN or config.get("rope_scaling"):
        return
    if not config.get("rope_parameters") and "rope_theta" not in config:
        return
    parameters = config.get("rope_parameters") or {"rope_theta": config["rope_theta"], "rope_type": "default"}
    if parameters.get("rope_type", "default") != "default" or set(parameters) - {
            "rope_theta", "rope_type", "partial_rotary_factor"}:
        return
    theta, factor = parameters["rope_theta"], parameters.get("partial_rotary_factor")
    for key in ("rope_parameters", "rope_theta", "rope_scaling", "partial_rotary_factor"):
        config.pop(key, None)
    ways = ["new", "old", "both", "bare"]
    if theta == THETAS.get(config["model_type"]):
        ways.append("none")
    way = rng.choice(ways)
    note(f"rope {way}")
    number = rng.choice([float(theta), int(theta)])
    if way in ("new", "both"):
        config["rope_parameters"] = {"rope_theta": number, "rope_type": "default"}
        if factor is not None:
            config["rope_parameters"]["partial_rotary_factor"] = factor
    elif way == "bare":
        config["rope_parameters"] = {"rope_theta": number}
    if way in ("old", "both"):
        config["rope_theta"] = number
    if way in ("old", "none"):
        config |= rng.choice([{}, {"rope_scaling": None}])
    if factor is not None and way in ("old", "bare", "none") and "rotary_dim" not in config:
        config["partial_rotary_factor"] = factor
    if "rotary_dim" in config and rng.random() < 0.5:
        config["partial_rotary_factor"] = config["rotary_dim"] / config["head_dim"]
        if rng.random() < 0.5:
            del config["rotary_dim"]


def experts(config, rng, note):
    for key in ("num_local_experts", "num_experts"):
        if key in config and config["model_type"] in KNOWN:
            count = config.pop(key)
            chosen = rng.choice([["num_local_experts"], ["num_experts"], ["num_experts", "num_local_experts"]])
            config |= dict.fromkeys(chosen, count)
            note("experts as " + " and ".join(chosen))
            return


def types(config, rng, note):
    text = config.get("text_config", config)
    value = text.pop("dtype", None) or text.pop("torch_dtype", None) or "bfloat16"
    chosen = rng.choice([["dtype"], ["torch_dtype"], ["dtype", "torch_dtype"], []])
    text |= dict.fromkeys(chosen, value)


def heads(config, rng, note):
    text = config.get("text_config", config)
    if text.get("head_dim", 0) * text["num_attention_heads"] == text["hidden_size"] and config["model_type"] in KNOWN - {
            "qwen3", "gemma3"} and rng.random() < 0.5:
        del text["head_dim"]
        note("no head_dim")


def repeated(config, rng, note):
    """Keys of text_config at top level too, with the same values."""
    if "text_config" in config:
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "rms_norm_eps"):
            if key in config["text_config"] and rng.random() < 0.3:
                config[key] = config["text_config"][key]
                note(f"{key} twice")


def strangers(config, rng, note):
    """Keys that nobody reads."""
    for key, value in (("_name_or_path", "/somewhere/else"), ("unsloth_fixed", True), ("quantization_config", None),
                       ("auto_map", {"AutoModelForCausalLM": "modeling.Model"}), ("rope_scaling", None), ("", 1),
                       ("größe", [1.5e300, -0.0]), ("task_specific_params", {"a": {"b": [None, {}]}})):
        if key not in config and rng.random() < 0.15:
            config[key] = value
            note(f"key '{key}'")


def text_of(config, rng):
    """config.json's text: order, white space and numbers as writers have them."""
    def reordered(value):
        if isinstance(value, dict):
            return dict((key, reordered(inner)) for key, inner in rng.sample(list(value.items()), len(value)))
        return value

    if rng.random() < 0.5:
        config = reordered(config)
    text = json.dumps(config, indent=rng.choice([None, 2, 4, "\t"]), ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.3:
        text = text.replace("1e-06", rng.choice(["1.0e-6", "0.000001", "1E-06", "1e-006"]))
    if rng.random() < 0.2:
        text = text.replace("\n", "\r\n")
    return (text + rng.choice(["", "\n", "\n\n", " "])).encode()


def varied(base, rng, note):
    """A config of the base in another spelling."""
    config = copy.deepcopy(rng.choice(base.configs))
    for change in (rope, experts, types, heads, leave_out, repeated, strangers):
        if rng.random() < 0.6:
            change(config, rng, note)
    return config


def side_files(base, rng, note):
    """Files beside the weights: some of the base's in the places that tools put them, and others that mean nothing."""
    side = {}
    for name, data in base.side.items():
        if rng.random() < 0.7:
            side[name] = data
    template = side.get("chat_template.jinja")
    if template and rng.random() < 0.7:
        text = template.decode()
        place = rng.choice(["chat_template.json", "tokenizer_config.json", "list", "additional", "both"])
        note(f"template in {place}")
        if place != "both":
            del side["chat_template.jinja"]
        if place == "chat_template.json":
            side[place] = json.dumps({"chat_template": text}).encode()
        elif place == "additional":
            side["chat_template.jinja"] = template
            side["additional_chat_templates/tool_use.jinja"] = template
        else:
            inner = json.loads(base.side["tokenizer_config.json"])
            inner["chat_template"] = [{"name": "default", "template": text}] if place == "list" else text
            side["tokenizer_config.json"] = json.dumps(inner).encode()
    for name, data in (("README.md", b"# A model\n"), (".gitattributes", b"*.safetensors filter=lfs\n"),
                       ("LICENSE", b""), ("original/params.json", b"{}"), ("modeling.py", b"import os\n"),
                       (".cache/huggingface/x.lock", b""), ("training_args.bin", b"\x80\x02}"), ("vocab.txt", b"a\n"),
                       ("figures/ärger.png", b"\x89PNG"), ("model.onnx", b"\0"), ("pytorch_model.bin", b"\x80\x02")):
        if rng.random() < 0.15:
            side[name] = data
            note(f"file {name}")
    return side
