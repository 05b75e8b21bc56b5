#!/usr/bin/env python3
"""transformers on a folder of SafeTensors: dense or compressed-tensors. See protocol.py.

A dense model is loaded with dtype=float32, a packed one with dtype=bfloat16, in which the compressed-tensors
library unpacks it; both then compute in F32. What transformers does beside that is undone: router weights and
e_score_correction_bias, which it casts to BF16, are put back as the files have them.
"""

import json
import os
import sys

import numpy as np

import protocol


def load(folder, dtype):
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, local_files_only=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(kind):
            raise SystemExit(f"{kind}: {sorted(map(str, info[kind]))[:5]}")
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
            part.data.copy_(wanted[0])
            put += 1
    if put != 2 * model.config.num_hidden_layers:
        raise SystemExit(f"{put} routers and biases found, {2 * model.config.num_hidden_layers} expected")
    return model


def logits_of(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor(np.asarray(ids))[None]).logits[0].float().numpy()


def generate(model, prompt, count):
    import torch

    ids = torch.tensor(np.asarray(prompt))[None]
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count,
            do_sample=False, eos_token_id=None, pad_token_id=0)
    return out[0, len(prompt):].tolist()


def main():
    p = protocol.parser(__doc__)
    a = p.parse_args()
    import torch

    torch.set_num_threads(a.threads)
    with open(os.path.join(a.artifact, "config.json")) as f:
        packed = "quantization_config" in json.load(f)
    model = load(a.artifact, torch.bfloat16 if packed else torch.float32)
    protocol.run(
        a, protocol.versions("transformers", *["compressed-tensors"] * packed),
        "BF16 weights, F32 arithmetic" if packed else "F32",
        lambda ids: logits_of(model, ids), lambda prompt, count: generate(model, prompt, count))


if __name__ == "__main__":
    sys.exit(main())
