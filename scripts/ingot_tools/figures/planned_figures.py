#!/usr/bin/env python3
"""Plans of .ingot with trellis codes among their encodings, against plans without at the same bits.

    scripts/tools planned-figures MODEL [--bits 2 2.2 2.4 2.5 3 3.5 4] [--search] [--rows FILE] [--write]

MODEL has text/calibration/*.txt and text/heldout/*.txt. 'ingot calibrate' and 'ingot sensitivity' see the first, the latter
contexts that the former leaves out. Plans with trellis codes keep all experts; plans without ('--exclude trellis') may leave
experts out ('--allow-drop'), as the planner does where that is better. 'ingot quantize --plan'
makes both, by GPTQ or with --search without calibration, and 'ingot verify' judges both on the held-out text, in contexts of 512
tokens of which the second half is scored. Standard errors are over contexts; that of a ratio is of paired contexts (jackknife).

Each row is added to --rows FILE (JSON lines), and --write puts the table of all rows there into docs/results/planned.md, so
that rows can be measured one by one.
"""
import argparse
import glob
import json
import math
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from ingot_tools import REPOSITORY
from ingot_tools.figures.commands import call, ratio

PAGE = os.path.join(REPOSITORY, "docs/results/planned.md")
# Ratios of KL divergence that are aimed at, by bits; of the share of tokens whose experts changed, and of the 99.9th percentile.
AIMS = {4.0: 0.55}
AIM, OTHER_AIM = 0.5, 0.7


