#!/usr/bin/env python3
"""What GPTQ of MiniMax-M2's experts costs, next to the matrix products it consists of.

    scripts/tools bench-gptq [--experts 4] [--tokens 2048] [--encoding 'int4 g64 zero f16'] [--memory]

Makes a layer with the true shapes of some experts (gate and up 1536 × 3072, down 3072 × 1536), sends every token of a text
through each of them, and quantizes them on one thread. Experts do not depend on each other, so what one more costs says
what 256 do: processor seconds of the whole command, reading, searching grids, measuring and writing included, less those
of the same with one expert only, which reads as much evidence; and less what reading and writing alone take, as a run that
rounds to nearest says. They are divided by the floating-point operations of the sgemm, ssyrk, Cholesky factors and
triangular inverses at the rate of this BLAS: sgemm of (1536, 3072, 3072) on one core, the best of what is measured before
and between the runs.

With --memory the peak of a whole layer is measured instead: its inputs are as many as 256 experts, of which 8 are active,
have with --tokens each. One in 32 experts is active, so that those that are there have --tokens each.
"""
import argparse
import ctypes
import ctypes.util
import json
import os
import sys
import tempfile
import time

from ingot_tools import tool
from ingot_tools.benching.running import INGOT, NANO, ROOT, Run

HIDDEN, WIDTH = 3072, 1536


def operations(tokens, passes, corrects=True):
    """Floating-point operations of one expert in BLAS and LAPACK, by what they are for."""
    # A tenth of an expert's pseudo tokens, so many of the layer's at large, go through gate and up as well.
    tokens_inner = tokens + HIDDEN // 16
    inverse = lambda n: 2 * n**3 / 3  # Cholesky factor n³/3, inverse of a triangle n³/3
    sums = {"Hessians": tokens * HIDDEN**2 + tokens_inner * WIDTH**2, "factors": inverse(HIDDEN) + inverse(WIDTH)}
    # Gate and up have WIDTH rows of HIDDEN, down HIDDEN rows of WIDTH.
    sums["GPTQ"] = 2 * WIDTH * HIDDEN**2 + HIDDEN * WIDTH**2
    whole = 2 * (2 * WIDTH * HIDDEN**2) + 2 * HIDDEN * WIDTH**2
    # Each pass makes the gradients of all columns once.
    sums["refits"] = passes * whole
    sums["inner activations"] = 2 * 2 * tokens_inner * HIDDEN * WIDTH
    if corrects:
        sums["correction"] = 2 * 2 * tokens_inner * HIDDEN * WIDTH + 2 * tokens_inner * WIDTH**2 + inverse(WIDTH) + 2 * WIDTH**3 + 2 * HIDDEN * WIDTH**2
    return sums


def blas_rate():
    """sgemm's operations a second on one core, the best of some, with the kernels that ingot chooses."""
    name = ctypes.util.find_library("openblas") or "libopenblas.so.0"
    if "avx512f" in (open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""):
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
    blas = ctypes.CDLL(name)
    blas.openblas_set_num_threads(1)
    m, n, k = WIDTH, HIDDEN, HIDDEN
    a, b, c = ((ctypes.c_float * size)(*([0.5] * size)) for size in (m * k, k * n, m * n))
    best = 0.0
    for _ in range(4):
        before = time.thread_time()
        blas.cblas_sgemm(101, 111, 111, m, n, k, ctypes.c_float(1), a, k, b, n, ctypes.c_float(0), c, n)
        best = max(best, 2 * m * n * k / (time.thread_time() - before))
    return best


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=2048, help="of each expert")
    parser.add_argument("--memory", action="store_true", help="measure the peak memory of a whole layer")
    parser.add_argument("--encoding", default="int4 g64 zero f16")
    options = parser.parse_args()
    if os.environ.get("OPENBLAS_CORETYPE") is None and sys.platform == "linux":
        # Read when the library is loaded, so it must stand in the environment from the start.
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX" if "avx512f" in open("/proc/cpuinfo").read() else ""
        if os.environ["OPENBLAS_CORETYPE"]:
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    with tempfile.TemporaryDirectory(prefix="ingot-gptq-") as work:
        for name, quantizer in {"round": "round-to-nearest", "search": "search"}.items():
            with open(f"{work}/{name}.yaml", "w") as file:
                file.write(f"name: {name}\nrules:\n  - {{parts: [gate, up, down], encoding: '{options.encoding}', "
                           f"quantizer: {quantizer}}}\n  - {{encoding: keep}}\n")
        memory(options, work) if options.memory else time_of_one(options, work)


