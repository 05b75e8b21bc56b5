"""The valid model that every case is a change of, and what writes cases."""

import json
import os
import random
import struct

# The base model: MiniMax-M2's layout at its smallest, 16 × 16 scale blocks.
LAYERS, EXPERTS, HIDDEN, WIDTH, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY, BLOCK = (
    1, 2, 32, 16, 4, 2, 8, 16, 16)
BITS = {"F64": 64, "F32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "U8": 8, "I8": 8, "I32": 32,
        "I64": 64, "F4": 4, "F6_E2M3": 6, "BOOL": 8}

CONFIG = {
    "architectures": ["MiniMaxM2ForCausalLM"],
    "attn_type_list": [1] * LAYERS,
    "head_dim": HEAD_DIM,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "intermediate_size": WIDTH,
    "max_position_embeddings": 64,
    "model_type": "minimax_m2",
    "num_attention_heads": HEADS,
    "num_experts_per_tok": 2,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "num_local_experts": EXPERTS,
    "qk_norm_type": "per_layer",
    "quantization_config": {
        "activation_scheme": "dynamic", "fmt": "float8_e4m3fn", "quant_method": "fp8",
        "weight_block_size": [BLOCK, BLOCK]},
    "rms_norm_eps": 1e-06,
    "rope_theta": 5000000,
    "rotary_dim": 4,
    "scoring_func": "sigmoid",
    "shared_intermediate_size": 0,
    "tie_word_embeddings": False,
    "use_qk_norm": True,
    "use_routing_bias": True,
    "vocab_size": VOCABULARY,
}

MOE = "model.layers.0.block_sparse_moe."
ATTENTION = "model.layers.0.self_attn."


def base_tensors():
    """{name: (dtype, shape, bytes)} of the valid model, always the same."""
    rng = random.Random(20240229)
    out = {}

    def bf16(name, *shape, around=0.0, spread=1.0):
        n = 1
        for d in shape:
            n *= d
        values = (struct.pack("<f", around + spread * rng.uniform(-1, 1))[2:] for _ in range(n))
        out[name] = "BF16", list(shape), b"".join(values)

    def f32(name, *shape, spread=1.0):
        n = 1
        for d in shape:
            n *= d
        out[name] = "F32", list(shape), struct.pack(
            f"<{n}f", *(spread * rng.uniform(-1, 1) for _ in range(n)))

    def fp8(name, rows, columns):
        # 0x00…0x70: no NaN and nothing large; the sign at random.
        codes = bytes(rng.randrange(0x71) | rng.choice((0, 0x80)) for _ in range(rows * columns))
        grid = -(-rows // BLOCK), -(-columns // BLOCK)
        scales = (rng.uniform(0.001, 0.003) for _ in range(grid[0] * grid[1]))
        out[name] = "F8_E4M3", [rows, columns], codes
        out[name + "_scale_inv"] = "F32", list(grid), struct.pack(f"<{grid[0] * grid[1]}f", *scales)

    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    bf16("model.embed_tokens.weight", VOCABULARY, HIDDEN)
    for norm in ("input_layernorm", "post_attention_layernorm"):
        bf16(f"model.layers.0.{norm}.weight", HIDDEN, around=1, spread=0.1)
    fp8(ATTENTION + "q_proj.weight", q, HIDDEN)
    fp8(ATTENTION + "k_proj.weight", kv, HIDDEN)
    fp8(ATTENTION + "v_proj.weight", kv, HIDDEN)
    fp8(ATTENTION + "o_proj.weight", HIDDEN, q)
    bf16(ATTENTION + "q_norm.weight", q, around=1, spread=0.1)
    bf16(ATTENTION + "k_norm.weight", kv, around=1, spread=0.1)
    f32(MOE + "gate.weight", EXPERTS, HIDDEN)
    f32(MOE + "e_score_correction_bias", EXPERTS, spread=0.1)
    for e in range(EXPERTS):
        fp8(f"{MOE}experts.{e}.w1.weight", WIDTH, HIDDEN)
        fp8(f"{MOE}experts.{e}.w2.weight", HIDDEN, WIDTH)
        fp8(f"{MOE}experts.{e}.w3.weight", WIDTH, HIDDEN)
    bf16("model.norm.weight", HIDDEN, around=1, spread=0.1)
    bf16("lm_head.weight", VOCABULARY, HIDDEN)
    return out


BASE = base_tensors()


def dump(value):
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def raw(header, payload=b"", length=None):
    """A SafeTensors file of any header text and any stated length."""
    if isinstance(header, str):
        header = header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + payload


def safetensors(tensors, metadata=True):
    """A correct file of {name: (dtype, shape, bytes)}."""
    header, at, payload = {}, 0, []
    if metadata:
        header["__metadata__"] = {"format": "pt"}
    for name, (dtype, shape, data) in sorted(
            tensors.items(), key=lambda t: (-BITS[t[1][0]], t[0])):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
        payload.append(data)
    text = compact(header)
    return raw(text + " " * (-len(text.encode()) % 8), b"".join(payload))


class Cases:
    def __init__(self, root):
        self.root, self.list = root, []

    def write(self, path, data):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)

    def add(self, target, name, path, expects, about):
        name = f"{target}/{name}"
        entry = {"name": name, "path": path, "target": target}
        entry.update({"ok": True} if expects is None else {"expects": expects})
        entry["about"] = about
        assert all(c["name"] != name for c in self.list), name
        self.list.append(entry)

    def header(self, name, data, expects, about):
        """One SafeTensors file; the base name is always expected in the message."""
        path = f"header/{name}.safetensors"
        self.write(path, data)
        self.add("header", name, path,
                 None if expects is None else [f"{name}.safetensors", *expects], about)

    def entry(self, name, text, expects, about, payload=8):
        """A header with one tensor 'a.weight' whose entry is `text`."""
        self.header(name, raw('{"a.weight":' + text + "}", bytes(payload)),
                    expects if expects is None else ["a.weight", *expects], about)

    def folder(self, target, name, files, expects, about):
        """A folder of {file: bytes, or a link's target as str}."""
        path = f"{target}/{name}"
        os.makedirs(os.path.join(self.root, path), exist_ok=True)
        for file, data in files.items():
            if isinstance(data, str):
                os.symlink(data, os.path.join(self.root, path, file))
            else:
                self.write(f"{path}/{file}", data)
        self.add(target, name, path, expects, about)

    def file(self, target, name, suffix, data, expects, about):
        path = f"{target}/{name}{suffix}"
        self.write(path, data)
        self.add(target, name, path,
                 None if expects is None else [name + suffix, *expects], about)


def model(changes=None, without=(), tensors=None, config=None):
    """Files of the base model with config keys changed, left out, or the bytes of config replaced."""
    c = {k: v for k, v in {**CONFIG, **(changes or {})}.items() if k not in without}
    return {"config.json": dump(c) if config is None else config,
            "model.safetensors": safetensors(BASE if tensors is None else tensors)}


INDEX = "model.safetensors.index.json"
FIRST, SECOND = (f"model-{i:05d}-of-00002.safetensors" for i in (1, 2))


def is_first(name):
    return not name.startswith(("model.norm", "lm_head")) and ".experts." not in name


def split():
    return {FIRST: safetensors({k: v for k, v in BASE.items() if is_first(k)}),
            SECOND: safetensors({k: v for k, v in BASE.items() if not is_first(k)})}
