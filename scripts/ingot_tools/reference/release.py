#!/usr/bin/env python3
"""Trained weights to a checkpoint laid out like MiniMax-M2's release.

    release.py CONFIG.json --state STATE.pt --tokenizer tokenizer.json --out DIR

Projections and experts become FP8 (e4m3) with one F32 scale per 128 × 128 block, router and its
bias stay F32, the rest is rounded to BF16; SafeTensors shards, index, config.json, tokenizer and
chat template follow.

Before that, channels are rescaled in ways that leave the function as it is (a norm's gain against
the columns it feeds, rows of w3 against columns of w2), log-normally and with one channel in 64
another eight times larger: large models have such outlier channels, small ones trained for an hour
do not, and quantizers are judged by them. --outlier-sigma 0 leaves this out.
"""

import argparse
import json
import os
import shutil

import torch
from safetensors.torch import save_file

from ingot_tools.reference import agentic

BLOCK = 128
FP8_LARGEST = 448.0

CHAT_TEMPLATE = (
    "{{- ']~!b[' -}}"
    "{%- for m in messages -%}"
    "{{- ']~b]' ~ ('ai' if m.role == 'assistant' else m.role) ~ '\\n' ~ m.content ~ '[e~[' ~ '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- ']~b]ai\\n<think>\\n' -}}{%- endif -%}")


