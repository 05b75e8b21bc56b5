#!/usr/bin/env python3
"""Time of the quantizers of GGML's blocks. See scripts/tools bench-ggml."""

import argparse
import json
import statistics
import sys
import time

import numpy as np

from ingot_tools.engines import ggml_kernels as ggml


def seconds(call):
    begin = time.thread_time()
    result = call()
    return time.thread_time() - begin, result


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rows", type=int, default=512)
    p.add_argument("--columns", type=int, default=3072)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--type", action="append", choices=sorted(ggml.TYPES), default=[])
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    ours, theirs = ggml.Ours(), ggml.Theirs()
    random = np.random.default_rng(0)
    weights = (random.standard_t(5, (a.rows, a.columns)) * 0.02).astype(np.float32)
    importance = random.lognormal(0, 1, a.columns).astype(np.float32)
    few = weights[: max(a.rows // 32, 1)]
    results = []
    for kind in a.type or ggml.TYPES:
        for given in (None, importance):
            calls = {
                "ours": lambda: ours.quantize(kind, weights, given),
                "scalar": lambda: ours.quantize(kind, few, given, isa=ggml.SCALAR),
                "llama.cpp": lambda: theirs.quantize(kind, weights, given)}
            times = {name: [] for name in calls}
            made = {}
            # One after the other, so that other load meets all of them.
            for _ in range(a.rounds):
                for name, call in calls.items():
                    taken, made[name] = seconds(call)
                    times[name].append(taken * (weights.size / few.size if name == "scalar" else 1))

            def ratio(name):
                values = [other / own for other, own in zip(times[name], times["ours"])]
                return [statistics.median(values), min(values), max(values)]

            def error(name):
                difference = ours.decode(kind, made[name]).reshape(weights.shape).astype(np.float64) - weights
                return float((difference ** 2 * (1 if given is None else given)).sum())

            results.append({
                "type": kind, "importance": given is not None, "vsScalar": ratio("scalar"),
                "vsLlama": ratio("llama.cpp"), "error": error("ours") / error("llama.cpp"),
                "millionsPerSecond": weights.size / statistics.median(times["ours"]) / 1e6})
    if a.json:
        print(json.dumps({"isa": ours.isa, "weights": weights.size, "results": results}))
        return
    print(f"CPU time of one thread, {weights.size / 1e6:.1f} million weights in F32, {ours.isa}; medians of ratios over "
          f"{a.rounds} rounds (least–greatest)\n")
    print("| type | importance | scalar C / ours | llama.cpp / ours | squared error, ours / llama.cpp's | 1e6 weights/s |")
    print("|---|---|---|---|---|---|")
    for r in results:
        shown = [f"{m:.1f} ({low:.1f}–{high:.1f})" for m, low, high in (r["vsScalar"], r["vsLlama"])]
        print(f"| {r['type']} | {'yes' if r['importance'] else 'no'} | {shown[0]} | {shown[1]} | {r['error']:.3f} | "
              f"{r['millionsPerSecond']:.0f} |")


if __name__ == "__main__":
    sys.exit(main())
