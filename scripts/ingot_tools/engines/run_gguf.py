#!/usr/bin/env python3
"""The reader package `gguf` on a GGUF file: what it decodes, against Ingot's decoding, bit for bit.

    run_gguf.py JOBS.json

JOBS.json is a list of {"artifact": FILE.gguf, "dense": DENSE}; DENSE is a folder of SafeTensors: the file decoded
to F32 by `ingot convert --decode f32 --format safetensors`. Standard output has a line of JSON for each, as
protocol.py says: tensors compared, names of those that differ.
"""

import argparse
import json
import os
import sys

import numpy as np

from ingot_tools.engines import protocol

NAMES = {
    "token_embd": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate_inp": "block_sparse_moe.gate", "exp_probs_b": "block_sparse_moe.e_score_correction_bias",
}
EXPERTS = {"ffn_gate_exps": "w1", "ffn_up_exps": "w3", "ffn_down_exps": "w2"}


def dense_names(name):
    """Names in a checkpoint of what a GGUF tensor holds; several for stacked experts, then with None for E."""
    parts = name.split(".")
    if parts[0] != "blk":
        return NAMES[parts[0]] + ".weight", False
    prefix = f"model.layers.{parts[1]}."
    if parts[2] in EXPERTS:
        return prefix + f"block_sparse_moe.experts.{{}}.{EXPERTS[parts[2]]}.weight", True
    return prefix + NAMES[parts[2]] + ("" if parts[2] == "exp_probs_b" else ".weight"), False


def compared(job):
    from gguf import GGUFReader, dequantize
    from safetensors.torch import load_file

    dense = {}
    for name in sorted(os.listdir(job["dense"])):
        if name.endswith(".safetensors"):
            dense |= load_file(os.path.join(job["dense"], name))
    count, differing = 0, []
    for tensor in GGUFReader(job["artifact"]).tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        values = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        name, stacked = dense_names(tensor.name)
        rows = [(name.format(e), values[e]) for e in range(shape[0])] if stacked else [(name, values)]
        for key, found in rows:
            wanted = dense.pop(key).float().numpy()
            count += 1
            if wanted.shape != found.shape or not np.array_equal(wanted, found.astype(np.float32)):
                differing.append(key)
    return {"engine": protocol.versions("gguf"), "compared": count, "differing": differing,
            "notInFile": sorted(dense)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("jobs", metavar="JOBS.json")
    with open(p.parse_args().jobs) as f:
        protocol.answers(json.load(f), compared)


if __name__ == "__main__":
    sys.exit(main())
