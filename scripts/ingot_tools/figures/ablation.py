#!/usr/bin/env python3
"""What each technique of calibration gains: one table.

    scripts/tools ablation MODEL [--calibration TEXT...] [--held-out TEXT...] [--encoding 'int4 g64 zero f16'] [--chunks 14]

Quantizes every linear layer to one encoding, embedding and head staying BF16, by round to nearest, by the search, and by
calibration with techniques left out one by one, layers apart and one after the other ('--sequential'), and measures each
artifact with 'ingot verify' on held-out text, which must be other text than the calibration's; without texts, those in
MODEL/text/calibration and MODEL/text/heldout. Figures are KL divergence from the original in nats with its standard error,
the ratio to round to nearest with the standard error that both give it when taken as independent, the 99.9th percentile,
the share of tokens whose set of experts changed, mean errors of the experts' outputs as measured while quantizing, and
the held-out texts on which round to nearest is better.

With a refitted bias a line a layer says what became of contexts that the fit did not see.

What stays of --evidence FILE from an earlier run is used again; --only picks rows by a part of their name.
"""
import argparse
import glob
import json
import os
import resource
import shutil
import tempfile
import time

from ingot_tools import REPOSITORY
from ingot_tools.figures.commands import call

# Name, and what is left out.
TECHNIQUES = [
    ("all of it", []),
    ("without correction of inputs", ["inputs"]),
    ("without refit", ["refit"]),
    ("without channel scaling", ["scaling"]),
    ("GPTQ alone", ["scaling", "refit", "inputs"]),
    ("channel scaling alone", ["gptq"]),
]
SEQUENTIAL = [
    ("sequential", [], []),
    ("sequential, router's bias refitted", [], ["--refit-bias"]),
    ("sequential, targets of inputs only", ["residuals"], []),
    ("sequential, no targets", ["inputs", "residuals"], []),
]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--calibration", nargs="+")
    parser.add_argument("--held-out", nargs="+")
    parser.add_argument("--evidence", help="what 'ingot calibrate' gathered; made when it is not there")
    parser.add_argument("--only", nargs="+", help="rows whose name contains one of these")
    parser.add_argument("--encoding", nargs="+", default=["int4 g64 zero f16", "int3 g64 zero f16"])
    parser.add_argument("--chunks", default="14", help="contexts of 512 tokens of each held-out text")
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    options = parser.parse_args()
    options.calibration = options.calibration or texts(parser, options.model, "calibration")
    options.held_out = options.held_out or texts(parser, options.model, "heldout")
    work = tempfile.mkdtemp(prefix="ingot-ablation-")
    try:
        run(options, work)
    finally:
        shutil.rmtree(work)


def texts(parser, model, part):
    found = sorted(glob.glob(os.path.join(model, "text", part, "*.txt")))
    return found or parser.error(f"no texts in {model}/text/{part}: --calibration and --held-out name some")


def run(options, work):
    evidence = options.evidence or f"{work}/evidence.calib"
    start = time.time()
    if not os.path.exists(evidence):
        call(options.ingot, "calibrate", options.model, "--text", *options.calibration, "-o", evidence)
    print(f"{'':36}{'KL divergence':>20}{'ratio':>16}{'99.9 %':>9}{'changed':>9}{'output error':>14}  seconds  worse than rtn on")
    for encoding in options.encoding:
        linear = "".join(f"  - {{parts: [{part}], encoding: bf16}}\n" for part in ("embedding", "head"))
        recipes = {}
        # Eight-bit types and the K types have no round to nearest.
        for quantizer in ("round-to-nearest", "search"):
            recipes[quantizer] = f"{work}/{quantizer}.yaml"
            with open(recipes[quantizer], "w") as file:
                file.write(f"name: {quantizer}\nrules:\n{linear}  - {{encoding: '{encoding}', quantizer: {quantizer}}}\n")
        print(encoding)
        first = None
        runs: list[tuple] = [("round to nearest", "round-to-nearest", None, []), ("search", "search", None, [])]
        runs += [(name, "search", without, []) for name, without in TECHNIQUES]
        runs += [(name, "search", without, ["--sequential", *options.calibration, *more])
                 for name, without, more in SEQUENTIAL]
        for name, quantizer, without, more in runs:
            if options.only and name != "round to nearest" and not any(part in name for part in options.only):
                continue
            began = time.time()
            words = [options.ingot, "quantize", options.model, "-o", f"{work}/x.ingot", "--force", "--no-source-hash",
                     "--recipe", recipes[quantizer]]
            if without is not None:
                words += ["--importance", evidence] + (["--without", *without] if without else [])
                words += more
            if quantizer == "round-to-nearest" and not rounds(encoding):
                continue
            made = json.loads(call(*words, "--json"))
            report = json.loads(call(
                options.ingot, "verify", f"{work}/x.ingot", "--against", options.model, "--text", *options.held_out,
                "--chunks", options.chunks, "--json"))
            line(name, report, first, made, time.time() - began)
            first = first or report
            for refit in made.get("routerBias") or []:
                print(f"    layer {refit['layer']}: sets changed in {refit['tokens']} tokens held back {refit['changedBefore']} → "
                      f"{refit['changedAfter']}, {'applied' if refit['applied'] else 'not applied'}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{time.time() - start:.0f} seconds in all, {used.ru_utime + used.ru_stime:.0f} of processors")


def rounds(encoding):
    return not (encoding.endswith("_k") or encoding.startswith("iq"))


def line(name, report, first, made, seconds):
    divergence, base = report["klDivergence"], (first or report)["klDivergence"]
    ratio = divergence["mean"] / base["mean"]
    spread = ratio * sum((d["standardError"] / d["mean"]) ** 2 for d in (divergence, base)) ** 0.5 if first else 0
    changed = [layer["router"]["changed"] for layer in report["layers"]]
    experts = [expert for layer in (made["calibration"] or {}).get("layers", []) for expert in layer["experts"]]
    errors = [expert["measured"] for expert in experts if expert.get("tokens")]
    worse = [text["text"] for text, other in zip(report["texts"], (first or report)["texts"])
             if text["klDivergence"]["mean"] > other["klDivergence"]["mean"]]
    print(f"  {name:34}{divergence['mean']:>9.5f} ± {divergence['standardError']:.5f}{ratio:>8.3f} ± {spread:.3f}"
          f"{divergence['p999']:>9.4f}{100 * sum(changed) / len(changed):>7.2f} %"
          f"{(f'{100 * sum(errors) / len(errors):.3f} %' if errors else ''):>14}{seconds:>9.0f}  {', '.join(worse) or 'none'}",
          flush=True)


main()
