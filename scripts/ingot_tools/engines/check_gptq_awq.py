#!/usr/bin/env python3
"""Do others read our GPTQ and AWQ checkpoints as Ingot does, and does Ingot read theirs?

    ingot quantize MODEL --recipe gptq-4bit -o DIR
    ingot convert DIR --decode f32 --format safetensors -o DENSE
    scripts/tools engines-check-gptq-awq DIR --dense DENSE [--ingot INGOT --work FOLDER]

DENSE is Ingot's own reading of DIR in F32. Held against it:

- every module decoded by a numpy decoder below, written from the layouts' descriptions: bit for bit;
- every module loaded into GPTQModel's CPU kernel (TorchLinear, AwqTorchLinear) and dequantized there, which
  gives F16: equal to the rounding of ours, bit for bit;
- logits and greedy tokens of transformers' model with the weights that GPTQModel gave, against oracle.py
  on DENSE, and on the F16 rounding of DENSE.

With --ingot, the other way: the weights of DENSE are packed by GPTQModel's own packers (v1 and v2,
symmetric and not, in activation order for GPTQ) into a checkpoint in FOLDER, which INGOT reads; its values
must be those of GPTQModel's kernels.

GPTQModel 7.7 with transformers 5.23 cannot load a whole MiniMax-M2 on its own, whoever wrote it: it looks for
experts as mlp.experts.E.gate_proj, and checkpoints (and vLLM) name them block_sparse_moe.experts.E.w1. Hence
module by module.

Prints one JSON object. Exit code 0: agrees, 1: weights differ, 2: logits outside tolerance, 77: torch,
transformers or gptqmodel is not installed.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np

from ingot_tools import REPOSITORY

FIXTURE_TEXT = os.path.join(REPOSITORY, "Tests", "Fixtures", "text", "prose.txt")
# Row of eight that nibble j of an AWQ word holds.
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def bits_of(words, axis):
    """Bits of 32-bit words along an axis, the least significant first."""
    words = np.moveaxis(words.view(np.uint32), axis, -1)
    bits = (words[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    return bits.reshape(*words.shape[:-1], -1)


def codes_of(words, axis, bits):
    """Codes of `bits` bits of the streams along an axis, which becomes the last one."""
    stream = bits_of(words, axis)
    parts = stream.reshape(*stream.shape[:-1], -1, bits)
    return (parts << np.arange(bits, dtype=np.uint32)).sum(-1)


def awq_codes(words):
    """Nibbles of words along the last axis in the order of the rows they stand for."""
    nibbles = codes_of(words, 1, 4).reshape(words.shape[0], -1, 8)
    out = np.empty_like(nibbles)
    out[..., AWQ_ORDER] = nibbles
    return out.reshape(words.shape[0], -1)


def decode(parts, config):
    """A module's values in F32: (out, in)."""
    scales = parts["scales"].astype(np.float32)
    if config["quant_method"] == "awq":
        q, z = awq_codes(parts["qweight"]), awq_codes(parts["qzeros"])
        group = np.arange(q.shape[0]) // config["group_size"]
    else:
        bits = config["bits"]
        q = codes_of(parts["qweight"], 0, bits).T
        z = codes_of(parts["qzeros"], 1, bits)
        if config["checkpoint_format"] == "gptq":
            z = z + 1
        group = parts["g_idx"]
    steps = q.astype(np.int64) - z[group].astype(np.int64)
    return (steps.astype(np.float32) * scales[group]).T


def modules_of(tensors):
    """Quantized modules of a checkpoint: name → parts."""
    names = sorted(n[:-len(".qweight")] for n in tensors if n.endswith(".qweight"))
    keys = ("qweight", "qzeros", "scales", "g_idx")
    return {n: {k: tensors[f"{n}.{k}"] for k in keys if f"{n}.{k}" in tensors} for n in names}


def kernel(config, columns, rows):
    """An empty module of GPTQModel."""
    import torch
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear

    common = dict(group_size=config["group_size"], in_features=columns, out_features=rows, bias=False,
                  pack_dtype=torch.int32, register_buffers=True)
    if config["quant_method"] == "awq":
        return AwqTorchLinear(bits=4, sym=False, desc_act=False, **common)
    return TorchLinear(bits=config["bits"], sym=config["sym"], desc_act=config["desc_act"], **common)


def dequantized(module, config):
    """What a loaded module of GPTQModel multiplies with: (out, in), F16."""
    import torch
    from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module

    if config["quant_method"] == "awq":
        module.post_init()
        return module._dequantize_weight_for_inference(
            torch.zeros(1, module.in_features, dtype=torch.float16), dtype=torch.float16).T.contiguous()
    if config["checkpoint_format"] == "gptq":
        convert_gptq_v1_to_v2_format_module(module, config["bits"], torch.int32)
    module.post_init()
    return module.dequantize_weight().T.contiguous()


