#!/usr/bin/env python3
"""GPTQModel's CPU kernels on a GPTQ or AWQ folder. See protocol.py.

GPTQModel cannot load a whole MiniMax-M2 on its own (check_gptq_awq.py says why), so each module's tensors are
loaded into its kernel, which decodes them to F16, and transformers runs the model with these weights in F32.
"""

import sys

import check_gptq_awq as packed
import protocol
import run_transformers


def load(folder):
    import oracle
    from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM

    config = oracle.read_config(folder)
    tensors = oracle.read_tensors(folder)
    modules = packed.modules_of(tensors)
    if not modules:
        raise SystemExit("no packed modules")
    dense = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[0] not in modules}
    for name, parts in modules.items():
        dense[name + ".weight"] = packed.engine_weight(parts, config["quantization_config"]).float()
    wanted = {k: v for k, v in config.items() if k not in oracle.NOT_ARCHITECTURE}
    model = MiniMaxM2ForCausalLM(MiniMaxM2Config(**wanted)).float().eval()
    dense = {name: tensor.float() for name, tensor in dense.items()}
    model.load_state_dict(oracle.stacked(dense, config), strict=True)
    return model


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
