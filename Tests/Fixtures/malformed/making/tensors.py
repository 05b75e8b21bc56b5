"""Checkpoints whose tensors are not those that config.json speaks of."""

from making.base import ATTENTION, BASE, CONFIG, EXPERTS, HIDDEN, MOE, VOCABULARY, WIDTH, dump, model, split


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
