#!/usr/bin/env python3
"""Planned mixtures against uniform encodings of the same bits, and against llama.cpp's own mixes.

    scripts/tools fit-figures MODEL [--sensitivity X.sens] [--evidence X.calib] [--formats ingot gguf mlx] [--bits 3.5 4 4.5]
    scripts/tools setup-engines; scripts/tools fit-figures MODEL --llama     # llama.cpp's mixes too
    scripts/tools fit-figures MODEL --drop --bits 2.4 2.7 3            # plans that may leave experts out, against those that may not

MODEL has text/calibration/*.txt and text/heldout/*.txt. 'ingot calibrate' and 'ingot sensitivity' see the first, the latter its last
contexts too, which the former does not, so that what plans do is measured on text that made neither them nor the codes; KL divergence is of the second, in contexts of 512 tokens of which the second half is scored, by 'ingot verify'. Plans and uniform models are
quantized by the same quantizer with the same evidence. Bits are over all tensors, embedding and head included, on both sides. Where
no uniform encoding has just a plan's bits, the logarithm of its divergence is interpolated linearly in bits between those that
are next to it; at the ends the line is continued.

llama.cpp's mixes are made by its own quantizer (llama-cpp-python) with the importance matrix of the calibration text, as 'ingot
calibrate -o X.gguf' writes it, and judged by the same 'ingot verify'; the plan has no more bits than the mix.
"""
import argparse
import ctypes
import glob
import json
import math
import os
import sys
import tempfile
import time

from ingot_tools import REPOSITORY
from ingot_tools.figures.commands import call

ENGINES = os.environ.get("INGOT_ENGINES", "/tmp/ingot-engines")

UNIFORM = {
    "ingot": ["int3 g64 zero f16", "int3 g32 zero f16", "int4 g64 zero f16", "int4 g32 zero f16"],
    "gguf": ["q3_k", "iq4_xs", "q4_k"],
    "mlx": ["int3 g64 bias bf16", "int3 g32 bias bf16", "int4 g128 bias bf16", "int4 g64 bias bf16"],
}
AIMS = {"ingot": 0.7, "gguf": 0.8, "mlx": 0.8}
MIXES = {"Q3_K_S": "LLAMA_FTYPE_MOSTLY_Q3_K_S", "Q3_K_M": "LLAMA_FTYPE_MOSTLY_Q3_K_M", "IQ4_XS": "LLAMA_FTYPE_MOSTLY_IQ4_XS",
         "Q4_K_S": "LLAMA_FTYPE_MOSTLY_Q4_K_S"}


def format_number(value):
    return f"{value:.5f}"


