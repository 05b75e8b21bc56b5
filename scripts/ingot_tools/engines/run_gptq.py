#!/usr/bin/env python3
"""GPTQModel's CPU kernels on a GPTQ or AWQ folder. See protocol.py.

GPTQModel cannot load a whole MiniMax-M2 on its own (check_gptq_awq.py says why), so each module's tensors are
loaded into its kernel, which decodes them to F16, and transformers loads a folder of these weights and runs it in F32.
"""

import json
import os
import sys
import tempfile

from ingot_tools.engines import check_gptq_awq as packed
from ingot_tools.engines import protocol, run_transformers


def load(folder):
    import torch
    from safetensors.torch import save_file

    from ingot_tools.reference import oracle

    config = oracle.read_config(folder)
    tensors = oracle.read_tensors(folder)
    modules = packed.modules_of(tensors)
    if not modules:
        raise SystemExit("no packed modules")
    dense = {name: tensor.float() for name, tensor in tensors.items()
             if name.rpartition(".")[0] not in modules or name.endswith(".bias")}
    for name, parts in modules.items():
        dense[name + ".weight"] = packed.engine_weight(parts, config["quantization_config"]).float()
    with tempfile.TemporaryDirectory() as decoded:
        save_file({name: tensor.contiguous() for name, tensor in dense.items()},
                  os.path.join(decoded, "model.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(decoded, "config.json"), "w") as f:
            json.dump({k: v for k, v in config.items() if k not in ("quantization_config", "auto_map")}, f)
        return run_transformers.load(decoded, torch.float32)


def open_artifact(path, context):
    model = load(path)
    return protocol.Opened(
        protocol.versions("GPTQModel", "transformers"), "F16 weights, F32",
        lambda ids: run_transformers.logits_of(model, ids),
        lambda prompts, count: run_transformers.generate(model, prompts, count))


def main():
    a = protocol.parser(__doc__).parse_args()
    import torch

    torch.set_num_threads(a.threads)
    protocol.run(a, open_artifact)


if __name__ == "__main__":
    sys.exit(main())
