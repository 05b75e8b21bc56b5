#!/usr/bin/env python3
"""An independent forward pass: transformers' MiniMax-M2, in F32, on a checkpoint as released.

The checkpoint is a folder with config.json, model.safetensors.index.json (or one
model.safetensors), its shards and tokenizer.json. FP8 weights with `weight_scale_inv` are
multiplied out first; a checkpoint without them (BF16, F32) is taken as it is. Everything is held
in memory as F32, so this is for fixtures, not for 230 GB.

    oracle.py DIR --text FILE… [--context 512] [--chunks 8] [--second-half] [--logits OUT.npz]

prints one line of JSON per text: tokens scored, mean negative log-likelihood, perplexity.
"""

import argparse
import json
import math
import os

import numpy as np
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM

# Keys of config.json that speak of the file at hand or of remote code, not of the function.
NOT_ARCHITECTURE = ("architectures", "auto_map", "quantization_config", "transformers_version")


def read_config(folder):
    with open(os.path.join(folder, "config.json")) as f:
        return json.load(f)


def read_tensors(folder):
    """Every tensor of the checkpoint by its stored name, as stored."""
    index = os.path.join(folder, "model.safetensors.index.json")
    if os.path.exists(index):
        with open(index) as f:
            files = sorted(set(json.load(f)["weight_map"].values()))
    else:
        files = ["model.safetensors"]
    tensors = {}
    for name in files:
        with safe_open(os.path.join(folder, name), "pt") as shard:
            for key in shard.keys():
                tensors[key] = shard.get_tensor(key)
    return tensors


def multiply_out(weight, scale, block):
    """float(code) * scale_inv[row / block, column / block], the last blocks cut to the shape."""
    rows, columns = weight.shape
    full = scale.repeat_interleave(block[0], 0)[:rows]
    return weight.float() * full.repeat_interleave(block[1], 1)[:, :columns]


def decoded(tensors, config):
    """The checkpoint's tensors in F32 without scales, under the checkpoint's own names."""
    quantization = config.get("quantization_config") or {}
    block = quantization.get("weight_block_size", [128, 128])
    out = {}
    for name, tensor in tensors.items():
        if name.endswith("_scale_inv"):
            continue
        scale = tensors.get(name + "_scale_inv")
        out[name] = tensor.float() if scale is None else multiply_out(tensor, scale, block)
    return out


def stacked(weights, config):
    """Release names to those of transformers 5: experts stacked, gate and up in one tensor."""
    out = {
        name.replace(".block_sparse_moe.", ".mlp."): tensor
        for name, tensor in weights.items() if ".experts." not in name
    }
    experts = range(config["num_local_experts"])
    for layer in range(config["num_hidden_layers"]):
        old = f"model.layers.{layer}.block_sparse_moe.experts."
        new = f"model.layers.{layer}.mlp.experts."
        out[new + "gate_up_proj"] = torch.stack([
            torch.cat([weights[f"{old}{e}.w1.weight"], weights[f"{old}{e}.w3.weight"]])
            for e in experts
        ])
        out[new + "down_proj"] = torch.stack([weights[f"{old}{e}.w2.weight"] for e in experts])
    return out


def load(folder):
    """The model, in F32 and evaluation mode; every parameter must be met exactly once."""
    config = read_config(folder)
    wanted = {k: v for k, v in config.items() if k not in NOT_ARCHITECTURE}
    model = MiniMaxM2ForCausalLM(MiniMaxM2Config(**wanted)).float().eval()
    model.load_state_dict(stacked(decoded(read_tensors(folder), config), config), strict=True)
    return model


def token_chunks(folder, text, context, chunks):
    """The first `chunks` runs of `context` tokens of a text, (chunks, context); nothing is added."""
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    with open(text, encoding="utf-8", newline="") as f:
        ids = tokenizer.encode(f.read(), add_special_tokens=False).ids
    if len(ids) < context * chunks:
        raise SystemExit(f"{text}: {len(ids)} tokens, {context * chunks} are needed")
    return torch.tensor(ids[:context * chunks]).view(chunks, context)


def logits_of(model, ids):
    """(chunks, context) ids to (chunks, context, vocabulary) logits, a chunk at a time."""
    with torch.no_grad():
        return torch.stack([model(chunk[None]).logits[0].float() for chunk in ids])


def score(logits, ids, first=0):
    """(tokens, mean negative log-likelihood) of each token from position `first` + 1 on."""
    total, count = 0.0, 0
    for chunk, targets in zip(logits, ids):
        # In float64, so that the sum says nothing about its own order.
        log_p = torch.log_softmax(chunk[first:-1].double(), -1)
        picked = log_p.gather(1, targets[first + 1:, None])
        total, count = total - picked.sum().item(), count + picked.numel()
    return count, total / count


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--text", nargs="+", required=True, metavar="FILE")
    p.add_argument("--context", type=int, default=512)
    p.add_argument("--chunks", type=int, default=8)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument(
        "--second-half", action="store_true",
        help="score the second half of each context only, as llama.cpp's perplexity tool does")
    p.add_argument("--logits", metavar="OUT.npz", help="save ids and logits of the last text")
    a = p.parse_args()
    torch.set_num_threads(a.threads)

    model = load(a.dir)
    for text in a.text:
        ids = token_chunks(a.dir, text, a.context, a.chunks)
        logits = logits_of(model, ids)
        tokens, nll = score(logits, ids, a.context // 2 if a.second_half else 0)
        print(json.dumps({"text": text, "tokens": tokens, "negativeLogLikelihood": nll,
                          "perplexity": math.exp(nll)}), flush=True)
    if a.logits:
        np.savez(a.logits, ids=ids.numpy(), logits=logits.numpy())


if __name__ == "__main__":
    main()
