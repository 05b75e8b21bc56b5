#!/usr/bin/env python3
"""What calibrating on a model's own text ('ingot calibrate --generate') gives next to calibrating on texts: one table.

    scripts/tools own-text-figures [--mini FOLDER] [--contexts 64] [--context 256] [--seeds 0 1] [--write]

For m2-mini (--mini, a folder with text/calibration and text/heldout) and SmolLM2-135M (scripts/tools real-models): every linear layer in one
encoding, by round to nearest, by calibration on the shipped text (calibration/text/calibration), on m2-mini also on text of the kind that it
was trained on, and on as many tokens that the model made itself, with some seeds. 'ingot verify' measures each on held-out text: m2-mini's
own, and calibration/text/held-out, which no row has seen. A last row is the tokens' cost: how many a second the model makes.

--write puts the table into docs/results/own-text.md. What is made stays in --work, if that is given, and is used again.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

from ingot_tools import REPOSITORY, tool

PAGE = os.path.join(REPOSITORY, "docs/results/own-text.md")
ENCODINGS = ("int4 g64 zero f16", "int3 g64 zero f16")


def texts(folder):
    found = sorted(glob.glob(os.path.join(folder, "*")))
    if not found:
        sys.exit(f"{folder}: no texts")
    return found


class Model:
    def __init__(self, options, name, path, own, held_out):
        self.options, self.name, self.path, self.own, self.held_out = options, name, path, own, held_out

    def file(self, ending):
        return os.path.join(self.options.work, f"{self.name}-{ending}")

    def ingot(self, *words):
        done = subprocess.run([self.options.ingot, *words, "--threads", str(self.options.threads)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stderr[-1500:]}")
        return done.stdout

    def evidence(self, label, words):
        path = self.file(f"{label}.calib")
        if not os.path.exists(path):
            begin = time.monotonic()
            self.ingot("calibrate", self.path, "-o", path, "--context", str(self.options.context), *words)
            with open(path + ".seconds", "w") as f:
                f.write(str(time.monotonic() - begin))
        return path

    def sources(self):
        """Label, and what 'calibrate' is given: as many tokens each."""
        count = self.options.contexts

        def shared(paths):
            return ["--text", *paths, "--chunks", str(max(1, -(-count // len(paths)))), "--all-contexts"]

        yield "round to nearest", None
        yield "shipped text", shared(texts(os.path.join(REPOSITORY, "calibration/text/calibration")))
        if self.own:
            yield "text like its training's", shared(self.own)
        for seed in self.options.seeds:
            yield f"its own text, seed {seed}", ["--generate", str(count), "--seed", str(seed)]

    def rows(self):
        for encoding in ENCODINGS:
            for label, words in self.sources():
                artifact = self.file(f"{encoding}-{label}.ingot".replace(" ", "-"))
                recipe = self.file(f"{encoding}.yaml".replace(" ", "-"))
                with open(recipe, "w") as f:
                    f.write(f"name: trial\nrules:\n  - {{parts: [attention, experts, mlp], encoding: {encoding}}}\n")
                if not os.path.exists(artifact):
                    more = ["--importance", self.evidence(label.replace(" ", "-"), words)] if words else []
                    self.ingot("quantize", self.path, "-o", artifact, "--recipe", recipe, "--no-source-hash", *more)
                cells = []
                for paths in self.held_out:
                    found = json.loads(self.ingot("verify", artifact, "--against", self.path, "--text", *paths, "--context",
                                                  str(self.options.context), "--chunks", str(self.options.chunks), "--json"))
                    mean = found["klDivergence"]
                    cells.append(f"{mean['mean']:.4f} ± {mean['standardError']:.4f}" if isinstance(mean["mean"], float) else "?")
                yield encoding, label, cells


def main():
    p = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mini", help="folder of m2-mini; left out without it")
    p.add_argument("--contexts", type=int, default=64)
    p.add_argument("--context", type=int, default=256)
    p.add_argument("--chunks", type=int, default=8, help="contexts of each held-out text")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--work")
    p.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    p.add_argument("--write", action="store_true")
    options = p.parse_args()
    scratch = None
    if not options.work:
        scratch = tempfile.TemporaryDirectory(prefix="ingot-own-text-")
        options.work = scratch.name
    os.makedirs(options.work, exist_ok=True)
    shipped = texts(os.path.join(REPOSITORY, "calibration/text/held-out"))
    models = []
    if options.mini:
        own = [texts(os.path.join(options.mini, "text", part)) for part in ("calibration", "heldout")]
        models.append(Model(options, "m2-mini", options.mini, own[0], [own[1], shipped]))
    smollm2 = subprocess.run([*tool("real-models"), "smollm2"], check=True, capture_output=True, text=True).stdout.strip()
    models.append(Model(options, "SmolLM2-135M", smollm2, None, [shipped]))
    lines = []

    def say(text):
        print(text, flush=True)
        lines.append(text)

    for model in models:
        heads = ["KLD, its held-out text", "KLD, shipped held-out text"][-len(model.held_out):]
        say(f"\n{model.name}, {options.contexts} contexts of {options.context} tokens\n")
        say(f"| encoding | calibrated on | {' | '.join(heads)} |\n|---|---{'|---' * len(heads)}|")
        for encoding, label, cells in model.rows():
            say(f"| {encoding} | {label} | {' | '.join(cells)} |")
        seconds = [float(open(path).read()) for path in glob.glob(model.file("its-own-text*.seconds"))]
        if seconds:
            say(f"\nMaking its own text and statistics of it took {sum(seconds) / len(seconds):.0f} s, "
                f"{options.contexts * options.context * len(seconds) / sum(seconds):.0f} tokens per second, {options.threads} threads.")
    if options.write:
        with open(PAGE, encoding="utf-8") as f:
            text = f.read()
        begin, end = "<!-- table -->\n", "<!-- /table -->"
        before, _, rest = text.partition(begin)
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(before + begin + "\n".join(lines).strip("\n") + "\n" + rest[rest.index(end):])


main()
