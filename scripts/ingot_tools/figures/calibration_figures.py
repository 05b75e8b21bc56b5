#!/usr/bin/env python3
"""What calibration is worth next to other tools' quantizers, from the same text and at the same bytes.

    scripts/tools calibration-figures MODEL [--contexts 14] [--rows q4_k q3_k q4_0 iq2_xxs iq2_s iq3_xxs iq3_s mlx] [--sequential]

MODEL has text/calibration and text/heldout beside its weights. Needs the engines of scripts/tools test-engines
($INGOT_ENGINES/venv, by default /tmp/ingot-engines/venv), whose Python it starts itself with.

GGUF: all tensors of one type ('pure'), made by llama.cpp's own quantizer (llama_model_quantize, with an importance matrix of
the calibration text) and by 'ingot quantize --importance'; llama.cpp itself runs both and an F32 file, and its logits give KL
divergence. The importance matrix is that of 'ingot calibrate -o X.gguf': sums of squares and counts of each expert's inputs,
as llama-imatrix defines them; --imatrix FILE takes one that llama-imatrix made.

MLX: mlx_lm.convert's 4 bits in groups of 64, and 'ingot quantize' into the same layout; our forward pass judges both.

A row NAME-plan: llama.cpp's mix NAME, and a plan of as many bytes by 'ingot sensitivity' of the calibration text.

Held-out contexts have 512 tokens, of which the second half is scored. Standard errors are over contexts; that of a ratio is of
paired contexts (jackknife).
"""
import argparse
import ctypes
import glob
import json
import os
import sys
import tempfile
import time

from ingot_tools import REPOSITORY
from ingot_tools.figures.commands import call

ENGINES = os.environ.get("INGOT_ENGINES", "/tmp/ingot-engines")
PYTHON = os.path.join(ENGINES, "venv/bin/python")
if os.path.exists(PYTHON) and os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(ENGINES, "venv")):
    os.execv(PYTHON, [PYTHON, *sys.orig_argv[1:]])

import numpy as np  # noqa: E402

from ingot_tools.engines.importance import read_imatrix

CONTEXT = 512
# llama_ftype of each type, and the ratio that is aimed at.
TYPES = {"q4_k": ("LLAMA_FTYPE_MOSTLY_Q4_K_S", 0.5), "q3_k": ("LLAMA_FTYPE_MOSTLY_Q3_K_S", 0.45),
         "q4_0": ("LLAMA_FTYPE_MOSTLY_Q4_0", 0.4), "iq2_xxs": ("LLAMA_FTYPE_MOSTLY_IQ2_XXS", 0.55),
         # Of IQ2_S tensors is the mix IQ2_M.
         "iq2_s": ("LLAMA_FTYPE_MOSTLY_IQ2_M", 0.55), "iq3_xxs": ("LLAMA_FTYPE_MOSTLY_IQ3_XXS", 0.55),
         "iq3_s": ("LLAMA_FTYPE_MOSTLY_IQ3_S", 0.55)}
# Types that llama.cpp needs importance for, which no imatrix has of the embedding: that is Q4_K there, and the head Q6_K.
LATTICES = ("iq2_xxs", "iq2_s", "iq3_xxs", "iq3_s")
# Mixes that llama.cpp makes, against a plan of as many bytes.
MIXES = {"iq2_m": ("LLAMA_FTYPE_MOSTLY_IQ2_M", 0.35), "iq3_xxs": ("LLAMA_FTYPE_MOSTLY_IQ3_XXS", 0.35),
         "iq3_m": ("LLAMA_FTYPE_MOSTLY_IQ3_M", 0.35)}
PLANNED = tuple(f"{name}-plan" for name in MIXES)


