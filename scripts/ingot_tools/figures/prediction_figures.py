#!/usr/bin/env python3
"""What plans were predicted to do, and what they do, on text of the same kind and of one that nothing was measured on.

    scripts/tools prediction-figures MODEL [--bits 2.8 3.5 4.2] [--leave-out code books] [--write]

MODEL has text/calibration/*.txt and text/heldout/*.txt, of the same names: kinds of text. For each kind that is left out,
'ingot calibrate' and 'ingot sensitivity' get the same texts, those of all other kinds, as a user would give them; plans of some
sizes are quantized with the statistics and verified on held-out text, of the kinds that were given and of the one left out. A row
is measured / predicted, where the prediction is scaled to how unsure the original is of the text, and whether the measured
divergence is in the interval of 90 % for that kind of text. --write puts the table into docs/results/prediction.md.
"""
import argparse
import glob
import json
import math
import os
import sys
import tempfile
import time
from functools import partial

from ingot_tools import REPOSITORY
from ingot_tools.figures import commands

call = partial(commands.call, shows_warnings=True)

PAGE = os.path.join(REPOSITORY, "docs/results/prediction.md")
BEGIN, END = "<!-- table -->\n", "<!-- /table -->\n"


def kind(path):
    return os.path.splitext(os.path.basename(path))[0]


class Figures:
    def __init__(self, options, work):
        self.options, self.work, self.rows = options, work, []
        self.calibration = sorted(glob.glob(f"{options.model}/text/calibration/*.txt"))
        self.held_out = sorted(glob.glob(f"{options.model}/text/heldout/*.txt"))
        if not self.calibration or not self.held_out:
            sys.exit(f"{options.model}: no text/calibration/*.txt and text/heldout/*.txt")

    def run(self):
        for left_out in self.options.leave_out:
            self.without(left_out)
        return self.rows

    def without(self, left_out):
        o = self.options
        texts = [path for path in self.calibration if kind(path) != left_out]
        like = [path for path in self.held_out if kind(path) != left_out]
        other = [path for path in self.held_out if kind(path) == left_out]
        statistics, sensitivity = f"{self.work}/{left_out}.calib", f"{self.work}/{left_out}.sens"
        call(o.ingot, "calibrate", o.model, "--text", *texts, "--chunks", str(o.gathered), "-o", statistics)
        call(o.ingot, "sensitivity", o.model, "--text", *texts, "--chunks", str(o.sample), "--importance", statistics,
             "--sample", str(o.experts), "--format", o.format, "-o", sensitivity)
        for bits in o.bits:
            plan, out = f"{self.work}/plan.json", f"{self.work}/out" + {"ingot": ".ingot", "gguf": ".gguf"}.get(o.format, "")
            self.plan(sensitivity, bits, plan)
            call(o.ingot, "quantize", o.model, "--plan", plan, "--importance", statistics, "-o", out, "--force", "--no-source-hash",
                 "--format", o.format)
            for name, paths, key in (("like what was measured", like, "inInterval"),
                                     (f"another kind: {left_out}", other, "inIntervalOfOtherText")):
                report = json.loads(call(o.ingot, "verify", out, "--against", o.model, "--plan", plan, "--text", *paths,
                                         "--chunks", str(o.chunks), "--json", ok=(0, 2)))
                self.row(", ".join(kind(path) for path in texts), bits, name, report, key)

    def plan(self, sensitivity, bits, path):
        if os.path.exists(path):
            os.remove(path)
        call(self.options.ingot, "plan", self.options.model, "--sensitivity", sensitivity, "--format", self.options.format,
             "--bits", str(bits), "-o", path)

    def row(self, measured_on, bits, name, report, key):
        outcome = report["plan"]
        figures = outcome["klDivergence"]
        ends = figures if key == "inInterval" else figures["otherText"]
        found, predicted = figures["found"], ends["predicted"]
        self.rows.append([
            measured_on, f"{bits}", name, f"{report['uncertainty']:.3f}", f"{figures['planned']:.4f}", f"{predicted:.4f}",
            f"{ends['low']:.4f} to {ends['high']:.4f}", f"{found:.4f} ± {figures['standardError']:.4f}", f"{found / predicted:.2f}",
            "yes" if outcome[key] else "no"])
        print(" | ".join(self.rows[-1]), flush=True)


HEAD = ["calibrated and measured on", "bits", "verified on text", "unsure", "in the plan", "for this text", "90 %", "measured",
        "ratio", "inside"]


def table(rows):
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    for name, chosen in (("like what was measured", [r for r in rows if not r[2].startswith("another")]),
                         ("of another kind", [r for r in rows if r[2].startswith("another")])):
        logs = [math.log(float(row[8])) for row in chosen]
        lines.append(f"\nRoot mean square of ln(measured / predicted) on text {name}: "
                     f"{math.sqrt(sum(x * x for x in logs) / max(len(logs), 1)):.2f}; "
                     f"{sum(row[9] == 'yes' for row in chosen)} of {len(chosen)} inside.")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--bits", nargs="+", type=float, default=[2.8, 3.5, 4.2])
    parser.add_argument("--leave-out", nargs="+", default=["code"], help="kinds of text that nothing is measured on")
    parser.add_argument("--format", default="ingot")
    parser.add_argument("--gathered", type=int, default=24, help="contexts of each text for 'ingot calibrate'")
    parser.add_argument("--sample", type=int, default=4, help="contexts of each text that tensors are measured on")
    parser.add_argument("--experts", type=int, default=2, help="experts a layer that GPTQ is tried on")
    parser.add_argument("--chunks", type=int, default=8, help="contexts of each held-out text")
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    parser.add_argument("--write", action="store_true", help="put the table into docs/results/prediction.md")
    options = parser.parse_args()
    start = time.time()
    with tempfile.TemporaryDirectory(prefix="ingot-prediction-") as work:
        rows = Figures(options, work).run()
    text = table(rows)
    print(text + f"{time.time() - start:.0f} seconds")
    if options.write:
        page = open(PAGE, encoding="utf-8").read()
        before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page[:before] + text + page[after:])


main()