def engine_weight(parts, config):
    import torch

    rows = parts["scales"].shape[1]
    columns = parts["qweight"].shape[0]
    if config["quant_method"] != "awq":
        columns = columns * 32 // config["bits"]
    module = kernel(config, columns, rows)
    for name, tensor in parts.items():
        buffer = getattr(module, name)
        if buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            raise ValueError(f"{name}: {tuple(tensor.shape)} {tensor.dtype}, GPTQModel has "
                             f"{tuple(buffer.shape)} {buffer.dtype}")
        buffer.data.copy_(tensor)
    return dequantized(module, config).to(torch.float16)


def compare_logits(a, b):
    p, q = a.double().log_softmax(-1), b.double().log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    return {"klDivergence": {"mean": kl.mean().item(), "maximum": kl.max().item()},
            "sameTop": (a.argmax(-1) == b.argmax(-1)).double().mean().item(),
            "largestDifference": (a - b).abs().max().item()}


def with_weights(folder, weights):
    """oracle.py's model of a dense folder with other values for some weights."""
    from ingot_tools.reference import oracle

    config = oracle.read_config(folder)
    tensors = oracle.read_tensors(folder)
    for name, weight in weights.items():
        tensors[name] = weight
    from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM
    wanted = {k: v for k, v in config.items() if k not in oracle.NOT_ARCHITECTURE}
    model = MiniMaxM2ForCausalLM(MiniMaxM2Config(**wanted)).float().eval()
    model.load_state_dict(oracle.stacked(oracle.decoded(tensors, config), config), strict=True)
    return model


def greedy(model, ids, count):
    import torch

    tokens = ids[None]
    with torch.no_grad():
        for _ in range(count):
            tokens = torch.cat([tokens, model(tokens).logits[0, -1].argmax().view(1, 1)], 1)
    return tokens[0, -count:].tolist()