class Figures:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.calibration = sorted(glob.glob(f"{options.model}/text/calibration/*.txt"))
        self.held_out = sorted(glob.glob(f"{options.model}/text/heldout/*.txt"))
        if not self.calibration or not self.held_out:
            sys.exit(f"{options.model}: no text/calibration/*.txt and text/heldout/*.txt")
        self.evidence = options.evidence or f"{work}/x.calib"
        if not os.path.exists(self.evidence):
            call(options.ingot, "calibrate", options.model, "--text", *self.calibration, "-o", self.evidence)

    def recipe(self, name, rules):
        path = f"{self.work}/{name}.yaml"
        with open(path, "w") as file:
            file.write(f"name: {name}\nrules:\n" + "".join(f"  - {{{rule}}}\n" for rule in rules))
        return path

    def quantize(self, out, recipe, *words):
        call(self.options.ingot, "quantize", self.options.model, "-o", out, "--force", "--no-source-hash", "--recipe", recipe, *words)
        return out

    def calibrated(self):
        """What makes ours: layers apart, or one after the other."""
        return ["--importance", self.evidence, *(["--sequential", *self.calibration] if self.options.sequential else [])]

    # ---- llama.cpp -----------------------------------------------------------------------------------------------------

    def contexts(self):
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(f"{self.options.model}/tokenizer.json")
        found = []
        for path in self.held_out:
            ids = tokenizer.encode(open(path, encoding="utf-8").read(), add_special_tokens=False).ids
            found += [ids[i * CONTEXT:(i + 1) * CONTEXT] for i in range(min(len(ids) // CONTEXT, self.options.contexts))]
        return found

    def llama(self):
        import llama_cpp


        self.contexts_used = self.contexts()
        imatrix = self.options.imatrix
        if not imatrix:
            imatrix = f"{self.work}/imatrix.gguf"
            call(self.options.ingot, "calibrate", self.options.model, "--text", *self.calibration, "-o", imatrix)
        original = self.quantize(f"{self.work}/f32.gguf", self.recipe("f32", ["encoding: f32"]), "--format", "gguf")
        truth = [self.log_softmax(x) for x in self.logits(original)]
        for name in [row for row in self.options.rows if row in TYPES]:
            kind, aim = TYPES[name]
            theirs, ours = f"{self.work}/theirs.gguf", f"{self.work}/ours.gguf"
            self.quantize_theirs(
                llama_cpp, original, theirs, getattr(llama_cpp, kind), imatrix, ends=name in LATTICES)
            rules = [f"encoding: {name}"]
            if name in LATTICES:
                rules = ["parts: embedding, encoding: q4_k", "parts: head, encoding: q6_k", *rules]
            recipe = self.recipe(name, rules)
            self.quantize(ours, recipe, "--format", "gguf", *self.calibrated())
            sizes = [os.path.getsize(path) for path in (theirs, ours)]
            divergences = [self.divergences(truth, path) for path in (theirs, ours)]
            self.line(f"{name} pure", divergences, aim, sizes)

        for name in [name for name in MIXES if f"{name}-plan" in self.options.rows]:
            kind, aim = MIXES[name]
            theirs, ours, plan = f"{self.work}/theirs.gguf", f"{self.work}/ours.gguf", f"{self.work}/plan.json"
            self.quantize_theirs(llama_cpp, original, theirs, getattr(llama_cpp, kind), imatrix, pure=False)
            call(self.options.ingot, "plan", self.options.model, "--sensitivity", self.sensitivity(), "--format", "gguf", "--size",
                 str(os.path.getsize(theirs)), "-o", plan, "--force")
            call(self.options.ingot, "quantize", self.options.model, "--plan", plan, "--no-source-hash", "-o", ours, "--force",
                 *self.calibrated())
            sizes = [os.path.getsize(path) for path in (theirs, ours)]
            self.line(f"{name} plan", [self.divergences(truth, path) for path in (theirs, ours)], aim, sizes)

    def sensitivity(self):
        path = self.options.sensitivity or f"{self.work}/x.sens"
        if not os.path.exists(path):
            call(self.options.ingot, "sensitivity", self.options.model, "--text", *self.calibration, "--chunks", "8", "--importance",
                 self.evidence, "--format", "gguf", "-o", path)
        return path

    def quantize_theirs(self, llama_cpp, source, target, kind, imatrix, pure=True, ends=False):
        entries = read_imatrix(imatrix)
        array = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))()
        for place, (name, values) in zip(array, entries):
            place.name, place.size = name.encode(), values.size
            place.data = values.ctypes.data_as(type(place.data))
        options = llama_cpp.llama_model_quantize_default_params()
        options.ftype, options.nthread, options.pure, options.imatrix = kind, 2, pure, array
        if ends:
            options.token_embedding_type, options.output_tensor_type = llama_cpp.GGML_TYPE_Q4_K, llama_cpp.GGML_TYPE_Q6_K
        if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(options)) != 0:
            sys.exit("llama_model_quantize failed")

    def logits(self, path):
        from ingot_tools.engines import run_llama

        model = run_llama.open_model(path, CONTEXT, 2)
        for ids in self.contexts_used:
            yield run_llama.logits_of(model, ids)[CONTEXT // 2:-1]
        model.close()

    @staticmethod
    def log_softmax(x):
        x = x.astype(np.float64)
        x -= x.max(-1, keepdims=True)
        return (x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(np.float32)

    def divergences(self, truth, path):
        """Of each context's scored positions: (contexts, positions)."""
        found = []
        for p, x in zip(truth, self.logits(path)):
            found.append((np.exp(p) * (p - self.log_softmax(x))).sum(-1, dtype=np.float64))
        return np.array(found)

    def line(self, name, divergences, aim, sizes):
        theirs, ours = (d.mean(1) for d in divergences)
        spread = lambda d: d.std(ddof=1) / len(d) ** 0.5
        ratio = ours.mean() / theirs.mean()
        left_out = [np.delete(ours, i).mean() / np.delete(theirs, i).mean() for i in range(len(ours))]
        error = np.std(left_out) * (len(ours) - 1) ** 0.5
        tails = [np.percentile(d, 99.9) for d in divergences]
        print(f"{name:12}{theirs.mean():>10.5f} ± {spread(theirs):.5f}{ours.mean():>10.5f} ± {spread(ours):.5f}"
              f"{ratio:>8.3f} ± {error:.3f}  ≤ {aim:<5}{'yes' if ratio <= aim else 'no':>4}{tails[1] / tails[0]:>8.2f}"
              f"  {sizes[1] / sizes[0]:.4f} of the bytes, {len(ours)} contexts", flush=True)

    # ---- MLX -----------------------------------------------------------------------------------------------------------

    def mlx(self):
        theirs, ours = f"{self.work}/mlx-theirs", f"{self.work}/mlx-ours"
        call(sys.executable, "-m", "mlx_lm", "convert", "--hf-path", self.options.model, "--mlx-path", theirs, "-q", "--q-bits",
             "4", "--q-group-size", "64")
        self.quantize(ours, "mlx-4bit", *self.calibrated())
        reports = [json.loads(call(
            self.options.ingot, "verify", path, "--against", self.options.model, "--text", *self.held_out, "--chunks",
            str(self.options.contexts), "--json")) for path in (theirs, ours)]
        means = [r["klDivergence"]["mean"] for r in reports]
        errors = [r["klDivergence"]["standardError"] for r in reports]
        tails = [r["klDivergence"]["p999"] for r in reports]
        changed = [np.mean([layer["router"]["changed"] for layer in r["layers"]]) for r in reports]
        ratio = means[1] / means[0]
        error = ratio * sum((e / m) ** 2 for e, m in zip(errors, means)) ** 0.5
        sizes = [sum(os.path.getsize(p) for p in glob.glob(f"{path}/*.safetensors")) for path in (theirs, ours)]
        print(f"{'mlx 4 bits':12}{means[0]:>10.5f} ± {errors[0]:.5f}{means[1]:>10.5f} ± {errors[1]:.5f}{ratio:>8.3f} ± {error:.3f}"
              f"  ≤ 0.3  {'yes' if ratio <= 0.3 else 'no':>4}{tails[1] / tails[0]:>8.2f}  {sizes[1] / sizes[0]:.4f} of the bytes; "
              f"tokens whose experts changed {100 * changed[0]:.2f} % and {100 * changed[1]:.2f} %, "
              f"ratio {changed[1] / changed[0]:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rows", nargs="+", default=[*TYPES, *PLANNED, "mlx"], choices=[*TYPES, *PLANNED, "mlx"])
    parser.add_argument("--contexts", type=int, default=14, help="of each held-out text")
    parser.add_argument("--evidence", help="what 'ingot calibrate' gathered; made when it is not there")
    parser.add_argument("--sensitivity", help="what 'ingot sensitivity' measured; made when it is not there")
    parser.add_argument("--sequential", action="store_true", help="ours by 'quantize --sequential' with the calibration text")
    parser.add_argument("--imatrix", help="llama.cpp's importance matrix of the calibration text, as GGUF")
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    options = parser.parse_args()
    start = time.time()
    with tempfile.TemporaryDirectory(prefix="ingot-figures-") as work:
        figures = Figures(options, work)
        print(f"{'':12}{'theirs':>20}{'ours':>20}{'ratio':>16}{'aim':>9}{'':4}{'99.9 %':>8}")
        if any(row in TYPES or row in PLANNED for row in options.rows):
            figures.llama()
        if "mlx" in options.rows:
            figures.mlx()
    print(f"{time.time() - start:.0f} seconds")


main()
