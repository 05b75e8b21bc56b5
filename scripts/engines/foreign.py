#!/usr/bin/env python3
"""Artifacts of a model made by the engines' own tools, for Ingot to read.

    foreign.py MAKER JOBS.json --dense DENSE [--gguf DENSE.gguf]

JOBS.json is a list of {"setting": SETTING, "output": path}; standard output has a line of JSON for each, as
protocol.py says.

DENSE is the model as dense SafeTensors in BF16, DENSE.gguf the same as GGUF (what llama.cpp's own converter
would have made: it refuses tokenizers that it does not know by heart). MAKER is one of

- llama-quantize: llama.cpp's quantizer without an importance matrix; SETTING is its name of a mix;
- mlx_lm.convert: SETTING is `mode bits gGROUP`;
- compressed-tensors: the library's own observers' arithmetic and packers, a checkpoint with the release's
  names; SETTING is W4A16, W8A16, W3A16, MXFP4A16 or NVFP4A16;
- GPTQModel: its packers, round to nearest; SETTING is gptq, gptq_v2 or awq.
"""

import argparse
import json
import os
import shutil
import sys

import protocol


def llama(setting, a):
    import llama_cpp

    import run_llama

    name = {"BF16": "BF16", "F16": "F16", "MXFP4_MOE": "MXFP4_MOE"}.get(setting, setting)
    run_llama.quantize(a.gguf, a.output, getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}"))


def mlx(setting, a):
    from mlx_lm import convert

    mode, bits, group = setting.split()
    convert(a.dense, a.output, quantize=True, q_group_size=int(group[1:]), q_bits=int(bits), q_mode=mode)


def is_linear(name):
    return name.endswith("_proj.weight") or ".experts." in name


def save(a, tensors, quantization):
    """A checkpoint beside DENSE's side files."""
    from safetensors.torch import save_file

    os.makedirs(a.output)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, os.path.join(a.output, "model.safetensors"), metadata={"format": "pt"})
    for name in os.listdir(a.dense):
        if not name.endswith((".safetensors", ".index.json", ".md")):
            shutil.copy(os.path.join(a.dense, name), a.output)
    path = os.path.join(a.output, "config.json")
    with open(path) as f:
        config = json.load(f)
    config["quantization_config"] = quantization
    with open(path, "w") as f:
        json.dump(config, f, indent=2)


def compressed_tensors(setting, a):
    import oracle
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme, preset_name_to_scheme
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    if setting == "W3A16":
        scheme = QuantizationScheme(
            targets=["Linear"], weights=dict(num_bits=3, type="int", symmetric=True, strategy="group", group_size=128))
    else:
        scheme = preset_name_to_scheme(setting, ["Linear"])
    packing = {"MXFP4A16": "mxfp4-pack-quantized", "NVFP4A16": "nvfp4-pack-quantized"}.get(setting, "pack-quantized")
    compressor = BaseCompressor.get_value_from_registry(packing)
    weights, tensors = scheme.weights, {}
    for name, tensor in oracle.read_tensors(a.dense).items():
        if not is_linear(name):
            tensors[name] = tensor
            continue
        groups = tensor.view(tensor.shape[0], -1, weights.group_size)
        low, high = groups.amin(-1), groups.amax(-1)
        state = {"weight": tensor}
        if packing.startswith("nvfp4"):
            state["weight_global_scale"] = generate_gparam(tensor.amin()[None], tensor.amax()[None])
        scale, zero = calculate_qparams(low, high, weights, global_scale=state.get("weight_global_scale"))
        state |= {"weight_scale": scale, "weight_zero_point": zero}
        if packing == "pack-quantized":
            state["weight_scale"] = scale.to(torch.bfloat16)
        for key, value in compressor.compress(state, scheme).items():
            tensors[name.removesuffix("weight") + key] = value
    layers = oracle.read_config(a.dense)["num_hidden_layers"]
    save(a, tensors, {
        "quant_method": "compressed-tensors", "format": packing, "quantization_status": "compressed",
        "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": json.loads(weights.model_dump_json()), "input_activations": None,
            "output_activations": None, "format": packing}},
        "ignore": ["lm_head", *[f"model.layers.{i}.block_sparse_moe.gate" for i in range(layers)]]})


def gptq(setting, a):
    import check_gptq_awq as packed
    import oracle

    layers = oracle.read_config(a.dense)["num_hidden_layers"]
    kept = ["lm_head", *[f"model.layers.{i}.block_sparse_moe.gate" for i in range(layers)]]
    config = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": setting == "gptq_v2", "sym": True,
              "lm_head": False, "checkpoint_format": setting, "pack_dtype": "int32"}
    if setting == "awq":
        config = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm",
                  "sym": False, "modules_to_not_convert": kept}
    tensors = {}
    for seed, (name, tensor) in enumerate(sorted(oracle.read_tensors(a.dense).items())):
        if not is_linear(name):
            tensors[name] = tensor
            continue
        for key, value in packed.packed_by_gptqmodel(tensor.float(), config, seed).items():
            tensors[name.removesuffix("weight") + key] = value
    save(a, tensors, config)


MAKERS = {"llama-quantize": llama, "mlx_lm.convert": mlx, "compressed-tensors": compressed_tensors, "GPTQModel": gptq}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("maker", metavar="MAKER", choices=MAKERS)
    p.add_argument("jobs", metavar="JOBS.json")
    p.add_argument("--dense", required=True, metavar="DENSE")
    p.add_argument("--gguf", metavar="DENSE.gguf")
    a = p.parse_args()

    def work(job):
        a.output = job["output"]
        MAKERS[a.maker](job["setting"], a)
        return {}

    with open(a.jobs) as f:
        protocol.answers(json.load(f), work)


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
    sys.exit(main())
