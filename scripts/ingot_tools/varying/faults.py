"""Faults of a checkpoint, one at a time, and what an error must say of each.

A fault changes a checkpoint and returns patterns that the error must hold, all of them. `at` says what it changes: `tensors`
and `config` before the files are made, `files` after. `scheme` names the codes that the checkpoint must have; `commands`
are those that must refuse it, by default any that reads it.
"""

import copy
import json
import re

import numpy as np

from . import numbers, schemes
from .checkpoint import Checkpoint, file_bytes

FAULTS = []
ALL = ["check", "logits", "convert"]
VALUES = ["check"]
BY_NAME = {scheme.name: scheme for scheme in schemes.SCHEMES}

def fault(at, scheme=None, commands=ALL):
    def registered(function):
        function.at, function.scheme, function.commands = at, scheme, commands
        FAULTS.append(function)
        return function
    return registered


name_in = re.escape


def linears(base):
    return [name for name in base.values if base.is_linear(name)]


def is_needed(c, name):
    """Whether the text model has a tensor: no other model of the checkpoint, and no layer for prediction."""
    layer = re.search(r"\.layers\.(\d+)\.", name)
    beyond = layer and int(layer[1]) >= c.config.get("text_config", c.config)["num_hidden_layers"]
    return not beyond and "vision" not in name and "multi_modal" not in name


