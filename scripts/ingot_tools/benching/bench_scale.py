"""How time, memory and disk grow with a model's layers: MiniMax-M2's own shapes, from one layer to several.

    scripts/tools bench-scale [--layers 1 4 8] [--tokens 8192] [--threads N] [--work FOLDER] [--json FILE]

For each number of layers a synthetic FP8 checkpoint (3.7 GB a layer, and 1.2 GB of embedding and head) goes through

  quantize    to int4 by round to nearest, all of it
  calibrate   with --tokens tokens of the project's texts
  GPTQ        of the first layer's experts by these statistics, the others rounded to nearest
  verify      of the first artifact against the checkpoint, with as many tokens

and each is measured: wall and processor seconds, peak memory, bytes that the disk read and wrote. The last column compares the largest
number of layers with the line through the other two. With 8 layers it takes 45 GB of disk; checkpoints are deleted on the way.
"""
from __future__ import annotations

import argparse
import json
import os
import tempfile
from typing import Any

from ingot_tools.benching.bench_calibrated import checkpoint, texts
from ingot_tools.benching.running import INGOT, Run, remove

STEPS = ["quantize", "calibrate", "GPTQ", "verify"]
PARTS = [("wall", "s"), ("cpu", "s"), ("memory", "GB"), ("disk_read", "GB"), ("disk_written", "GB")]
RECIPE = """name: one layer
rules:
  - {layers: [0], parts: [experts], encoding: int4 g64 zero f16, quantizer: search}
  - {parts: [embedding, head], encoding: bf16}
  - {encoding: int4 g64 zero f16, quantizer: round-to-nearest}
"""
ROUNDED = "name: rounded\nrules:\n  - {encoding: int4 g64 zero f16, quantizer: round-to-nearest}\n"


def measured(options: argparse.Namespace, work: str, layers: int) -> dict[str, dict[str, float]]:
    model = checkpoint(work, f"layers-{layers}", layers=layers)
    text = texts(work, options.tokens)
    for name, content in (("rounded", ROUNDED), ("one", RECIPE)):
        with open(f"{work}/{name}.yaml", "w", encoding="utf-8") as file:
            file.write(content)
    threads = ["--threads", str(options.threads)]
    out, statistics, chunks = f"{work}/x.ingot", f"{work}/x.calib", ["--chunks", str(max(options.tokens // 512, 1))]
    quantize = [INGOT, "quantize", model, "--force", "--no-source-hash", *threads]
    found: dict[str, dict[str, float]] = {}

    def step(name: str, command: list[str]) -> None:
        drop(model)
        run = Run(command)
        found[name] = {part: getattr(run, part) for part, _ in PARTS}
        print(f"{layers} layers, {name}: " + ", ".join(shown(found[name][part], unit) for part, unit in PARTS), flush=True)

    step("quantize", [*quantize, "-o", out, "--recipe", f"{work}/rounded.yaml"])
    step("verify", [INGOT, "verify", out, "--against", model, "--text", text, *chunks, *threads])
    remove(out)
    step("calibrate", [INGOT, "calibrate", model, "--text", text, *chunks, "-o", statistics, "--all-contexts", "--force", *threads])
    step("GPTQ", [*quantize, "-o", out, "--recipe", f"{work}/one.yaml", "--importance", statistics])
    for path in (out, statistics, model):
        remove(path)
    return found


def drop(folder: str) -> None:
    """Takes a checkpoint out of the page cache, so that each step reads it from the disk."""
    for name in os.listdir(folder):
        file = os.open(f"{folder}/{name}", os.O_RDONLY)
        os.fsync(file)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def shown(value: float, unit: str) -> str:
    return f"{value:.0f} s" if unit == "s" else f"{value / 1e9:.2f} GB"


def table(found: dict[int, dict[str, dict[str, float]]]) -> str:
    counts = sorted(found)
    lines = ["| step | | " + " | ".join(f"{count} layers" for count in counts) + " | next to a line |",
             "|---" * (len(counts) + 3) + "|"]
    names = {"wall": "wall", "cpu": "processors", "memory": "peak memory", "disk_read": "read", "disk_written": "written"}
    for step in STEPS:
        for part, unit in PARTS:
            values = [found[count][step][part] for count in counts]
            line = ""
            if len(counts) == 3:
                slope = (values[1] - values[0]) / (counts[1] - counts[0])
                expected = values[1] + slope * (counts[2] - counts[1])
                line = f"{100 * (values[2] / expected - 1):+.1f} %" if expected else ""
            lines.append(f"| {step} | {names[part]} | " + " | ".join(shown(value, unit) for value in values) + f" | {line} |")
    return "\n".join(lines)


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", help="folder to work in, which is kept")
    parser.add_argument("--json", help="file to write")
    options = parser.parse_args()
    found: dict[int, Any] = {}
    with tempfile.TemporaryDirectory(prefix="ingot-scale-") as made:
        work = options.work or made
        os.makedirs(work, exist_ok=True)
        for layers in options.layers:
            found[layers] = measured(options, work, layers)
    print(f"load {os.getloadavg()[0]:.1f}; {options.tokens:,} tokens, {options.threads} threads")
    print(table(found))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({str(count): values for count, values in found.items()}, file, indent=2)


if __name__ == "__main__":
    main()