class Figures:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.calibration = sorted(glob.glob(f"{options.model}/text/calibration/*.txt"))
        self.held_out = sorted(glob.glob(f"{options.model}/text/heldout/*.txt"))
        if not self.calibration or not self.held_out:
            sys.exit(f"{options.model}: no text/calibration/*.txt and text/heldout/*.txt")
        self.evidence = options.evidence or f"{work}/x.calib"
        if not os.path.exists(self.evidence):
            call(options.ingot, "calibrate", options.model, "--text", *self.calibration, "--chunks", str(options.gathered),
                 "-o", self.evidence)
        self.sensitivity = options.sensitivity or f"{work}/x.sens"
        if not os.path.exists(self.sensitivity):
            call(options.ingot, "sensitivity", options.model, "--text", *self.calibration, "--chunks", str(options.sample),
                 "--importance", self.evidence, "--format", *options.formats, "-o", self.sensitivity)

    def out(self, format):
        return f"{self.work}/out" + {"ingot": ".ingot", "gguf": ".gguf"}.get(format, "")

    def made(self, format, *words):
        """What 'quantize' and 'verify' say of an artifact."""
        out = self.out(format)
        calibrated = [] if self.options.search else ["--importance", self.evidence]
        made = json.loads(call(self.options.ingot, "quantize", self.options.model, "-o", out, "--force", "--format", format,
                               "--json", *calibrated, *words))
        plan = ["--plan", words[words.index("--plan") + 1]] if "--plan" in words else []
        return made, self.verified(out, *plan)

    def verified(self, path, *words):
        return json.loads(call(self.options.ingot, "verify", path, "--against", self.options.model, "--text", *self.held_out,
                               "--chunks", str(self.options.chunks), "--json", *words, ok=(0, 2)))

    def uniform(self, format):
        """Points (bits, divergence)."""
        points = []
        for encoding in UNIFORM[format]:
            recipe = f"{self.work}/uniform.yaml"
            with open(recipe, "w") as file:
                file.write(f"name: uniform\nrules:\n  - encoding: '{encoding}'\n")
            made, report = self.made(format, "--recipe", recipe)
            points.append((made["bitsPerWeight"], report["klDivergence"]["mean"]))
            print(f"{format:6} uniform {encoding:20}{points[-1][0]:8.3f} bits {points[-1][1]:10.5f}"
                  f" ± {report['klDivergence']['standardError']:.5f}", flush=True)
        return sorted(points)

    @staticmethod
    def at(points, bits):
        """The uniform encoding's divergence at these bits; of two of nearly equal bits the better one counts."""
        best = [p for p in points if not any(q[0] <= p[0] and q[1] < p[1] for q in points)]
        above = next((i for i, p in enumerate(best) if p[0] >= bits), len(best) - 1)
        a, b = best[max(above - 1, 0)], best[max(above, 1)]
        share = (bits - a[0]) / (b[0] - a[0])
        return math.exp(math.log(a[1]) + share * (math.log(b[1]) - math.log(a[1])))

    def plan(self, format, bits, *words):
        made, report = self.made(format, "--plan", self.planned(format, bits, *words))
        return made, report

    def planned(self, format, bits, *words, ok=(0,)):
        """Path of a plan; none is there where nothing fits."""
        path = f"{self.work}/plan.json"
        if os.path.exists(path):
            os.remove(path)
        call(self.options.ingot, "plan", self.options.model, "--sensitivity", self.sensitivity, "--format", format, "--bits",
             f"{bits:.6f}", "-o", path, *words, ok=ok)
        return path

    def row(self, name, bits, report, other, aim):
        outcome = report["plan"]
        size = outcome["bytes"]
        divergence = outcome["klDivergence"]
        found, error = divergence["found"], divergence["standardError"]
        ratio = found / other
        print(f"{name:24}{bits:8.3f}{other:11.5f}{found:11.5f} ± {error:.5f}{ratio:8.3f}  ≤ {aim}  "
              f"{'yes' if ratio <= aim else 'no':4}{divergence['predicted']:10.5f}{found / divergence['predicted']:8.3f}  "
              f"{'equal' if size['predicted'] == size['found'] else size['found'] - size['predicted']}", flush=True)

    def header(self, other):
        print(f"{'':24}{'bits':>8}{other:>11}{'planned':>11}{'':10}{'ratio':>8}{'':12}{'predicted':>10}{'m/p':>8}  size", flush=True)

    def run(self):
        if self.options.drop:
            self.drop()
            return
        points = {format: self.uniform(format) for format in self.options.formats if self.options.bits}
        print()
        if self.options.bits:
            self.header("uniform")
        for format in self.options.formats:
            for bits in self.options.bits:
                made, report = self.plan(format, bits)
                self.row(format, made["bitsPerWeight"], report, self.at(points[format], made["bitsPerWeight"]), AIMS[format])
        if self.options.llama:
            self.llama()

    # ---- fewer experts ------------------------------------------------------------------------------------------------

    def drop(self):
        """Bits are over all weights of the original, so that both plans have the same bytes."""
        print(f"{'':8}{'bits':>6}{'all experts':>14}{'experts':>10}{'fewer':>10}{'':10}{'ratio':>8}{'predicted':>11}{'m/p':>8}  size",
              flush=True)
        for format in self.options.formats:
            for bits in self.options.bits:
                path = self.planned(format, bits, ok=(0, 64))
                whole = None
                if os.path.exists(path):
                    whole = self.made(format, "--plan", path)[1]["klDivergence"]["mean"]
                path = self.planned(format, bits, "--allow-drop", ok=(0, 64))
                if not os.path.exists(path):
                    print(f"{format:8}{bits:6.2f}  nothing fits", flush=True)
                    continue
                outcome = self.made(format, "--plan", path)[1]["plan"]
                experts = json.loads(call(self.options.ingot, "inspect", self.out(format), "--json"))["experts"]["count"]
                size, divergence = outcome["bytes"], outcome["klDivergence"]
                found = divergence["found"]
                print(f"{format:8}{bits:6.2f}{'nothing fits' if whole is None else format_number(whole):>14}{experts:10}"
                      f"{found:10.5f} ± {divergence['standardError']:.5f}{'' if whole is None else f'{found / whole:.3f}':>8}"
                      f"{divergence['predicted']:11.5f}{found / divergence['predicted']:8.3f}  "
                      f"{'equal' if size['predicted'] == size['found'] else size['found'] - size['predicted']}", flush=True)

    # ---- llama.cpp -----------------------------------------------------------------------------------------------------

    def llama(self):
        import llama_cpp

        from ingot_tools.engines.importance import read_imatrix

        imatrix, original, theirs = (f"{self.work}/{name}.gguf" for name in ("imatrix", "original", "theirs"))
        call(self.options.ingot, "calibrate", self.options.model, "--text", *self.calibration, "-o", imatrix)
        recipe = f"{self.work}/f32.yaml"
        with open(recipe, "w") as file:
            file.write("name: f32\nrules:\n  - encoding: f32\n")
        call(self.options.ingot, "quantize", self.options.model, "-o", original, "--format", "gguf", "--recipe", recipe)
        entries = read_imatrix(imatrix)
        array = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))()
        for place, (name, values) in zip(array, entries):
            place.name, place.size = name.encode(), values.size
            place.data = values.ctypes.data_as(type(place.data))
        print()
        self.header("llama.cpp")
        for name in self.options.mixes:
            options = llama_cpp.llama_model_quantize_default_params()
            options.ftype, options.nthread, options.imatrix = getattr(llama_cpp, MIXES[name]), 2, array
            if llama_cpp.llama_model_quantize(original.encode(), theirs.encode(), ctypes.byref(options)) != 0:
                sys.exit("llama_model_quantize failed")
            found = json.loads(call(self.options.ingot, "inspect", theirs, "--json"))
            bits = 8 * found["bytes"] / found["parameters"]["total"]
            other = self.verified(theirs)["klDivergence"]["mean"]
            for format in self.options.formats:
                made, report = self.plan(format, bits)
                self.row(f"{format} to {name}", made["bitsPerWeight"], report, other, 0.6)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sensitivity", help="what 'ingot sensitivity' measured; made when it is not there")
    parser.add_argument("--evidence", help="what 'ingot calibrate' gathered; made when it is not there")
    parser.add_argument("--formats", nargs="+", default=["ingot", "gguf", "mlx"], choices=list(UNIFORM))
    parser.add_argument("--bits", nargs="*", type=float, default=[3.5, 4.0, 4.5], help="none: only --llama")
    parser.add_argument("--chunks", type=int, default=14, help="contexts of each held-out text")
    parser.add_argument("--sample", type=int, default=8, help="contexts of each calibration text for 'ingot sensitivity'")
    parser.add_argument("--gathered", type=int, default=60,
                        help="contexts of each calibration text for 'ingot calibrate', so that the last are neither's")
    parser.add_argument("--search", action="store_true", help="without evidence: codes by the search on both sides")
    parser.add_argument("--drop", action="store_true", help="only plans that may leave experts out, against those that may not")
    parser.add_argument("--llama", action="store_true")
    parser.add_argument("--mixes", nargs="+", default=list(MIXES), choices=list(MIXES))
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    options = parser.parse_args()
    python = os.path.join(ENGINES, "venv/bin/python")
    if options.llama and os.path.exists(python) and os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(ENGINES, "venv")):
        os.execv(python, [python, *sys.orig_argv[1:]])
    start = time.time()
    with tempfile.TemporaryDirectory(prefix="ingot-fit-") as work:
        Figures(options, work).run()
    print(f"{time.time() - start:.0f} seconds")


main()