def files_of(c, rng):
    """Some files with an index, or one."""
    names = list(c.tensors)
    count = rng.choice([1, 3])
    if count == 1:
        c.shards = {"model.safetensors": file_bytes(c.tensors)}
        return
    c.shards, places = {}, {}
    for number in range(count):
        file = f"model-{number + 1:05}-of-{count:05}.safetensors"
        part = names[number * len(names) // count:(number + 1) * len(names) // count]
        c.shards[file] = file_bytes({name: c.tensors[name] for name in part})
        places |= dict.fromkeys(part, file)
    c.index = {"metadata": {}, "weight_map": places}


def broken(function, base, rng):
    """A checkpoint with a fault, the patterns of its error, and the commands that must find it."""
    config, tensors = copy.deepcopy(base.config), {}
    taken = {}
    if function.scheme:
        options = [BY_NAME[name] for name in function.scheme if schemes.quantized(base, BY_NAME[name])]
        if options:
            scheme = rng.choice(options)
            taken = schemes.quantized(base, scheme)
            left = ["lm_head"] + [name.removesuffix(".weight") for name in linears(base) if name not in taken]
            changes, _ = scheme.config(Always(rng), left, [])
            config |= changes
    for name, values in base.values.items():
        if name in taken:
            tensors |= {name.removesuffix("weight") + part: tensor for part, tensor in scheme.store(taken[name][0], rng).items()}
        else:
            tensors[name] = numbers.encoded(values, rng.choice(numbers.lossless(values)))
    c = Checkpoint(config, tensors, {})
    c.note(scheme.name if taken else "dense")
    if function.scheme and not taken:
        # Modules of this base are no groups: another fault in its place.
        return broken(missing_tensor, base, rng)
    if function.at != "files":
        patterns = function(c, base, rng)
        files_of(c, rng)
    else:
        files_of(c, rng)
        patterns = function(c, base, rng)
    return c, patterns, function.commands


class Always:
    """Draws as usual, but a config in config.json itself."""

    def __init__(self, rng):
        self.choice = rng.choice

    def random(self):
        return 1.0


@fault("tensors")
def missing_tensor(c, base, rng):
    name = rng.choice([name for name in base.values if is_needed(c, name)])
    gone = name if name in c.tensors else rng.choice([n for n in c.tensors if n.startswith(name.removesuffix("weight"))])
    del c.tensors[gone]
    c.note(gone)
    # A stack of experts is several tensors, which have names of their own.
    return [r"layers\.\d+\.mlp\.experts" if "_linear." in gone else name_in(gone.removesuffix("weight"))]


def needed(c, base, rng):
    """A tensor that the model has, and needs."""
    return rng.choice([n for n in c.tensors if is_needed(c, n)])


@fault("tensors")
def wrong_shape(c, base, rng):
    name = needed(c, base, rng)
    dtype, shape, data = c.tensors[name]
    width = numbers.SIZES[dtype]
    ways = [(shape + [1], data), ([shape[0] + 1, *shape[1:]], data + data[:len(data) // shape[0]]),
            ([len(data) // width, 1, 1], data), ([0, *shape[1:]], b"")]
    if len(shape) == 2 and shape[0] != shape[1]:
        ways.append((shape[::-1], data))
    shape, data = rng.choice(ways)
    c.tensors[name] = dtype, list(shape), data
    c.note(f"{name} {shape}")
    return [name_in(name), "shape"]


@fault("tensors")
def wrong_type(c, base, rng):
    name = needed(c, base, rng)
    _, shape, data = c.tensors[name]
    count = int(np.prod(shape))
    dtype, width = rng.choice([("I32", 4), ("I64", 8), ("BOOL", 1), ("U16", 2), ("F64", 8), ("C64", 8), ("F8_E4M3", 1)])
    c.tensors[name] = dtype, shape, bytes(count * width)
    c.note(f"{name} {dtype}")
    return [name_in(name), dtype]


@fault("tensors")
def unknown_tensor(c, base, rng):
    name = rng.choice(["model.layers.0.self_attn.z_proj.weight", "model.embed.weight", "lm_head.scale", "weight", "",
                       "model.layers.0.extra", "model.layers.99.input_layernorm.weight", "model.layers.00.mlp.x"])
    if "nested" in base.name:
        name = "language_model.model.layers.0.extra.weight"
    c.tensors[name] = numbers.encoded(np.ones((2, 2), np.float32), "BF16")
    c.note(name)
    return [name_in(name), "name|role"]


unknown_tensor.commands = ["logits", "convert"]


@fault("tensors", commands=VALUES)
def not_finite(c, base, rng):
    name = needed(c, base, rng)
    values = numbers.decoded(c.tensors[name]).copy()
    values.reshape(-1)[rng.randrange(values.size)] = rng.choice([np.nan, np.inf, -np.inf])
    c.tensors[name] = numbers.encoded(values, "F32")
    if rng.random() < 0.5:
        bits = numbers.bf16(np.where(np.isfinite(values), values, 1))
        bits.reshape(-1)[rng.randrange(values.size)] = rng.choice([0x7F80, 0xFF80, 0x7FC1])
        c.tensors[name] = "BF16", list(values.shape), bits.tobytes()
    c.note(name)
    return [name_in(name), "finite"]


FP8 = ["e4m3 128x128", "e4m3 64x32", "e4m3 row", "e4m3 tensor"]
PACKED = ["packed int4 g32", "packed int4 g32 zero", "packed int8 g32"]
GPTQ = ["gptq int4 g32", "gptq int8 g64", "gptq_v2 int4 g64", "gptq int4 g32 zero"]
CODED = FP8 + PACKED + GPTQ + ["awq int4 g32 zero", "mx fp4", "nv fp4", "modelopt fp4", "int8 int8 grow", "exl3 3 mul1",
                               "exl3 4 mcg"]


def companions(c):
    """Tensors beside codes."""
    return [name for name in c.tensors if name.endswith((
        "_scale_inv", "weight_scale", "weight_scale_2", "weight_global_scale", "qzeros", "scales", "weight_shape",
        "weight_zero_point", "g_idx", "suh", "svh"))]


@fault("tensors", CODED)
def missing_companion(c, base, rng):
    # AutoRound leaves g_idx out, and without zero points codes are symmetric.
    name = rng.choice([n for n in companions(c) if not n.endswith("g_idx")])
    del c.tensors[name]
    c.note(name)
    return [name_in(name.rsplit(".", 1)[0])]


@fault("tensors", CODED)
def lone_companion(c, base, rng):
    name = rng.choice(companions(c))
    module = name.rsplit(".", 1)[0]
    for codes in ("weight", "weight_packed", "qweight", "trellis"):
        c.tensors.pop(f"{module}.{codes}", None)
    c.note(name)
    return [name_in(module)]


@fault("tensors", CODED)
def wrong_companion(c, base, rng):
    name = rng.choice(companions(c))
    dtype, shape, data = c.tensors[name]
    if rng.random() < 0.5:
        c.tensors[name] = dtype, [3, *shape], data * 3
    else:
        other = rng.choice([d for d in ("I16", "BOOL", "F64") if d != dtype])
        count = int(np.prod(shape, dtype=int))
        c.tensors[name] = other, shape, bytes(count * {"I16": 2, "BOOL": 1, "F64": 8}[other])
    c.note(f"{name} {c.tensors[name][:2]}")
    return [name_in(name.rsplit(".", 1)[0])]


@fault("tensors", CODED, commands=VALUES)
def bad_scale(c, base, rng):
    name = rng.choice([n for n in companions(c) if n.endswith(("scale", "scale_inv", "scales", "scale_2", "suh", "svh"))])
    dtype, shape, data = c.tensors[name]
    patterns = {"F32": b"\0\0\xc0\x7f", "F16": b"\0\x7e", "BF16": b"\xc0\x7f", "F8_E4M3": b"\x7f", "U8": b"\xff",
                "F8_E8M0": b"\xff"}
    width = len(patterns[dtype])
    # What EXL3 pads to whole blocks is in no value.
    at = 0 if name.endswith(("suh", "svh")) else rng.randrange(len(data) // width) * width
    c.tensors[name] = dtype, shape, data[:at] + patterns[dtype] + data[at + width:]
    c.note(name)
    return [name_in(name.rsplit(".", 1)[0]), "finite"]


@fault("tensors", ["gptq int4 g32 act-order", "gptq_v2 int4 g32 zero act-order"], commands=["check", "convert"])
def group_out_of_range(c, base, rng):
    name = rng.choice([n for n in c.tensors if n.endswith("g_idx")])
    dtype, shape, data = c.tensors[name]
    groups = np.frombuffer(data, np.int32).copy()
    groups[rng.randrange(len(groups))] = rng.choice([-1, int(groups.max()) + 1, 1 << 30])
    c.tensors[name] = dtype, shape, groups.tobytes()
    c.note(name)
    return [name_in(name.removesuffix("g_idx")), "group"]


def text_of(c):
    return c.config.get("text_config", c.config)


NEEDED = ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]


@fault("config")
def missing_key(c, base, rng):
    key = rng.choice(NEEDED + (["intermediate_size"] if "moe_intermediate_size" not in c.config else []))
    del text_of(c)[key]
    c.note(key)
    return ["config.json", key]


@fault("config")
def wrong_value(c, base, rng):
    text = text_of(c)
    key = rng.choice(NEEDED + ["num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings"])
    value = rng.choice(["7", -1, 0, [1], {}, True, 1 << 70, "many", 1e300, float("nan")] + ([2.5] if "rms" not in key else []))
    text[key] = value
    c.note(f"{key} {value}")
    # JSON has no NaN.
    return ["config.json"] + ([] if value != value else [key])


@fault("config")
def other_sizes(c, base, rng):
    text = text_of(c)
    key = rng.choice([k for k in NEEDED + ["intermediate_size", "moe_intermediate_size", "num_local_experts", "head_dim"]
                      if k in text and not (k == "intermediate_size" and "moe_intermediate_size" in text)])
    # A step that keeps heads divisible.
    step = text["num_attention_heads"] if key == "hidden_size" else 1
    text[key] += rng.choice([-1, 1]) * step
    if key == "num_hidden_layers":
        text.pop("layer_types", None)
    c.note(f"{key} {text[key]}")
    return [r"tensor|config\.json", r"shape|none of this name|role|name|head|divisor|layer|rotat|even"]


other_sizes.commands = ["logits", "convert"]


@fault("config")
def contradiction(c, base, rng):
    text, config = text_of(c), c.config
    ways = ["heads"]
    if "text_config" in config:
        ways.append("text")
    elif config.get("rope_theta") or config.get("rope_parameters", {}).get("rope_theta"):
        ways.append("theta")
    if "num_local_experts" in config:
        ways += ["experts", "active"]
    way = rng.choice(ways)
    c.note(way)
    if way == "heads":
        text["num_key_value_heads"] = text["num_attention_heads"] + rng.choice([1, -1, 100])
        if text["num_attention_heads"] % text["num_key_value_heads"] == 0:
            text["num_key_value_heads"] = text["num_attention_heads"] * 2
        return ["config.json", "num_key_value_heads"]
    if way == "text":
        key = rng.choice(["hidden_size", "num_hidden_layers", "vocab_size", "rms_norm_eps", "sliding_window"])
        config[key] = text[key] * 2
        return ["config.json", key, "text_config"]
    if way == "theta":
        config["rope_theta"] = 12345.0
        config["rope_parameters"] = {"rope_theta": 10_000.0, "rope_type": "default"}
        return ["config.json", "rope_theta"]
    if way == "experts":
        config["num_experts"] = config["num_local_experts"] + 1
        return ["config.json", "num_(local_)?experts"]
    config["num_experts_per_tok"] = rng.choice([config["num_local_experts"] + 1, 0, -1])
    return ["config.json", "num_experts_per_tok"]


@fault("config")
def other_kind(c, base, rng):
    """What the model would compute otherwise."""
    text = text_of(c)
    ways = [("rope_scaling", {"type": "mystery", "factor": 2.0}), ("rope_parameters", [1])]
    if "hidden_act" in text:
        ways += [("hidden_act", "tanh"), ("hidden_act", 3)]  # type: ignore[list-item]
    if base.config["model_type"] == "minimax_m2":
        ways += [("scoring_func", "softmax"), ("use_qk_norm", False), ("qk_norm_type", "per_head"),  # type: ignore[list-item]
                 ("rotary_dim", 7), ("rotary_dim", 10_000), ("shared_intermediate_size", 128), ("attn_type_list", [0, 1])]  # type: ignore[list-item]
    key, value = rng.choice(ways)
    if "text_config" in c.config and key.startswith("rope"):
        key, value = "hidden_activation", "tanh"
    text.pop("rope_parameters", None) if key == "rope_scaling" else None
    text[key] = value
    if key == "rope_scaling":
        text.setdefault("rope_theta", 10_000.0)
    c.note(f"{key} {value}")
    return ["config.json", key]


@fault("config")
def unreadable_config(c, base, rng):
    text = json.dumps(c.config, indent=2)
    cut = rng.randrange(1, len(text) - 1)
    c.spelling, what = rng.choice([
        (text[:cut], "cut"), ("", "empty"), ("[]", "array"), ("null", "null"), (text + "}", "more behind it"),
        ("{" + text[1:-2] + ', "hidden_size": 1\n}', "twice"), (text.replace(":", "=", 1), "="), (b"\xff\xfe" + text.encode(), "bytes"),
        ('{"a": ' * 100_000, "deep"), (text[:-2] + ",}", "comma"), ("// x\n" + text, "comment"), (b"\0" * 300, "zeros"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "pointer"),
        ("<!DOCTYPE html><html></html>", "page"), (text.replace('"', "'"), "quotes"), ("NaN", "NaN")])
    if isinstance(c.spelling, str) and what == "twice" and "text_config" in c.config:
        c.spelling = text.replace('"model_type"', '"model_type": "gemma3", "model_type"', 1)
    c.note(what)
    return [r"config\.json"]


@fault("config")
def unknown_method(c, base, rng):
    c.config["quantization_config"] = rng.choice([
        {"quant_method": "exl9"}, {"quant_method": 8}, {}, {"bits": 4}, {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "compressed-tensors"}, {"quant_method": "gptq"}, {"quant_method": "fp8", "weight_block_size": [128]},
        {"quant_method": "fp8", "weight_block_size": [0, 128]}, {"quant_method": "awq", "bits": 3},
        {"quant_method": "gptq", "bits": 4, "group_size": 0}, {"quant_method": "gptq", "bits": 5, "group_size": 32},
        {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "marlin"}, {"quant_method": "aqlm"}])
    c.note(c.config["quantization_config"])
    return [r"config\.json", "quantization_config"]


@fault("config", GPTQ + ["awq int4 g32 zero"])
def contradicting_codes(c, base, rng):
    described = c.config["quantization_config"]
    ways = [("group_size", described["group_size"] * 2), ("group_size", -1)]
    if described["quant_method"] == "gptq":
        ways += [("bits", 12 - described["bits"]), ("sym", not described["sym"]), ("checkpoint_format", "marlin")]
    key, value = rng.choice(ways)
    if key == "sym" and value is False:
        # Zero points that are all the middle are no contradiction.
        key, value = "bits", 12 - described["bits"]
    modules = [n for n in c.tensors if n.endswith("qweight")]
    if key == "group_size" and all(
            c.tensors[m.replace("qweight", "scales")][1][0] == 1 for m in modules):
        key, value = "bits", 7
    described[key] = value
    c.note(f"{key} {value}")
    return [{"group_size": "group", "bits": "bit|stored zero point", "sym": "sym|zero", "checkpoint_format": "format"}[key]]


@fault("config", PACKED + ["mx fp4", "nv fp4"])
def undescribed_codes(c, base, rng):
    described = c.config.get("quantization_config")
    weights = described["config_groups"]["group_0"]["weights"]
    way = rng.choice(["bits", "group", "none", "status", "kind"])
    if way == "bits":
        weights["num_bits"] = 2
    elif way == "group":
        weights["group_size"] = 64 if weights["group_size"] != 64 else 32
    elif way == "none":
        described["config_groups"] = {}
    elif way == "status":
        described["quantization_status"] = "calibration"
    else:
        weights["type"] = "int" if weights["type"] == "float" else "float"
    c.note(way)
    return [r"quantization_config|scheme|config group"]
