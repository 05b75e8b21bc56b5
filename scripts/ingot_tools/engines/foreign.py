#!/usr/bin/env python3
"""Artifacts of a model made by the engines' own tools, for Ingot to read.

    foreign.py MAKER JOBS.json --dense DENSE [--gguf DENSE.gguf]

JOBS.json is a list of {"setting": SETTING, "output": path}; standard output has a line of JSON for each, as
protocol.py says.

DENSE is the model as dense SafeTensors in BF16, DENSE.gguf the same as GGUF (what llama.cpp's own converter
would have made: it refuses tokenizers that it does not know by heart). MAKER is one of

- llama-quantize: llama.cpp's quantizer without an importance matrix; SETTING is its name of a mix;
- mlx_lm.convert: SETTING is `mode bits gGROUP`; a model without a tokenizer goes through the same functions of
  mlx-lm, but for those that load and save one;
- compressed-tensors: the library's own observers' arithmetic and packers, a checkpoint with the release's
  names; SETTING is W4A16, W8A16, W3A16, MXFP4A16 or NVFP4A16, and ` gGROUP` after it for another group;
- GPTQModel: its packers, round to nearest; SETTING is gptq, gptq_v2 or awq, and ` gGROUP` for other than 128. Modules
  whose rows are not a multiple of 32 stay dense in GPTQ: its packer refuses them.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys

from ingot_tools.engines import protocol


def llama(setting, a):
    import llama_cpp

    from ingot_tools.engines import run_llama

    name = {"BF16": "BF16", "F16": "F16", "MXFP4_MOE": "MXFP4_MOE"}.get(setting, setting)
    run_llama.quantize(a.gguf, a.output, getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}"))


def mlx(setting, a):
    from mlx_lm import convert

    mode, bits, group = setting.split()
    bits, group = int(bits), int(group[1:])
    if os.path.exists(os.path.join(a.dense, "tokenizer.json")):
        convert(a.dense, a.output, quantize=True, q_group_size=group, q_bits=bits, q_mode=mode)
        return
    from mlx_lm.utils import load_model, quantize_model, save_config, save_model

    model, config = load_model(pathlib.Path(a.dense), lazy=True)
    usual = getattr(model, "quant_predicate", None) or (lambda path, module: True)

    def fitting(path, module):
        """What mlx-lm chooses, but in our groups where its own do not divide the columns (routers: 64)."""
        chosen = usual(path, module)
        if isinstance(chosen, dict) and module.weight.shape[-1] % chosen["group_size"]:
            return chosen | {"group_size": group}
        return chosen

    model, config = quantize_model(model, config, group, bits, mode=mode, quant_predicate=fitting)
    save_model(a.output, model)
    save_config(config, config_path=os.path.join(a.output, "config.json"))


def is_linear(name):
    return name.endswith("_proj.weight") or ".experts." in name


def kept(tensors):
    """Linear modules that nobody quantizes."""
    return ["lm_head", *sorted(name.removesuffix(".weight") for name in tensors if name.endswith(".gate.weight"))]


def with_group(setting, usual):
    """(name, group) of a setting."""
    name, _, group = setting.partition(" g")
    return name, int(group or usual)


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
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme, preset_name_to_scheme
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    from ingot_tools.reference import oracle

    setting, group = with_group(setting, 0)
    if setting == "W3A16":
        scheme = QuantizationScheme(
            targets=["Linear"], weights=dict(num_bits=3, type="int", symmetric=True, strategy="group", group_size=128))
    else:
        scheme = preset_name_to_scheme(setting, ["Linear"])
    if group:
        scheme.weights.group_size = group
    packing = {"MXFP4A16": "mxfp4-pack-quantized", "NVFP4A16": "nvfp4-pack-quantized"}.get(setting, "pack-quantized")
    compressor = BaseCompressor.get_value_from_registry(packing)
    weights, tensors, dense = scheme.weights, {}, oracle.read_tensors(a.dense)
    for name, tensor in dense.items():
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
    save(a, tensors, {
        "quant_method": "compressed-tensors", "format": packing, "quantization_status": "compressed",
        "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": json.loads(weights.model_dump_json()), "input_activations": None,
            "output_activations": None, "format": packing}},
        "ignore": kept(dense)})


def gptq(setting, a):
    from ingot_tools.engines import check_gptq_awq as packed
    from ingot_tools.reference import oracle

    setting, group = with_group(setting, 128)
    dense = oracle.read_tensors(a.dense)
    config = {"quant_method": "gptq", "bits": 4, "group_size": group, "desc_act": setting == "gptq_v2", "sym": True,
              "lm_head": False, "checkpoint_format": setting, "pack_dtype": "int32"}
    if setting == "awq":
        config = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm",
                  "sym": False, "modules_to_not_convert": kept(dense)}
    tensors = {}
    for seed, (name, tensor) in enumerate(sorted(dense.items())):
        if not is_linear(name) or setting != "awq" and tensor.shape[0] % 32:
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
    sys.exit(main())