def packed_by_gptqmodel(weight, config, seed):
    """A module packed by GPTQModel from F32 weights: its parts and what its kernel says they are."""
    import torch

    rows, columns = weight.shape
    group, top = config["group_size"], 2 ** config["bits"] - 1
    generator = torch.Generator().manual_seed(seed)
    order = torch.arange(columns) // group
    if config.get("desc_act"):
        order = order[torch.randperm(columns, generator=generator)]
    scales, zeros = torch.empty(rows, columns // group), torch.empty(rows, columns // group)
    for g in range(columns // group):
        part = weight[:, order == g]
        if config["sym"]:
            scales[:, g] = part.abs().amax(1) * 2 / top
            zeros[:, g] = (top + 1) // 2
        else:
            low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
            scales[:, g] = (high - low) / top
            # Stored less 1 in the first layout, so from 1.
            zeros[:, g] = (-low / scales[:, g]).round().clamp(1, top)
    scales = scales.clamp(min=1e-4).half().float()
    steps = (weight / scales[:, order] + zeros[:, order]).round().clamp(0, top)
    linear = torch.nn.Linear(columns, rows, bias=False)
    linear.weight.data = scales[:, order] * (steps - zeros[:, order])
    module = kernel(config, columns, rows)
    if config["quant_method"] == "awq":
        module.pack(linear, scales.half(), zeros.int())
    else:
        module.pack(linear, scales, zeros, order.int())
        if config["checkpoint_format"] == "gptq":
            from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
            convert_gptq_v2_to_v1_format_module(module, quantize_config_of(config))
    keys = ("qweight", "qzeros", "scales", "g_idx")
    parts = {k: getattr(module, k).clone() for k in keys if getattr(module, k, None) is not None}
    if config["quant_method"] == "awq":
        parts.pop("g_idx", None)
    return parts


def quantize_config_of(config):
    from gptqmodel import QuantizeConfig

    return QuantizeConfig(bits=config["bits"], group_size=config["group_size"], sym=config["sym"],
                          desc_act=config["desc_act"])


def foreign(dense_folder, work, ingot, config, limit=None):
    """A checkpoint by GPTQModel's packers, read by Ingot: how many values differ from GPTQModel's."""
    import torch
    from safetensors.torch import save_file

    from ingot_tools.reference import oracle

    source, read = os.path.join(work, "foreign"), os.path.join(work, "read")
    for folder in (source, read):
        shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(source)
    tensors, expected = {}, {}
    for seed, (name, tensor) in enumerate(sorted(oracle.read_tensors(dense_folder).items())):
        module = name[:-len(".weight")]
        quantized = name.endswith("_proj.weight") or ".experts." in name
        if not quantized:
            tensors[name] = tensor
            continue
        parts = packed_by_gptqmodel(tensor.float(), config, seed)
        for key, value in parts.items():
            tensors[f"{module}.{key}"] = value.contiguous()
        expected[name] = engine_weight(parts, config)
    save_file(tensors, os.path.join(source, "model.safetensors"), metadata={"format": "pt"})
    for name in os.listdir(dense_folder):
        if name.endswith(".json") and not name.endswith("index.json"):
            shutil.copy(os.path.join(dense_folder, name), source)
    with open(os.path.join(source, "config.json")) as f:
        whole = json.load(f)
    whole["quantization_config"] = config
    with open(os.path.join(source, "config.json"), "w") as f:
        json.dump(whole, f)
    outcome = subprocess.run([ingot, "convert", source, "--decode", "f32", "--format", "safetensors", "-o", read],
                             capture_output=True, text=True)
    if outcome.returncode:
        return {"config": config, "problem": outcome.stderr.strip()}
    found = oracle.read_tensors(read)
    differing = [n for n, w in expected.items() if not torch.equal(found[n].to(torch.float16), w)]
    shown = ("quant_method", "checkpoint_format", "bits", "group_size", "sym", "desc_act")
    return {"config": {k: config[k] for k in shown if k in config}, "modules": len(expected), "differing": len(differing)}


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--dense", required=True, metavar="DENSE")
    p.add_argument("--ingot", help="the command, to read checkpoints that GPTQModel packed")
    p.add_argument("--work", metavar="FOLDER", help="a folder for them")
    p.add_argument("--text", default=FIXTURE_TEXT, metavar="FILE")
    p.add_argument("--context", type=int, default=256)
    p.add_argument("--chunks", type=int, default=4)
    p.add_argument("--greedy", type=int, default=20)
    p.add_argument("--kl", type=float, default=1e-4, help="largest mean KL divergence, nats")
    p.add_argument("--top", type=float, default=0.995, help="least share of same top tokens")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    if a.ingot and not a.work:
        p.error("--ingot needs --work")
    try:
        # It reports on standard output; that is for the result.
        with contextlib.redirect_stdout(sys.stderr):
            import gptqmodel
            import torch
            import transformers

            from ingot_tools.reference import oracle
    except ImportError as error:
        print(f"check_gptq_awq: skipped, {error}", file=sys.stderr)
        return 77
    torch.set_num_threads(a.threads)

    with contextlib.redirect_stdout(sys.stderr):
        config = oracle.read_config(a.dir)["quantization_config"]
        modules = modules_of(oracle.read_tensors(a.dir))
        ours = oracle.read_tensors(a.dense)
        by_numpy, by_engine, weights, rounded = [], [], {}, {}
        for name, parts in modules.items():
            wanted = ours[name + ".weight"]
            values = decode({k: v.numpy() for k, v in parts.items()}, config)
            if not np.array_equal(values, wanted.numpy()):
                by_numpy.append(name)
            engine = engine_weight(parts, config)
            if not torch.equal(engine, wanted.to(torch.float16)):
                by_engine.append(name)
            weights[name + ".weight"] = engine.float()
            rounded[name + ".weight"] = wanted.to(torch.float16).float()
        ids = oracle.token_chunks(a.dense, a.text, a.context, a.chunks)
        models = [with_weights(a.dense, w) for w in (weights, rounded, {})]
        engine, reference, exact = [oracle.logits_of(m, ids) for m in models]
        tokens = [greedy(m, ids[0], a.greedy) for m in models[:2]]
        others = []
        if a.ingot:
            if config["quant_method"] == "awq":
                tries = [dict(config, sym=False)]
            else:
                tries = [dict(config, checkpoint_format=f, sym=s, desc_act=d)
                         for f in ("gptq", "gptq_v2") for s in (True, False) for d in (False, True)]
            others = [foreign(a.dense, a.work, a.ingot, c) for c in tries]
    logits = compare_logits(reference, engine)
    read = all(o.get("differing") == 0 for o in others)
    equal = not by_numpy and not by_engine and read and bool(modules)
    ok = (equal and logits["klDivergence"]["mean"] <= a.kl and logits["sameTop"] >= a.top
          and tokens[0] == tokens[1])
    print(json.dumps({
        "ok": ok, "engine": f"GPTQModel {gptqmodel.__version__}, transformers {transformers.__version__}",
        "precision": "F16 weights from GPTQModel's kernels, F32 arithmetic", "modules": len(modules),
        "differingFromNumpy": by_numpy[:5], "differingFromEngine": by_engine[:5],
        "tokens": ids.numel(), "logits": logits, "greedyEqual": tokens[0] == tokens[1],
        "withoutRounding": compare_logits(exact, engine), "read": others}, indent=2))
    return 1 if not equal else 0 if ok else 2


if __name__ == "__main__":
    sys.exit(main())
