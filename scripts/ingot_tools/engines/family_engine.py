#!/usr/bin/env python3
"""All that one engine's packages are asked for the tables of the families, in one process: importing them takes longer.

    family_engine.py JOBS.json

JOBS.json is a list of
- {"make": MAKER, "setting": SETTING, "dense": DENSE, "gguf": DENSE.gguf, "output": path}, see foreign.py, and
- {"run": RUNNER, "artifact": path, "ids": IDS.json, "output": OUT.npz}, see protocol.py; RUNNER is llama, mlx,
  transformers or gptq; with "greedy" and "prompt" it generates as well. llama.cpp decodes to F32 first; the compressed-tensors library unpacks to F32.

Standard output has a line of JSON for each, as protocol.py says.
"""

import argparse
import json
import sys

from ingot_tools.engines import protocol

# The cases are tiny, and other engines run beside this one.
THREADS = 1


def opener(runner):
    """path, length of the longest context → an opened artifact."""
    if runner == "llama":
        from ingot_tools.engines import run_llama

        return lambda path, context: run_llama.open_artifact(path, context, THREADS, True)
    if runner == "mlx":
        from ingot_tools.engines import run_mlx

        return run_mlx.open_artifact
    import torch

    torch.set_num_threads(THREADS)
    if runner == "gptq":
        from ingot_tools.engines import run_gptq

        return run_gptq.open_artifact
    from ingot_tools.engines import run_transformers

    return lambda path, context: run_transformers.open_artifact(path, context, unpacked="float32")


def work(job):
    if "run" in job:
        return protocol.run_one(job, opener(job["run"]), job.get("greedy", 0), job.get("prompt", 0))
    from ingot_tools.engines import foreign

    foreign.MAKERS[job["make"]](job["setting"], argparse.Namespace(**job))
    return {}


def main():
    with open(sys.argv[1]) as f:
        protocol.answers(json.load(f), work)


if __name__ == "__main__":
    sys.exit(main())