def gains(count, sigma, rng):
    out = torch.exp(sigma * torch.randn(count, generator=rng))
    out[torch.randperm(count, generator=rng)[:max(1, count // 64)]] *= 8
    return out


def rescale_channels(state, c, sigma, rng):
    """Multiplies what feeds a channel and divides what reads it, in place."""
    experts = range(c["num_local_experts"])
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        moe = layer + "block_sparse_moe."
        readers = {
            "input_layernorm": [f"{layer}self_attn.{p}_proj" for p in "qkv"],
            "post_attention_layernorm":
                [moe + "gate"] + [f"{moe}experts.{e}.{w}" for e in experts for w in ("w1", "w3")],
        }
        for norm, matrices in readers.items():
            gain = gains(c["hidden_size"], sigma, rng)
            state[f"{layer}{norm}.weight"] *= gain
            for matrix in matrices:
                state[matrix + ".weight"] /= gain
        for e in experts[::2]:  # every other one, so that experts of both kinds are there
            gain = gains(c["intermediate_size"], sigma, rng)
            state[f"{moe}experts.{e}.w3.weight"] *= gain[:, None]
            state[f"{moe}experts.{e}.w2.weight"] /= gain


def to_fp8(weight):
    """(codes F8_E4M3 of the weight's shape, scales F32 per block); the largest maps to 448."""
    rows, columns = weight.shape
    down, across = -(-rows // BLOCK), -(-columns // BLOCK)
    padded = torch.zeros(down * BLOCK, across * BLOCK)
    padded[:rows, :columns] = weight
    blocks = padded.view(down, BLOCK, across, BLOCK)
    scale = (blocks.abs().amax((1, 3)) / FP8_LARGEST).clamp(min=1e-12)
    codes = (blocks / scale[:, None, :, None]).reshape(down * BLOCK, -1)[:rows, :columns]
    return codes.to(torch.float8_e4m3fn).contiguous(), scale


def encode(state):
    """(name, tensor) as stored."""
    for name, value in state.items():
        value = value.float()
        if name.endswith("_proj.weight") or ".experts." in name:
            codes, scale = to_fp8(value)
            yield name, codes
            yield name + "_scale_inv", scale
        elif name.endswith(("gate.weight", "e_score_correction_bias")):
            yield name, value.contiguous()
        else:
            yield name, value.to(torch.bfloat16).contiguous()


def place(name):
    """Order in the files: embedding, layers, the rest."""
    if name.startswith("model.layers."):
        return 1, int(name.split(".")[2])
    return (0, 0) if "embed" in name else (2, 0)


def size(tensor):
    return tensor.numel() * tensor.element_size()


def write_shards(tensors, out, limit):
    """Fills files one after the other; returns the index."""
    shards, filled = [{}], 0
    for name, tensor in sorted(tensors, key=lambda t: place(t[0])):
        if shards[-1] and filled + size(tensor) > limit:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += size(tensor)
    weight_map, total = {}, 0
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, os.path.join(out, file), metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(shard, file))
        total += sum(map(size, shard.values()))
    return {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}


def release_config(c, begin, end):
    taken = ("head_dim", "hidden_size", "intermediate_size", "max_position_embeddings",
             "num_attention_heads", "num_experts_per_tok", "num_hidden_layers",
             "num_key_value_heads", "num_local_experts", "rms_norm_eps", "rope_theta",
             "rotary_dim", "vocab_size")
    config = {key: c[key] for key in taken}
    config.update({
        "architectures": ["MiniMaxM2ForCausalLM"],
        "attn_type_list": [1] * c["num_hidden_layers"],
        "auto_map": {
            "AutoConfig": "configuration_minimax_m2.MiniMaxM2Config",
            "AutoModelForCausalLM": "modeling_minimax_m2.MiniMaxM2ForCausalLM",
        },
        "bos_token_id": begin,
        "eos_token_id": end,
        "hidden_act": "silu",
        "model_type": "minimax_m2",
        "mtp_transformer_layers": 1,
        "num_mtp_modules": 3,
        "qk_norm_type": "per_layer",
        "quantization_config": {
            "activation_scheme": "dynamic",
            "fmt": "float8_e4m3fn",
            "quant_method": "fp8",
            "weight_block_size": [BLOCK, BLOCK],
            "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"],
        },
        "scoring_func": "sigmoid",
        "shared_intermediate_size": 0,
        "tie_word_embeddings": False,
        "transformers_version": "4.46.1",
        "use_cache": True,
        "use_mtp": True,
        "use_qk_norm": True,
        "use_routing_bias": True,
    })
    return dict(sorted(config.items()))


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config", metavar="CONFIG.json")
    p.add_argument("--state", required=True, metavar="STATE.pt")
    p.add_argument("--tokenizer", required=True, metavar="tokenizer.json")
    p.add_argument("--out", required=True, metavar="DIR")
    p.add_argument("--shard-megabytes", type=float)
    p.add_argument("--outlier-sigma", type=float)
    a = p.parse_args()
    with open(a.config) as f:
        c = json.load(f)
    wishes = c.get("release", {})
    limit = a.shard_megabytes or wishes.get("shard_megabytes", 12)
    sigma = wishes.get("outlier_sigma", 0.6) if a.outlier_sigma is None else a.outlier_sigma
    os.makedirs(a.out, exist_ok=True)

    state = torch.load(a.state, weights_only=True)
    if sigma > 0:
        rescale_channels(state, c, sigma, torch.Generator().manual_seed(c["seed"]))
    index = write_shards(encode(state), a.out, limit * 1e6)

    with open(a.tokenizer, encoding="utf-8") as f:
        ids = {t["content"]: t["id"] for t in json.load(f)["added_tokens"]}
    begin, end = ids[agentic.BEGIN], ids[agentic.END]
    side_files = {
        "model.safetensors.index.json": index,
        "config.json": release_config(c, begin, end),
        "generation_config.json": {
            "bos_token_id": begin, "do_sample": True, "eos_token_id": end,
            "temperature": 1.0, "top_p": 0.95, "top_k": 40},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": agentic.BEGIN,
            "eos_token": agentic.END, "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": c["max_position_embeddings"]},
    }
    for name, value in side_files.items():
        with open(os.path.join(a.out, name), "w") as f:
            json.dump(value, f, indent=2)
    with open(os.path.join(a.out, "chat_template.jinja"), "w") as f:
        f.write(CHAT_TEMPLATE)
    shutil.copy(a.tokenizer, os.path.join(a.out, "tokenizer.json"))
    print(f"{len(set(index['weight_map'].values()))} shards, "
          f"{index['metadata']['total_size']:,} bytes")


if __name__ == "__main__":
    main()
