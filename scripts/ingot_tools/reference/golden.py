#!/usr/bin/env python3
"""Golden logits of a checkpoint by oracle.py: what our own forward pass is held against.

    golden.py DIR --text FILE --out golden.safetensors [--contexts 4] [--tokens 64]
    golden.py DIR --compare golden.safetensors

The file holds ids I64 (contexts, tokens) and logits F32 (contexts, tokens, vocabulary), and names
the versions that made it in its metadata. --compare recomputes the logits of the stored ids and
fails where any differs by more than --tolerance.
"""

import argparse
import sys

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file

from ingot_tools.reference import oracle


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--text", metavar="FILE")
    p.add_argument("--out", metavar="FILE")
    p.add_argument("--contexts", type=int, default=4)
    p.add_argument("--tokens", type=int, default=64, help="per context")
    p.add_argument("--compare", metavar="FILE")
    # F32 sums in another order: other thread counts and libraries move the last bits.
    p.add_argument("--tolerance", type=float, default=1e-4)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    if bool(a.compare) == bool(a.out) or bool(a.out) != bool(a.text):
        p.error("give either --text and --out, or --compare")
    torch.set_num_threads(a.threads)
    model = oracle.load(a.dir)

    if a.compare:
        with safe_open(a.compare, "np") as f:
            ids, expected = f.get_tensor("ids"), f.get_tensor("logits")
            print("stored:", (f.metadata() or {}).get("reference", "of unknown origin"))
        logits = oracle.logits_of(model, torch.from_numpy(ids)).numpy()
        worst = float(np.abs(logits.astype(np.float64) - expected).max())
        rms = float(np.sqrt(np.square(logits.astype(np.float64) - expected).mean()))
        print(f"largest difference {worst:.3g}, rms {rms:.3g}, "
              f"logits up to {np.abs(expected).max():.4g}, "
              f"same top token {(logits.argmax(-1) == expected.argmax(-1)).mean():.6f}")
        return 0 if worst <= a.tolerance else 1

    ids = oracle.token_chunks(a.dir, a.text, a.tokens, a.contexts)
    logits = oracle.logits_of(model, ids)
    made_by = (f"transformers {transformers.__version__} MiniMaxM2ForCausalLM, float32, "
               f"torch {torch.__version__} CPU")
    save_file({"ids": ids.numpy().astype(np.int64), "logits": logits.numpy()}, a.out,
              metadata={"reference": made_by})
    return 0


if __name__ == "__main__":
    sys.exit(main())