class Figures:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.calibration = sorted(glob.glob(f"{options.model}/text/calibration/*.txt"))
        self.held_out = sorted(glob.glob(f"{options.model}/text/heldout/*.txt"))
        if not self.calibration or not self.held_out:
            sys.exit(f"{options.model}: no text/calibration/*.txt and text/heldout/*.txt")
        self.statistics = f"{options.kept or work}/x.calib"
        if not options.search and not os.path.exists(self.statistics):
            call(options.ingot, "calibrate", options.model, "--text", *self.calibration, "-o", self.statistics)

    def calibrated(self):
        return [] if self.options.search else ["--importance", self.statistics]

    def sensitivity(self):
        path = f"{self.options.kept or self.work}/{'searched' if self.options.search else 'gptq'}.sens"
        if not os.path.exists(path):
            call(self.options.ingot, "sensitivity", self.options.model, "--text", *self.calibration, "--chunks",
                 str(self.options.sample), *self.calibrated(), "-o", path)
        return path

    def judged(self, name, sensitivity, bits, *words):
        """What 'verify' says of the artifact of a plan; None where nothing fits."""
        plan, out = f"{self.work}/{name}.json", f"{self.work}/{name}.ingot"
        if os.path.exists(plan):
            os.remove(plan)
        call(self.options.ingot, "plan", self.options.model, "--sensitivity", sensitivity, "--bits", str(bits), "-o", plan, *words,
             ok=(0, 64))
        if not os.path.exists(plan):
            return None
        call(self.options.ingot, "quantize", self.options.model, "--plan", plan, *self.calibrated(), "-o", out, "--force")
        report = json.loads(call(
            self.options.ingot, "verify", out, "--against", self.options.model, "--plan", plan, "--text", *self.held_out,
            "--chunks", str(self.options.chunks), "--json", ok=(0, 2)))
        sizes, divergence = report["plan"]["bytes"], report["plan"]["klDivergence"]
        routers = [layer["router"]["changed"] for layer in report["layers"] if layer["router"]]
        return {
            "bits": report["candidate"]["bitsPerWeight"], "contexts": report["klDivergence"]["contexts"],
            "error": report["klDivergence"]["standardError"], "p999": report["klDivergence"]["p999"],
            "changed": sum(routers) / max(len(routers), 1), "predicted": divergence["predicted"],
            "inside": report["plan"]["inInterval"], "isExact": sizes["predicted"] == sizes["found"],
            "dropped": experts((report.get("droppedExperts") or [""])[0])}

    def run(self):
        sensitivity = self.sensitivity()
        for bits in self.options.bits:
            with ThreadPoolExecutor(2) as both:
                ours = both.submit(self.judged, "with", sensitivity, bits)
                others = both.submit(self.judged, "without", sensitivity, bits, "--exclude", "trellis", "--allow-drop")
                row = {"search": self.options.search, "bits": bits, "with": ours.result(), "without": others.result()}
            print(line(row), flush=True)
            with open(self.options.rows, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def experts(runs):
    """How many numbers are in runs such as '0-2, 7'."""
    ends = [run.strip().split("-") for run in runs.split(",") if run.strip()]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def mean(values):
    return sum(values) / len(values)


HEAD = ["codes", "bits", "without trellis", "experts left out there", "with trellis", "ratio", "aim", "predicted",
        "measured / predicted", "size", "experts changed, ratio", "99.9 %, ratio", "aim of both", "contexts"]


def line(row):
    ours, others = row["with"], row["without"]
    name = "searched" if row["search"] else "GPTQ"
    if ours is None:
        return f"| {name} | {row['bits']} | nothing fits |" + " |" * (len(HEAD) - 3)
    found = mean(ours["contexts"])
    cells = [name, f"{ours['bits']:.3f}"]
    judge = lambda value, aim: f"≤ {aim}: {'yes' if value <= aim else 'no'}"
    if others is None:
        cells += ["nothing fits", "", f"{found:.4f} ± {ours['error']:.4f}", "", ""]
    else:
        value, error = ratio(ours["contexts"], others["contexts"])
        cells += [f"{mean(others['contexts']):.4f} ± {others['error']:.4f}", str(others["dropped"]),
                  f"{found:.4f} ± {ours['error']:.4f}", f"{value:.3f} ± {error:.3f}", judge(value, AIMS.get(row["bits"], AIM))]
    cells += [f"{ours['predicted']:.4f}", f"{found / ours['predicted']:.2f}", "exact" if ours["isExact"] else "another"]
    if others is None:
        cells += ["", "", ""]
    else:
        changed, tail = ours["changed"] / others["changed"], ours["p999"] / others["p999"]
        cells += [f"{changed:.2f} ({100 * ours['changed']:.1f} % of tokens)", f"{tail:.2f}", judge(max(changed, tail), OTHER_AIM)]
    return "| " + " | ".join(cells + [str(len(ours["contexts"]))]) + " |"


def page(rows):
    """The rows, the latest of each number of bits."""
    latest = {(row["search"], row["bits"]): row for row in rows}
    chosen = [latest[key] for key in sorted(latest)]
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD), *map(line, chosen)]
    logs = [math.log(mean(row["with"]["contexts"]) / row["with"]["predicted"]) for row in chosen if row["with"]]
    lines.append(f"\nRoot mean square of ln(measured / predicted) with trellis codes: "
                 f"{math.sqrt(sum(x * x for x in logs) / max(len(logs), 1)):.2f}; the furthest is "
                 f"{max(map(abs, logs), default=0):.2f}.")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--bits", nargs="*", type=float, default=[2, 2.2, 2.4, 2.5, 3, 3.5, 4])
    parser.add_argument("--search", action="store_true", help="without calibration: codes by the search on both sides")
    parser.add_argument("--sample", type=int, default=8, help="contexts of each calibration text for 'ingot sensitivity'")
    parser.add_argument("--chunks", type=int, default=8, help="contexts of each held-out text")
    parser.add_argument("--kept", help="folder in which statistics and sensitivities are kept, and taken from when there")
    parser.add_argument("--rows", default="planned-rows.jsonl", help="file that rows are added to")
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    parser.add_argument("--write", action="store_true", help="put the table into docs/results/planned.md")
    options = parser.parse_args()
    start = time.time()
    with tempfile.TemporaryDirectory(prefix="ingot-planned-") as work:
        if options.bits:
            Figures(options, work).run()
    with open(options.rows, encoding="utf-8") as file:
        text = page([json.loads(row) for row in file])
    print(text + f"{time.time() - start:.0f} seconds")
    if options.write:
        with open(PAGE, encoding="utf-8") as file:
            old = file.read()
        begin, end = "<!-- table -->\n", "<!-- /table -->\n"
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(old[:old.index(begin) + len(begin)] + text + old[old.index(end):])


main()
