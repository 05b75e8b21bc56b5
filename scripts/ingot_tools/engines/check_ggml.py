#!/usr/bin/env python3
"""Quantizers of GGML's blocks against llama.cpp's ggml_quantize_chunk, tensor by tensor. See scripts/tools check-ggml-error.

Σ h (w - ŵ)² over a tensor, ours / theirs, for four kinds of h, both quantizers given the same:
  equal        1, nothing given
  importance   what was given, by column
  own          what llama.cpp weighs by when it is given nothing, of the size of w; ours is given it weight by weight
  both         what llama.cpp makes of importance, the same way
The last two are no measure of ours or of a model's output: they are shown, and not judged.
"""

import argparse
import os
import sys

import numpy as np

from ingot_tools.engines import ggml_kernels as ggml

SEARCHED = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "q4_0", "q4_1", "q5_0", "q5_1", *ggml.LATTICES)


def error(weights, values, h):
    difference = values.reshape(weights.shape).astype(np.float64) - weights
    return float((difference ** 2 * (1 if h is None else h)).sum())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", required=True)
    p.add_argument("--model", action="append", default=[])
    p.add_argument("--rows", type=int, default=64, help="rows of each tensor, 0 for all")
    a = p.parse_args()
    ours, theirs = ggml.Ours(), ggml.Theirs()
    random = np.random.default_rng(7)
    ratios, worse, rounded = {}, [], {kind: [0, 0] for kind in ggml.ROUNDED}
    sources = [("random", list(ggml.made_up()))]
    sources += [(os.path.basename(os.path.realpath(m)), ggml.tensors(m, a.ingot)) for m in a.model]
    for source, tensors in sources:
        for name, weights in tensors:
            weights = weights[: a.rows or None]
            columns = weights.shape[1]
            given = random.lognormal(0, 1, columns) * np.where(random.random(columns) < 1 / 64, 50, 1)
            given = given.astype(np.float32)
            for kind in SEARCHED:
                cases = {"equal": (None, None, None), "importance": (given, given, given)}
                own = ggml.own_weights(kind, weights)
                if own is not None:
                    cases["own"] = (own, None, own)
                both = ggml.own_weights(kind, weights, given)
                if both is not None:
                    cases["both"] = (both, given, both)
                for case, (h, for_them, for_us) in cases.items():
                    they = error(weights, ours.decode(kind, theirs.quantize(kind, weights, for_them)), h)
                    we = error(weights, ours.decode(kind, ours.quantize(kind, weights, for_us)), h)
                    ratio = we / they if they > 0 else 1.0 if we == 0 else np.inf
                    ratios.setdefault((source, kind, case), []).append(ratio)
                    if ratio > 1 and case in ("equal", "importance"):
                        worse.append(f"{source} {name}: {kind}, {case}: {ratio:.5f}")
            for kind in ggml.ROUNDED:
                rounded[kind][0] += 1
                same = np.array_equal(ours.quantize(kind, weights, search=False), theirs.quantize(kind, weights))
                rounded[kind][1] += same
                if not same:
                    worse.append(f"{source} {name}: {kind} rounded to nearest has other bytes")
    print("weighted squared error, ours / llama.cpp's, over tensors\n")
    print("| tensors | type | weights | number | least | median | greatest | above 1 |\n|---|---|---|---|---|---|---|---|")
    for (source, kind, case), values in ratios.items():
        print(
            f"| {source} | {kind} | {case} | {len(values)} | {min(values):.4f} | {np.median(values):.4f} | "
            f"{max(values):.4f} | {sum(v > 1 for v in values)} |")
    print("\nround to nearest, tensors with llama.cpp's bytes\n")
    for kind, (count, same) in rounded.items():
        print(f"{kind}: {same} of {count}")
    for line in worse:
        print(f"FAILED {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
