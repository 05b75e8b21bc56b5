#!/usr/bin/env python3
"""transformers on a folder of SafeTensors: dense or compressed-tensors. See protocol.py.

A dense model is loaded with dtype=float32, a packed one with dtype=bfloat16, in which the compressed-tensors
library unpacks it; both then compute in F32. What transformers does beside that is undone: router weights and
e_score_correction_bias, which it casts to BF16, are put back as the files have them. And transformers 5.23 leaves out
the global scale of NVFP4 where it stacks experts, also in a checkpoint that the compressed-tensors library made: expert
weights are divided by it here, and the row says so.
"""

import json
import os
import sys

import numpy as np

from ingot_tools.engines import check_compressed_tensors, protocol


def load(folder, dtype):
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, local_files_only=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        keys = sorted(map(str, info.get(kind) or []))
        if kind == "missing_keys":
            # Of a vision model a checkpoint may have a piece only: logits of text do not go through it.
            keys = [key for key in keys if "vision_tower." not in key and "multi_modal_projector." not in key]
        if keys:
            raise SystemExit(f"{kind}: {keys[:5]}")
    model.eval()
    with torch.no_grad():
        # Quantized modules are unpacked before the first forward pass.
        model(torch.zeros((1, 2), dtype=torch.long))
    # transformers refuses its own float() for quantized models.
    torch.nn.Module.float(model)
    exact = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            with safe_open(os.path.join(folder, name), "pt") as shard:
                for key in shard.keys():
                    if key.endswith((".gate.weight", "e_score_correction_bias")):
                        exact[key] = shard.get_tensor(key).float()
    parts = dict([*model.named_parameters(), *model.named_buffers()])
    put = 0
    for name, part in parts.items():
        if name.endswith((".gate.weight", "e_score_correction_bias")):
            layer = name.split("layers.")[1].split(".")[0]
            suffix = "gate.weight" if name.endswith(".gate.weight") else "e_score_correction_bias"
            wanted = [v for k, v in exact.items() if f".layers.{layer}." in k and k.endswith(suffix)]
            if len(wanted) != 1 or wanted[0].shape != part.shape:
                raise SystemExit(f"{name}: {len(wanted)} tensors of the files fit")
            part.data = wanted[0].clone()
            put += 1
    narrow = [n for n, part in parts.items() if part.is_floating_point() and part.dtype != torch.float32]
    if narrow:
        raise SystemExit(f"not in F32: {narrow[:5]}")
    if put != len(exact):
        raise SystemExit(f"{put} routers and biases found, {len(exact)} expected")
    return model


def logits_of(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor(np.asarray(ids))[None]).logits[0].float().numpy()


def generate(model, prompts, count):
    import torch

    ids = torch.tensor(np.asarray(prompts))
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count,
            do_sample=False, use_mtp=False, eos_token_id=None, pad_token_id=0)
    return out[:, ids.shape[1]:].numpy()


def open_artifact(path, context, unpacked="bfloat16"):
    """unpacked: the type in which the compressed-tensors library unpacks."""
    import torch

    with open(os.path.join(path, "config.json")) as f:
        packing = json.load(f).get("quantization_config")
    model = load(path, getattr(torch, unpacked) if packing else torch.float32)
    # Whoever packed it: transformers leaves out NVFP4's global scale where it stacks experts.
    nvfp4 = packing and packing.get("format", "").startswith("nvfp4")
    mended = check_compressed_tensors.divide_by_global_scales(model, path) if nvfp4 else 0
    weights = "BF16 weights, " if packing and unpacked == "bfloat16" else ""
    return protocol.Opened(
        protocol.versions("transformers", *["compressed-tensors"] * bool(packing)),
        f"{weights}F32{', scales mended' if mended else ''}",
        lambda ids: logits_of(model, ids), lambda prompts, count: generate(model, prompts, count))


def main():
    a = protocol.parser(__doc__).parse_args()
    import torch

    torch.set_num_threads(a.threads)
    protocol.run(a, open_artifact)


if __name__ == "__main__":
    sys.exit(main())
