#!/usr/bin/env python3
"""What each technique gains at sizes of 2 to 4 bits: a table of artifacts of the same size, each with one technique more or less.

    scripts/tools ablation-sizes MODEL --calibration TEXT... --held-out TEXT... [--bits 2.1 2.6 3.1 3.5 4.0] [--rows FILE] [--write]

Without texts, those in MODEL/text/calibration and MODEL/text/heldout. 'ingot calibrate' and 'ingot sensitivity' see the
calibration texts; each artifact is a plan of .ingot for the number of bits, embedding and head included, quantized by
'ingot quantize' and judged by 'ingot verify' on the held-out texts in contexts of 512 tokens, of which the second half is
scored:

  planned                   a plan with trellis codes, GPTQ, layers apart
  layer after layer         the same with '--sequential'
  no feedback               without GPTQ's feedback ('--without gptq'): the nearest codes in the statistics' weights
  no trellis                a plan without trellis codes, experts left out where it does not fit otherwise
  no plan                   one rate for all linear layers, what is left of the bits for embedding and head
  no calibration            a plan measured and quantized without statistics

Each measured artifact is added to --rows FILE (JSON lines) and is not measured again; --write puts the model's table into
docs/results/ablation.md. Standard errors are over contexts; a ratio is of paired contexts (jackknife).
"""
import argparse
import glob
import json
import os
import sys
import tempfile
import time

from ingot_tools import REPOSITORY
from ingot_tools.figures.commands import call, ratio

PAGE = os.path.join(REPOSITORY, "docs/results/ablation.md")
# Name; whether statistics are used, whether layer after layer; options of 'plan' (None: no plan); options of 'quantize'.
ROWS = [
    ("planned", True, False, [], []),
    ("layer after layer", True, True, [], []),
    ("no feedback", True, False, [], ["--without", "gptq"]),
    ("no trellis", True, False, ["--exclude", "trellis", "--allow-drop"], []),
    ("no plan", True, False, None, []),
    ("no calibration", False, False, [], []),
]
# Encodings of a uniform artifact: of linear layers, and of embedding and head.
LINEAR = ["trellis-1.5", "trellis-2", "trellis-2.5", "trellis-3", "trellis-3.5", "trellis-4"]
ENDS = ["trellis-2", "trellis-2.5", "trellis-3", "trellis-3.5", "trellis-4", "int5 g64 zero f16", "int6 g64 zero f16",
        "int8 g64 zero f16", "bf16"]


class Ablation:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.folder = options.kept or work
        os.makedirs(self.folder, exist_ok=True)
        self.statistics = f"{self.folder}/x.calib"
        if not os.path.exists(self.statistics):
            call(options.ingot, "calibrate", options.model, "--text", *options.calibration, "-o", self.statistics)

    def sensitivity(self, calibrated):
        path = f"{self.folder}/{'gptq' if calibrated else 'searched'}.sens"
        if not os.path.exists(path):
            call(self.options.ingot, "sensitivity", self.options.model, "--text", *self.options.calibration, "--chunks",
                 str(self.options.sample), *(["--importance", self.statistics] if calibrated else []), "-o", path)
        return path

    def plan(self, bits, calibrated, words):
        path = f"{self.work}/plan.json"
        call(self.options.ingot, "plan", self.options.model, "--sensitivity", self.sensitivity(calibrated), "--bits", str(bits),
             "-o", path, "--force", *words)
        return ["--plan", path]

    def uniform(self, bits):
        """The recipe with the most bits for linear layers, then for embedding and head, that stays within `bits`."""
        best = None
        for linear in LINEAR:
            for ends in ENDS:
                path = f"{self.work}/{linear}-{ends}.yaml".replace(" ", "-")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"name: uniform\nrules:\n  - {{parts: [embedding], encoding: '{ends}'}}\n"
                               f"  - {{parts: [head], encoding: '{ends}'}}\n  - {{encoding: '{linear}', quantizer: search}}\n")
                size = json.loads(call(self.options.ingot, "plan", self.options.model, "--recipe", path, "--json"))
                if size["bitsPerWeight"] <= bits:
                    best = path
        return None if best is None else ["--recipe", best]

    def judged(self, bits, calibrated, sequential, plan, words):
        choice = self.uniform(bits) if plan is None else self.plan(bits, calibrated, plan)
        if choice is None:
            return None
        out = f"{self.work}/x.ingot"
        began = time.time()
        call(self.options.ingot, "quantize", self.options.model, *choice, "-o", out, "--force", "--no-source-hash", *words,
             *(["--importance", self.statistics] if calibrated else []),
             *(["--sequential", *self.options.calibration] if sequential else []))
        seconds = time.time() - began
        report = json.loads(call(
            self.options.ingot, "verify", out, "--against", self.options.model, "--text", *self.options.held_out, "--chunks",
            str(self.options.chunks), "--json"))
        divergence = report["klDivergence"]
        changed = [layer["router"]["changed"] for layer in report["layers"] if layer.get("router")]
        return {"bits": report["candidate"]["bitsPerWeight"], "mean": divergence["mean"], "error": divergence["standardError"],
                "p999": divergence["p999"], "contexts": divergence["contexts"], "seconds": seconds,
                "changed": sum(changed) / len(changed) if changed else None}

    def run(self):
        known = {(row["model"], row["name"], row["budget"]) for row in rows(self.options.rows)}
        model = name_of(self.options.model)
        for bits in self.options.bits:
            for name, calibrated, sequential, plan, words in ROWS:
                if (model, name, bits) in known or self.options.only and name not in self.options.only:
                    continue
                found = self.judged(bits, calibrated, sequential, plan, words)
                with open(self.options.rows, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"model": model, "name": name, "budget": bits, "found": found}) + "\n")
                print(f"{model} {bits} {name}: "
                      + ("nothing fits" if found is None else f"{found['mean']:.5f} ± {found['error']:.5f}, {found['bits']:.3f} bits"),
                      flush=True)