def layer(work, experts, active, tokens):
    """A model of one layer with the true shapes, and evidence of so many tokens in contexts of 512."""
    model, text, evidence = f"{work}/model-{experts}", f"{work}/text.txt", f"{work}/{experts}.calib"
    Run([*tool("make-checkpoint"), model, "--layers", "1", "--experts", str(experts),
         "--active", str(active), "--heads", "8", "--kv-heads", "2", "--vocabulary", "2048", "--context", "4096",
         "--tokenizer", NANO])
    page = open(f"{ROOT}/Tests/Fixtures/text/prose.txt").read()
    with open(text, "w") as file:
        file.write(page * (1 + tokens * 6 // len(page)))
    chunks = max(tokens // 512, 1)
    done = Run([INGOT, "calibrate", model, "--text", text, "--chunks", str(chunks), "-o", evidence, "--json"])
    return model, evidence, json.loads(done.output[done.output.index("{"):])["tokens"], done


def quantize(work, model, recipe, *words, threads=1):
    return Run([INGOT, "quantize", model, "-o", f"{work}/x.ingot", "--force", "--no-source-hash", "--threads",
                str(threads), "--recipe", f"{work}/{recipe}.yaml", *words])


def time_of_one(options, work):
    rates = [blas_rate()]
    few, many = (layer(work, experts, experts, options.tokens) for experts in (1, 1 + options.experts))

    def one(recipe, *words, evidence=True):
        runs = [quantize(work, model, recipe, *(["--importance", calib] if evidence else []), *words)
                for model, calib, _, _ in (few, many)]
        rates.append(blas_rate())
        return (runs[1].cpu - runs[0].cpu) / options.experts, runs[1].memory

    tokens, (base, _) = many[2], one("round", evidence=False)
    found = []
    for name, without, sums in [
        ("GPTQ", ["scaling", "refit", "inputs"], operations(tokens, 0, corrects=False)),
        ("GPTQ, inputs corrected", ["scaling", "refit"], operations(tokens, 0)),
        ("all but channel scaling", ["scaling"], operations(tokens, 2)),
    ]:
        found.append((name, *one("search", "--without", *without), sum(sums.values())))
    rate = max(rates)
    print(f"sgemm on one core: {rate / 1e9:.0f} GFLOP/s ({min(rates) / 1e9:.0f} at worst)")
    print(f"{'one expert':34}{'seconds':>9}{'GFLOP':>8}{'at the BLAS rate':>18}{'ratio':>7}{'memory':>10}")
    for name, seconds, peak, sums in found:
        seconds -= base
        print(f"{name:34}{seconds:>9.2f}{sums / 1e9:>8.0f}{sums / rate:>18.2f}{seconds * rate / sums:>7.2f}{peak / 1e9:>7.2f} GB")
    print(f"{options.experts} experts more than one, {tokens} tokens each, processor seconds, one thread; reading and writing "
          f"take {base:.2f}")


def memory(options, work):
    active = max(options.experts * 8 // 256, 1)
    model, evidence, tokens, calibrated = layer(work, options.experts, active, options.tokens * 256 // 8)
    print(f"{options.experts} experts, {active} active, {tokens} tokens: {os.path.getsize(evidence) / 1e9:.2f} GB of evidence, "
          f"calibrate's peak {calibrated.memory / 1e9:.2f} GB, {calibrated.wall:.0f} s")
    for name, words in [("GPTQ", ["--without", "scaling", "refit", "inputs"]), ("all of it", [])]:
        done = quantize(work, model, "search", "--importance", evidence, *words, threads=2)
        print(f"quantize, {name}: peak {done.memory / 1e9:.2f} GB with 2 threads, {done.wall:.0f} s", flush=True)


main()
