#!/usr/bin/env python3
"""Makes the malformed checkpoints beside this file, and cases.json, which lists them.

    Tests/Fixtures/malformed/make.py            # rewrites everything; the result is checked in
    Tests/Fixtures/malformed/make.py --check    # fails if what is checked in differs

Each case of cases.json has `name`, `path`, `target` (what reads it: "header" for one SafeTensors
file on its own, "safetensors", "config" and "index" for a checkpoint folder, "ingot", "tokenizer",
"recipe"), `expects` (strings that the error message must hold: file, tensor, what was found) and
`about`. Controls have `"ok": true` and must be read without an error.

Standard library only, deterministic: one seeded generator makes the weights, and nothing else is
drawn.
"""

import argparse
import filecmp
import json
import os
import random
import shutil
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = {"make.py", "README.md"}

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


def good_entry(begin=0, end=8, name=None):
    text = f'{{"dtype":"F32","shape":[2],"data_offsets":[{begin},{end}]}}'
    return text if name is None else f'"{name}":{text}'


def header_cases(c):
    valid = raw("{" + good_entry(name="a.weight") + "}", bytes(8))
    c.header("ok-one-tensor", valid, None, "control: one tensor of two F32")
    c.header("ok-padded", raw("{" + good_entry(name="a") + "}   \n\t ", bytes(8)), None,
             "control: white space after the header's object")
    c.entry("ok-scalar", '{"dtype":"F32","shape":[],"data_offsets":[0,4]}', None,
            "control: no extents, one value", payload=4)
    c.entry("ok-empty", '{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}', None,
            "control: no values, no bytes", payload=0)
    c.entry("ok-any-order", '{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}', None,
            "control: keys of an entry in another order")
    c.header("ok-not-in-file-order",
             raw("{" + good_entry(8, 16, "a") + "," + good_entry(0, 8, "b") + "}", bytes(16)),
             None, "control: header order is not buffer order")
    c.header("ok-escaped-name", raw('{"\\u0061.weight":' + good_entry() + "}", bytes(8)), None,
             "control: a name written with escapes")

    c.header("empty-file", b"", ["0 bytes"], "no bytes at all")
    c.header("seven-bytes", valid[:7], ["7 bytes"], "ends inside the header length")
    c.header("length-only", valid[:8], [], "ends after the header length")
    c.header("cut-in-header", valid[:40], [], "ends inside the header")
    c.header("header-past-end", raw("{" + good_entry(name="a") + "}", bytes(8), 4096), ["4096"],
             "a header longer than the file")
    c.header("payload-short", valid[:-1], ["a.weight"], "one byte of payload is missing")
    c.header("payload-long", valid + b"\0", ["1"], "one byte too many after the last tensor")
    c.header("length-zero", raw("", bytes(8)), [], "header length 0")
    c.header("length-over-limit", raw("{}", b"", 100_000_001), ["100000001"],
             "header length one above 100 MB")
    c.header("length-2-63", raw("{}", b"", 1 << 63), ["9223372036854775808"],
             "header length that is negative when signed")
    c.header("length-all-ones", raw("{}", b"", (1 << 64) - 1), ["18446744073709551615"],
             "header length whose sum with 8 overflows")
    c.header("length-2-63-less-8", raw("{}", b"", (1 << 63) - 8), ["9223372036854775800"],
             "header length whose sum with 8 overflows when signed")

    c.header("not-utf-8", raw(b'{"\xff\xfe":' + good_entry().encode() + b"}", bytes(8)), [],
             "a name that is not UTF-8")
    c.header("surrogate", raw(b'{"\xed\xa0\x80":' + good_entry().encode() + b"}", bytes(8)), [],
             "a surrogate written as UTF-8")
    c.header("lone-surrogate-escape", raw('{"\\ud800":' + good_entry() + "}", bytes(8)), [],
             "half a surrogate pair as an escape")
    c.header("overlong-utf-8", raw(b'{"\xc0\xaf":' + good_entry().encode() + b"}", bytes(8)), [],
             "a slash in two bytes")
    c.header("byte-order-mark", raw(b"\xef\xbb\xbf{" + good_entry(name="a").encode() + b"}",
                                    bytes(8)), [], "a byte order mark before the object")
    c.header("leading-space", raw(" {" + good_entry(name="a") + "}", bytes(8)), [],
             "the header must begin with '{'")
    c.header("array", raw("[" + good_entry() + "]", bytes(8)), [], "an array instead of an object")
    c.header("number", raw("17"), [], "a number instead of an object")
    c.header("null", raw("null"), [], "null instead of an object")
    c.header("zeros", raw(bytes(64)), [], "a header of zero bytes")
    c.header("garbage-after", raw("{" + good_entry(name="a") + "}x", bytes(8)), [],
             "a letter after the object")
    c.header("second-object", raw("{" + good_entry(name="a") + "}{}", bytes(8)), [],
             "a second object after the first")
    c.header("nul-padding", raw("{" + good_entry(name="a") + "}\0\0", bytes(8)), [],
             "padding with NUL instead of spaces")
    c.header("trailing-comma", raw("{" + good_entry(name="a") + ",}", bytes(8)), [],
             "a comma before the closing brace")
    c.header("single-quotes", raw("{'a':" + good_entry() + "}", bytes(8)), [], "quotes of Python")
    c.header("comment", raw("{/*x*/" + good_entry(name="a") + "}", bytes(8)), [], "a comment")
    c.header("unclosed", raw("{" + good_entry(name="a"), bytes(8)), [], "no closing brace")
    c.header("raw-newline-in-name", raw('{"a\nb":' + good_entry() + "}", bytes(8)), [],
             "a line end inside a string")
    c.header("bad-escape", raw('{"\\x41":' + good_entry() + "}", bytes(8)), [],
             "an escape that JSON does not have")

    c.header("duplicate-name", raw(
        "{" + good_entry(0, 8, "a.weight") + "," + good_entry(8, 16, "a.weight") + "}", bytes(16)),
        ["a.weight"], "one name twice")
    c.header("duplicate-name-escaped", raw(
        "{" + good_entry(0, 8, "a.weight") + "," + good_entry(8, 16, "\\u0061.weight") + "}",
        bytes(16)), ["a.weight"], "one name twice, once written with an escape")
    c.header("duplicate-metadata", raw(
        '{"__metadata__":{},"__metadata__":{},' + good_entry(name="a") + "}", bytes(8)),
        ["__metadata__"], "__metadata__ twice")
    c.header("duplicate-metadata-key", raw(
        '{"__metadata__":{"k":"1","k":"2"},' + good_entry(name="a") + "}", bytes(8)), ["k"],
        "a key of __metadata__ twice")
    c.entry("duplicate-dtype",
            '{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}', ["dtype"],
            "dtype twice, values that differ")
    c.entry("duplicate-shape", '{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}',
            ["shape"], "shape twice")
    c.entry("duplicate-offsets",
            '{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}',
            ["data_offsets"], "data_offsets twice")

    c.entry("dtype-unknown", '{"dtype":"F33","shape":[2],"data_offsets":[0,8]}', ["F33"],
            "no such type")
    c.entry("dtype-lower-case", '{"dtype":"f32","shape":[2],"data_offsets":[0,8]}', ["f32"],
            "types are upper case")
    c.entry("dtype-number", '{"dtype":32,"shape":[2],"data_offsets":[0,8]}', [],
            "a number for a type")
    c.entry("dtype-null", '{"dtype":null,"shape":[2],"data_offsets":[0,8]}', [],
            "null for a type")
    c.entry("no-dtype", '{"shape":[2],"data_offsets":[0,8]}', ["dtype"], "dtype is missing")
    c.entry("no-shape", '{"dtype":"F32","data_offsets":[0,8]}', ["shape"], "shape is missing")
    c.entry("no-offsets", '{"dtype":"F32","shape":[2]}', ["data_offsets"],
            "data_offsets are missing")
    c.entry("entry-empty", "{}", [], "an entry without keys")
    c.entry("entry-array", '["F32",[2],[0,8]]', [], "an array for an entry")
    c.entry("entry-null", "null", [], "null for an entry")
    c.entry("extra-key", '{"dtype":"F32","shape":[2],"data_offsets":[0,8],"order":"C"}', ["order"],
            "a key that the format does not have")

    c.entry("offset-negative", '{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}', [],
            "a negative begin")
    c.entry("offset-minus-zero", '{"dtype":"F32","shape":[2],"data_offsets":[-0,8]}', [],
            "minus zero is no unsigned integer")
    c.entry("offset-fraction", '{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}', [],
            "a fraction, though a whole one")
    c.entry("offset-exponent", '{"dtype":"F32","shape":[250],"data_offsets":[0,1e3]}', [],
            "an exponent, though a whole number", payload=1000)
    c.entry("offset-leading-zero", '{"dtype":"F32","shape":[2],"data_offsets":[0,08]}', [],
            "a leading zero")
    c.entry("offset-string", '{"dtype":"F32","shape":[2],"data_offsets":["0","8"]}', [],
            "numbers as strings")
    c.entry("offset-past-end", '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}', ["16"],
            "a tensor longer than the buffer")
    c.entry("offset-2-63", '{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775800,'
            '9223372036854775808]}', [], "offsets around 2^63")
    c.entry("offset-2-64", '{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,'
            '18446744073709551616]}', [], "an end that no 64-bit number holds")
    c.entry("offset-30-digits", '{"dtype":"F32","shape":[2],"data_offsets":[0,'
            + "9" * 30 + "]}", [], "an end of 30 digits")
    c.entry("offsets-one", '{"dtype":"F32","shape":[2],"data_offsets":[8]}', ["data_offsets"],
            "one offset")
    c.entry("offsets-three", '{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}', [],
            "three offsets")
    c.entry("offsets-inverted", '{"dtype":"F32","shape":[2],"data_offsets":[8,0]}', [],
            "the end before the begin")
    c.entry("size-too-small", '{"dtype":"F32","shape":[3],"data_offsets":[0,8]}', ["8"],
            "fewer bytes than type and shape need")
    c.entry("size-too-large", '{"dtype":"F32","shape":[1],"data_offsets":[0,8]}', ["8"],
            "more bytes than type and shape need")
    c.entry("offset-not-at-start", '{"dtype":"F32","shape":[2],"data_offsets":[8,16]}', [],
            "the first tensor does not begin at 0", payload=16)
    c.header("overlap", raw(
        "{" + good_entry(0, 8, "a") + "," + good_entry(4, 12, "b.weight") + "}", bytes(12)),
        ["b.weight"], "two tensors share four bytes")
    c.header("same-place", raw(
        "{" + good_entry(0, 8, "a.weight") + "," + good_entry(0, 8, "b.weight") + "}", bytes(8)),
        ["b.weight"], "two tensors share all their bytes")
    c.header("hole", raw(
        "{" + good_entry(0, 8, "a") + "," + good_entry(12, 20, "b.weight") + "}", bytes(20)),
        ["b.weight"], "four bytes belong to nobody")
    c.header("only-payload", raw("{}", bytes(8)), ["8"], "bytes without any tensor")

    c.entry("shape-product-overflow", '{"dtype":"F32","shape":[1099511627776,1099511627776],'
            '"data_offsets":[0,0]}', [], "2^40 × 2^40 values wrap around to 0", payload=0)
    c.entry("shape-bytes-overflow", '{"dtype":"F64","shape":[2305843009213693952],'
            '"data_offsets":[0,0]}', [], "2^61 values of 8 bytes wrap around to 0", payload=0)
    c.entry("shape-zero-times-overflow", '{"dtype":"F32","shape":[1099511627776,1099511627776,0],'
            '"data_offsets":[0,0]}', [], "a product that overflows before it meets the 0", payload=0)
    c.entry("shape-2-64", '{"dtype":"F32","shape":[18446744073709551618],"data_offsets":[0,8]}',
            [], "an extent that is 2 modulo 2^64")
    c.entry("shape-negative", '{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}', [],
            "a negative extent")
    c.entry("shape-two-negatives", '{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}', [],
            "negative extents whose product fits")
    c.entry("shape-fraction", '{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}', [],
            "a fraction as an extent")
    c.entry("shape-number", '{"dtype":"F32","shape":2,"data_offsets":[0,8]}', [],
            "a number for a shape")
    c.entry("shape-nested", '{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}', [],
            "an array as an extent")
    c.entry("shape-10000-dims", '{"dtype":"F32","shape":[' + ",".join(["1"] * 10_000)
            + '],"data_offsets":[0,4]}', [], "ten thousand extents of 1", payload=4)
    c.entry("f4-odd", '{"dtype":"F4","shape":[3],"data_offsets":[0,2]}', ["F4"],
            "three values of four bits do not end on a byte", payload=2)
    c.entry("f6-odd", '{"dtype":"F6_E2M3","shape":[3],"data_offsets":[0,3]}', ["F6_E2M3"],
            "three values of six bits do not end on a byte", payload=3)

    c.header("deep-arrays", raw('{"a":' + "[" * 10_000 + "]" * 10_000 + "}"), [],
             "ten thousand arrays in each other")
    c.header("deep-objects", raw('{"a":' * 10_000 + "1" + "}" * 10_000), [],
             "ten thousand objects in each other")
    c.header("deep-metadata", raw('{"__metadata__":' + "[" * 10_000 + "]" * 10_000 + "}"), [],
             "ten thousand arrays in __metadata__")
    c.header("name-terminal-escape", raw(
        '{"\\u001b[2J\\u001b]0;x\\u0007":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}',
        bytes(8)), ["F33", "\\u{1b}"], "a name that would clear a terminal; it must be shown escaped")
    c.header("name-bidirectional", raw(
        '{"a\\u202etxt.exe":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["F33", "\\u{202e}"], "a name that would be shown in another order")
    c.header("dtype-terminal-escape", raw(
        '{"a.weight":{"dtype":"\\u001b[31mF32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["a.weight", "\\u{1b}"], "a type that would colour a terminal")
    c.header("name-newline-error", raw(
        '{"a\\nerror: all is well":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["F33", "\\u{a}"], "a name that would write a second line")
    c.header("name-long", raw(
        '{"' + "n" * 20_000 + '":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["F33"], "a name of 20,000 letters; the message must stay short")

    c.header("metadata-array", raw('{"__metadata__":[],' + good_entry(name="a") + "}", bytes(8)),
             [], "__metadata__ is an array")
    c.header("metadata-string", raw('{"__metadata__":"pt",' + good_entry(name="a") + "}", bytes(8)),
             [], "__metadata__ is a string")
    c.header("metadata-number", raw(
        '{"__metadata__":{"step":3},' + good_entry(name="a") + "}", bytes(8)), [],
        "a value of __metadata__ is a number")
    c.header("metadata-null", raw(
        '{"__metadata__":{"step":null},' + good_entry(name="a") + "}", bytes(8)), [],
        "a value of __metadata__ is null")
    c.header("metadata-nested", raw(
        '{"__metadata__":{"a":{"b":"c"}},' + good_entry(name="a") + "}", bytes(8)), [],
        "a value of __metadata__ is an object")


def model(changes=None, without=(), tensors=None, config=None):
    """Files of the base model with config keys changed, left out, or the bytes of config replaced."""
    c = {k: v for k, v in {**CONFIG, **(changes or {})}.items() if k not in without}
    return {"config.json": dump(c) if config is None else config,
            "model.safetensors": safetensors(BASE if tensors is None else tensors)}


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
                "num_local_experts", "num_experts_per_tok", "intermediate_size", "vocab_size",
                "rms_norm_eps", "rope_theta", "scoring_func"):
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
            ("unknown-family", "model_type", "llama", "a family that nobody wrote"),
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
            ("tied", "tie_word_embeddings", True, "head and embedding in one"),
            ("rope-scaling", "rope_scaling", {"type": "yarn", "factor": 4.0}, "stretched positions"),
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


def tensor_cases(c):
    file = "model.safetensors"

    def changed(name, about, expects, drop=(), put=None):
        tensors = {k: v for k, v in BASE.items() if k not in drop}
        tensors.update(put or {})
        c.folder("safetensors", name, model(tensors=tensors), expects, about)

    w1, w2 = f"{MOE}experts.0.w1.weight", f"{MOE}experts.1.w2.weight"
    changed("expert-missing", "one projection of one expert and its scales are missing", [w2],
            drop=(w2, w2 + "_scale_inv"))
    for name in ("lm_head.weight", "model.norm.weight", MOE + "gate.weight",
                 MOE + "e_score_correction_bias", ATTENTION + "q_norm.weight"):
        changed("missing-" + name.split(".")[-2 if name.endswith("weight") else -1],
                "a tensor is missing", [name], drop=(name,))
    changed("scale-alone", "scales without their weight", [file, w2 + "_scale_inv"], drop=(w2,))
    changed("weight-alone", "FP8 without scales", [file, w2], drop=(w2 + "_scale_inv",))
    changed("scale-shape", "one row of scales too many", [file, w1 + "_scale_inv", "2, 2"],
            put={w1 + "_scale_inv": ("F32", [2, 2], bytes(16))})
    changed("scale-transposed", "scales of the transposed grid", [file, w1 + "_scale_inv", "2, 1"],
            put={w1 + "_scale_inv": ("F32", [2, 1], bytes(8))})
    changed("scale-rank", "scales without dimensions", [file, w1 + "_scale_inv"],
            put={w1 + "_scale_inv": ("F32", [2], bytes(8))})
    changed("scale-integers", "integers as scales", [file, w1 + "_scale_inv", "I32"],
            put={w1 + "_scale_inv": ("I32", [1, 2], bytes(8))})
    changed("scale-fp8", "FP8 as scales", [file, w1 + "_scale_inv", "F8_E4M3"],
            put={w1 + "_scale_inv": ("F8_E4M3", [1, 2], bytes(2))})
    changed("bf16-with-scale", "scales beside a weight that needs none", [file, w1],
            put={w1: ("BF16", [WIDTH, HIDDEN], bytes(2 * WIDTH * HIDDEN))})
    changed("router-shape", "a router for three experts", [file, MOE + "gate.weight", "3"],
            put={MOE + "gate.weight": ("F32", [3, HIDDEN], bytes(12 * HIDDEN))})
    changed("router-rank", "a router in three dimensions", [file, MOE + "gate.weight"],
            put={MOE + "gate.weight": ("F32", [1, EXPERTS, HIDDEN], bytes(8 * HIDDEN))})
    changed("router-integers", "integers as a router", [file, MOE + "gate.weight", "I32"],
            put={MOE + "gate.weight": ("I32", [EXPERTS, HIDDEN], bytes(4 * EXPERTS * HIDDEN))})
    changed("bias-shape", "a bias too long", [file, MOE + "e_score_correction_bias", "3"],
            put={MOE + "e_score_correction_bias": ("F32", [3], bytes(12))})
    changed("expert-transposed", "a projection the wrong way round", [w1, "32, 16"],
            put={w1: ("F8_E4M3", [HIDDEN, WIDTH], bytes(WIDTH * HIDDEN)),
                 w1 + "_scale_inv": ("F32", [2, 1], bytes(8))})
    changed("norm-shape", "a norm as a matrix", [file, "model.norm.weight"],
            put={"model.norm.weight": ("BF16", [1, HIDDEN], bytes(2 * HIDDEN))})
    changed("embedding-integers", "integers as an embedding",
            [file, "model.embed_tokens.weight", "I64"],
            put={"model.embed_tokens.weight":
                 ("I64", [VOCABULARY, HIDDEN], bytes(8 * VOCABULARY * HIDDEN))})
    changed("fp8-rank", "FP8 in three dimensions", [file, w1],
            put={w1: ("F8_E4M3", [1, WIDTH, HIDDEN], bytes(WIDTH * HIDDEN))})
    for name, tensor, about in (
            ("unknown-tensor", "model.vision.patch.weight", "a tensor of nobody"),
            ("layer-too-many", "model.layers.7.input_layernorm.weight", "a layer beyond the last"),
            ("expert-too-many", f"{MOE}experts.2.w1.weight", "an expert beyond the last"),
            ("number-padded", "model.layers.00.input_layernorm.weight", "00 is not 0"),
            ("number-signed", "model.layers.+0.input_layernorm.weight", "+0 is not 0"),
            ("number-huge", "model.layers.99999999999999999999.input_layernorm.weight",
             "a layer that no integer holds"),
            ("number-other-digits", "model.layers.\u0660.input_layernorm.weight",
             "a digit, but not of ASCII"),
            ("bias-unknown", ATTENTION + "q_proj.bias", "M2 has no biases")):
        changed(name, about, [file, tensor],
                put={tensor: ("BF16", [HIDDEN], bytes(2 * HIDDEN))})

    config = dump(CONFIG)
    c.folder("safetensors", "pickle-only", {
        "config.json": config, "pytorch_model.bin": b"PK\x03\x04 not to be opened"},
        ["pytorch_model.bin"], "PyTorch's pickle, which may run code, is refused by name")
    c.folder("safetensors", "no-weights", {"config.json": config}, ["no-weights"],
             "a config and nothing else")
    parts = split()
    c.folder("safetensors", "shards-without-index", {"config.json": config, **parts},
             ["model.safetensors.index.json"], "two shards and no index")


INDEX = "model.safetensors.index.json"
FIRST, SECOND = (f"model-{i:05d}-of-00002.safetensors" for i in (1, 2))


def is_first(name):
    return not name.startswith(("model.norm", "lm_head")) and ".experts." not in name


def split():
    return {FIRST: safetensors({k: v for k, v in BASE.items() if is_first(k)}),
            SECOND: safetensors({k: v for k, v in BASE.items() if not is_first(k)})}


def index_cases(c):
    base = {name: FIRST if is_first(name) else SECOND for name in sorted(BASE)}
    total = sum(len(t[2]) for t in BASE.values())

    def index_of(weight_map):
        return dump({"metadata": {"total_size": total}, "weight_map": weight_map})

    def sharded(name, about, expects, put=None, drop=(), text=None, **files):
        weight_map = {k: v for k, v in {**base, **(put or {})}.items() if k not in drop}
        # The shards themselves are those of index/good wherever they are whole.
        made = {"config.json": dump(CONFIG), INDEX: index_of(weight_map) if text is None else text}
        made.update(files.pop("files", None) or split())
        c.folder("index", name, made, expects, about)

    sharded("good-sharded", "control: the base model in two files", None)
    norm = "model.norm.weight"
    shards = split()
    sharded("shard-missing", "a shard that the index names is not there", [SECOND],
            files={FIRST: shards[FIRST]})
    sharded("tensor-not-in-shard", "the index names a tensor that the shard does not hold",
            ["model.layers.0.extra.weight"], put={"model.layers.0.extra.weight": SECOND})
    sharded("tensor-not-in-index", "a shard holds a tensor that the index does not name",
            [SECOND, norm], drop=(norm,))
    sharded("wrong-shard", "the index places a tensor in the other shard", [norm], put={norm: FIRST})
    both = safetensors({k: v for k, v in BASE.items() if is_first(k) or k == norm})
    sharded("tensor-in-both", "both shards hold a tensor", [norm],
            files={FIRST: both, SECOND: shards[SECOND]})
    sharded("shard-cut", "a shard is one byte short", [SECOND],
            files={FIRST: shards[FIRST], SECOND: shards[SECOND][:-1]})
    sharded("shard-empty", "a shard of no bytes", [SECOND, "0 bytes"],
            files={FIRST: shards[FIRST], SECOND: b""})

    few = {FIRST: shards[FIRST]}
    for name, file, shown, about in (
            ("parent", "../good-sharded/" + SECOND, "../good-sharded/", "a path upwards"),
            ("parent-inside", "x/../" + SECOND, "x/../", "a path up and down again"),
            ("absolute", "/etc/passwd", "/etc/passwd", "an absolute path"),
            ("absolute-shard", "/tmp/" + SECOND, "/tmp/", "an absolute path of the right ending"),
            ("folder", "sub/" + SECOND, "sub/", "a path downwards"),
            ("backslash", "..\\" + SECOND, "..\\", "a path upwards on another system"),
            ("drive", "C:" + SECOND, "C:", "a drive on another system"),
            ("nul", SECOND + "\0.txt", "", "a NUL, at which C would end the name"),
            ("nul-inside", "model\0.safetensors", "\\u{0}", "a NUL inside a name"),
            ("terminal-escape", "\x1b[2J.safetensors", "\\u{1b}", "a name that clears a terminal"),
            ("dot-dot", "..", "..", "the folder above"),
            ("empty-name", "", "", "no name"),
            ("hidden", ".safetensors", ".safetensors", "an ending and no name"),
            ("pickle", "pytorch_model.bin", "pytorch_model.bin", "a file of another kind"),
            ("name-long", "n" * 5000 + ".safetensors", "", "a name longer than file systems allow")):
        sharded("path-" + name, about, [INDEX, norm, *([shown] if shown else [])], put={norm: file},
                files=few)

    for name, weight_map, about in (
            ("map-array", [["a", FIRST]], "an array for the map"),
            ("map-string", FIRST, "a string for the map"),
            ("map-null", None, "null for the map"),
            ("map-empty", {}, "no entries"),
            ("file-number", {norm: 1}, "a number for a file"),
            ("file-array", {norm: [FIRST]}, "an array for a file"),
            ("file-null", {norm: None}, "null for a file")):
        sharded(name, about, [INDEX], text=index_of(weight_map), files=few)
    sharded("no-map", "no weight_map", [INDEX, "weight_map"],
            text=dump({"metadata": {"total_size": total}}), files=few)
    whole = index_of(base)
    line = f'"{norm}": "{SECOND}"'.encode()
    assert line in whole
    sharded("duplicate-tensor", "one tensor twice, in different shards", [INDEX, norm],
            text=whole.replace(line, line + f', "{norm}": "{FIRST}"'.encode()))
    sharded("duplicate-map", "two maps", [INDEX, "weight_map"],
            text=whole.rstrip()[:-1] + b', "weight_map": {}}')
    sharded("empty", "no bytes", [INDEX], text=b"", files=few)
    sharded("cut", "the end is missing", [INDEX], text=whole[:300], files=few)
    sharded("array", "an array", [INDEX], text=b"[]", files=few)
    sharded("garbage-after", "a letter after the object", [INDEX], text=whole + b"x", files=few)
    sharded("not-utf-8", "a name that is not UTF-8", [INDEX],
            text=whole.replace(norm.encode(), b"model.\xff.weight"), files=few)
    sharded("deep", "ten thousand arrays in each other", [INDEX], files=few,
            text=whole.rstrip()[:-1] + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}")
    sharded("link-out", "a shard is a link out of the folder", [SECOND],
            files={FIRST: shards[FIRST], SECOND: "../good-sharded/" + SECOND})
    sharded("link-dangling", "a shard is a link to nothing", [SECOND],
            files={FIRST: shards[FIRST], SECOND: "nothing-here.safetensors"})
    sharded("link-loop", "a shard is a link to itself", [SECOND],
            files={FIRST: shards[FIRST], SECOND: SECOND})


def other_cases(c):
    for name, data, about in (
            ("empty", b"", "no bytes"),
            ("one-byte", b"I", "one byte"),
            ("zeros", bytes(256), "zero bytes where the magic belongs"),
            ("ones", b"\xff" * 256, "ones everywhere"),
            ("a-safetensors-file", raw("{}", bytes(256)), "SafeTensors under another name"),
            ("a-gguf-file", b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(232),
             "GGUF under another name")):
        c.file("ingot", name, ".ingot", data, [], about)

    alphabet = {chr(33 + i): i for i in range(94)}
    good = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 95, "content": "<end>", "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": False},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "vocab": {**alphabet, "th": 94}, "merges": [["t", "h"]]}}

    def tokenizer(name, about, *expects, **changes):
        m = {**good["model"], **changes.pop("model", {})}
        value = {**good, "model": m, **changes}
        c.file("tokenizer", name, ".json", dump(value), list(expects), about)

    tokenizer("word-piece", "another kind of model", "WordPiece", model={"type": "WordPiece"})
    tokenizer("dropout", "merges left out at random", "dropout", model={"dropout": 0.1})
    tokenizer("vocab-array", "an array for the vocabulary", model={"vocab": ["t", "h"]})
    tokenizer("id-string", "an id as a string", model={"vocab": {**alphabet, "th": "94"}})
    tokenizer("id-negative", "a negative id", model={"vocab": {**alphabet, "th": -1}})
    tokenizer("id-huge", "an id of 2^40", model={"vocab": {**alphabet, "th": 1 << 40}})
    tokenizer("id-twice", "one id for two tokens", model={"vocab": {**alphabet, "th": 0}})
    tokenizer("merge-unknown", "a merge whose result is no token", "zz",
              model={"merges": [["z", "z"]]})
    tokenizer("merge-unknown-part", "a merge of what is no token", "qu",
              model={"merges": [["qu", "t"]]})
    tokenizer("merge-three", "a merge of three", model={"merges": [["t", "h", "e"]]})
    tokenizer("merge-no-space", "a merge in the old form without a space",
              model={"merges": ["th"]})
    tokenizer("merge-number", "a number for a merge", model={"merges": [7]})
    tokenizer("merges-missing", "null for the merges", model={"merges": None})
    tokenizer("added-id-negative", "an added token of negative id",
              added_tokens=[{**good["added_tokens"][0], "id": -1}])
    tokenizer("added-empty", "an added token without text",
              added_tokens=[{**good["added_tokens"][0], "content": ""}])
    tokenizer("added-number", "a number for an added token", added_tokens=[5])
    tokenizer("pre-tokenizer-unknown", "a pre-tokenizer nobody wrote", "Telepathy",
              pre_tokenizer={"type": "Telepathy"})
    tokenizer("pattern-unclosed", "a pattern with an open bracket", pre_tokenizer={
        "type": "Split", "pattern": {"Regex": "[\\p{L}"}, "behavior": "Isolated", "invert": False})
    tokenizer("pattern-backreference", "a pattern that looks back", pre_tokenizer={
        "type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated", "invert": False})
    text = dump(good)
    c.file("tokenizer", "ok-tokenizer", ".json", text, None, "control: 95 tokens and one merge")
    c.file("tokenizer", "tokenizer-empty", ".json", b"", [], "no bytes")
    c.file("tokenizer", "tokenizer-cut", ".json", text[:400], [], "the end is missing")
    c.file("tokenizer", "tokenizer-array", ".json", b"[]", [], "an array")
    c.file("tokenizer", "tokenizer-duplicate-token", ".json",
           text.replace(b'"th": 94', b'"th": 94, "t": 3'), [], "one token twice")
    c.file("tokenizer", "tokenizer-no-model", ".json",
           dump({k: v for k, v in good.items() if k != "model"}), ["model"], "no model")

    def recipe(name, about, text, *expects):
        c.file("recipe", name, ".yaml", text if isinstance(text, bytes) else text.encode(),
               list(expects), about)

    rule = "rules:\n  - encoding: int4 g64 zero f16\n    quantizer: search\n"
    c.file("recipe", "ok-recipe", ".yaml", ("name: mine\n" + rule).encode(), None,
           "control: one rule for everything")
    recipe("recipe-empty", "no bytes", "")
    recipe("recipe-list", "a list of rules and nothing around", "- encoding: int4 g64 zero f16\n")
    recipe("recipe-no-rules", "no rules", "name: mine\n", "rules")
    recipe("recipe-rules-string", "a string for the rules", "rules: int4\n", "rules")
    recipe("recipe-not-yaml", "brackets that never close", "rules: [[[\n")
    recipe("recipe-tab", "a tab as indentation", "rules:\n\t- encoding: int8\n")
    recipe("recipe-unknown-key", "a misspelt key", rule + "    qantizer: search\n", "qantizer")
    recipe("recipe-unknown-encoding", "an encoding nobody wrote",
           rule.replace("int4 g64 zero f16", "int4.5 g63"), "int4.5")
    recipe("recipe-group-zero", "groups of nothing", rule.replace("g64", "g0"), "g0")
    recipe("recipe-unknown-quantizer", "a quantizer nobody wrote",
           rule.replace("search", "magic"), "magic")
    recipe("recipe-unknown-part", "a part that no model has",
           rule.replace("  - encoding", "  - parts: [moustache]\n    encoding"), "moustache")
    recipe("recipe-duplicate-key", "one key twice", rule + "    quantizer: nearest\n", "quantizer")
    recipe("recipe-aliases", "ten aliases of ten aliases of ten…", "".join(
        f"{a}: &{a} [{', '.join(['*' + b] * 10) if b else 'x'}]\n"
        for a, b in zip("abcdefghi", "\0abcdefgh") for b in [b.strip(chr(0))]) + rule)
    recipe("recipe-not-utf-8", "not UTF-8", b"rules:\n  - encoding: \xff\xfe\n")


def make(root):
    c = Cases(root)
    # Files on their own need a config beside them when a tool is pointed at one.
    c.write("header/config.json", dump(CONFIG))
    header_cases(c)
    config_cases(c)
    tensor_cases(c)
    index_cases(c)
    other_cases(c)
    with open(os.path.join(root, "cases.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(x, ensure_ascii=True) for x in c.list) + "\n]\n")
    return c.list


def listing(root):
    out = {}
    for folder, folders, files in os.walk(root):
        for name in files + [d for d in folders if os.path.islink(os.path.join(folder, d))]:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, root)
            if key not in KEPT and "__pycache__" not in key:
                out[key] = path
    return out


def same(a, b):
    if os.path.islink(a) or os.path.islink(b):
        return os.path.islink(a) and os.path.islink(b) and os.readlink(a) == os.readlink(b)
    return filecmp.cmp(a, b, shallow=False)


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        cases = make(fresh)
        new, old = listing(fresh), listing(HERE)
        if a.check:
            wrong = sorted(k for k in new.keys() | old.keys()
                           if k not in new or k not in old or not same(new[k], old[k]))
            for key in wrong:
                print(f"differs: {key}", file=sys.stderr)
            return 1 if wrong else 0
        for name in os.listdir(HERE):
            path = os.path.join(HERE, name)
            if name not in KEPT:
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        shutil.copytree(fresh, HERE, symlinks=True, dirs_exist_ok=True)
        size = sum(os.lstat(path).st_size for path in new.values())
        print(f"{len(cases)} cases, {len(new)} files, {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
