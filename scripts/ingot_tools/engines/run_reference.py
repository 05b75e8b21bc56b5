#!/usr/bin/env python3
"""transformers on the fixtures of scripts/tools reference-families, made anew in F32: also those that it cannot load from their files.

    run_reference.py JOBS.json

JOBS.json is a list of {"case": name, "ids": IDS.json, "greedy": tokens, "output": OUT.npz}. OUT.npz gets generated I64 (contexts, tokens):
behind each context the most likely token, as often as "greedy" says, each from the logits of the whole sequence. The logits of the fixture's
golden contexts must be the golden ones. Standard output is as protocol.py says.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from ingot_tools import REPOSITORY
from ingot_tools.engines import protocol


def work(job, cases):
    import torch
    from safetensors.numpy import load_file

    from ingot_tools.reference import families

    with tempfile.TemporaryDirectory() as scratch:
        model = families.reference(cases[job["case"]], 0, Path(scratch))[0]
    golden = load_file(os.path.join(REPOSITORY, "Tests/Fixtures/families", job["case"], "golden.safetensors"))
    off = families.difference(families.logits_of(model, torch.from_numpy(golden["ids"])), torch.from_numpy(golden["logits"]))
    # Another processor or another order of tensors in memory decides last bits.
    if not off < 1e-5:
        raise SystemExit(f"another model than the fixture: logits {off:.1e} apart")
    generated = []
    for context in protocol.read_ids(job["ids"]):
        ids = torch.from_numpy(context)[None]
        with torch.no_grad():
            for _ in range(job["greedy"]):
                ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
        generated.append(ids[0, len(context):].numpy())
    np.savez(job["output"], generated=np.stack(generated))
    return {"engine": protocol.versions("transformers"), "precision": "F32"}


def main():
    import torch
    import transformers

    from ingot_tools.reference.family_cases import all_cases

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    cases = {case.name: case for case in all_cases(0, 1.0)}
    with open(sys.argv[1]) as f:
        protocol.answers(json.load(f), lambda job: work(job, cases))


if __name__ == "__main__":
    sys.exit(main())