def name_of(path):
    return os.path.basename(os.path.normpath(path))


def rows(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def table(found):
    """Lines of Markdown: a row a technique, a column a size."""
    cells = {(row["name"], row["budget"]): row["found"] for row in found}
    sizes = sorted({row["budget"] for row in found})
    lines = ["| row | " + " | ".join(f"{size:g} bits" for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for name, *_ in ROWS:
        line = [name]
        for size in sizes:
            cell, first = cells.get((name, size)), cells.get(("planned", size))
            if cell is None:
                line.append("nothing fits" if (name, size) in cells else "")
            elif name == "planned" or first is None:
                line.append(f"{cell['mean']:.4f} ± {cell['error']:.4f}")
            else:
                value, error = ratio(cell["contexts"], first["contexts"])
                line.append(f"{cell['mean']:.4f} (× {value:.2f} ± {error:.2f})")
        lines.append("| " + " | ".join(line) + " |")
    changed = [cells.get(("planned", size)) for size in sizes]
    if any(cell and cell["changed"] is not None for cell in changed):
        lines.append("| tokens whose experts changed, planned | "
                     + " | ".join(f"{100 * cell['changed']:.1f} %" if cell else "" for cell in changed) + " |")
    return "\n".join(lines) + "\n"


def write(model, text):
    with open(PAGE, encoding="utf-8") as file:
        old = file.read()
    begin, end = f"<!-- {model} -->\n", f"<!-- /{model} -->\n"
    if begin not in old:
        sys.exit(f"{PAGE}: no place for {model}: add the lines {begin.strip()} and {end.strip()}")
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(old[:old.index(begin) + len(begin)] + text + old[old.index(end):])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--calibration", nargs="+")
    parser.add_argument("--held-out", nargs="+")
    parser.add_argument("--bits", nargs="*", type=float, default=[2.1, 2.6, 3.1, 3.5, 4.0])
    parser.add_argument("--only", nargs="+", metavar="ROW", help="names of rows")
    parser.add_argument("--sample", type=int, default=8, help="contexts of each calibration text for 'ingot sensitivity'")
    parser.add_argument("--chunks", type=int, default=14, help="contexts of each held-out text")
    parser.add_argument("--kept", help="folder in which statistics and sensitivities are kept, and taken from when there")
    parser.add_argument("--rows", default="ablation-rows.jsonl", help="file that rows are added to")
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    parser.add_argument("--write", action="store_true", help="put the table into docs/results/ablation.md")
    options = parser.parse_args()
    options.calibration = options.calibration or sorted(glob.glob(f"{options.model}/text/calibration/*.txt"))
    options.held_out = options.held_out or sorted(glob.glob(f"{options.model}/text/heldout/*.txt"))
    if not options.calibration or not options.held_out:
        parser.error(f"no texts in {options.model}/text: --calibration and --held-out name some")
    with tempfile.TemporaryDirectory(prefix="ingot-ablation-") as work:
        if options.bits:
            Ablation(options, work).run()
    model = name_of(options.model)
    text = table([row for row in rows(options.rows) if row["model"] == model])
    print(text)
    if options.write:
        write(model, text)


main()
