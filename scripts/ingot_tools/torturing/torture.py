#!/usr/bin/env python3
"""Tortures the command: faults of the system at every call, kill -9, full disks, flipped bits, malformed files.

    scripts/tools torture                    # the whole of it, about an hour on two cores
    scripts/tools torture --short            # some of each, for every change
    scripts/tools torture --only kills       # one part: faults, kills, full, flips, malformed
    scripts/tools torture --only kills --kills 1000    # so many of each command, a row for each

Prints the table of docs/results/interruptions.md, and what went wrong. Exit code 1 when anything did. Needs a built command
(`swift build -c release --build-tests`), a C compiler and Linux.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

from ingot_tools import REPOSITORY, tool
from ingot_tools.torturing.parts import Result, faults, full_disk, kills
from ingot_tools.torturing.running import Rig, Target

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = str(REPOSITORY)
PARTS = ["faults", "kills", "full", "flips", "malformed"]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", default=os.path.join(ROOT, ".build/release/ingot"))
    p.add_argument("--short", action="store_true", help="some of each, in a minute or two")
    p.add_argument("--only", choices=PARTS, action="append", help="parts to run (default: all)")
    p.add_argument("--target", action="append", help="only commands whose name has this in it; may be repeated")
    p.add_argument("--kills", type=int, metavar="COUNT", help="kills of each command (default: 1500 of all together)")
    p.add_argument("--workers", type=int, default=os.cpu_count(), help="commands at once")
    p.add_argument("--folder", help="where to work (default: a temporary folder)")
    return p.parse_args()


def tiny_checkpoint(folder):
    """A model of MiniMax-M2's layout that is converted in some hundredths of a second."""
    path = os.path.join(folder, "tiny")
    subprocess.run(
        [*tool("make-checkpoint"), path, "--layers", "2", "--experts", "4",
         "--active", "2", "--hidden", "256", "--width", "256", "--heads", "4", "--kv-heads", "2", "--head-dim", "64",
         "--rotary", "32", "--vocabulary", "2048", "--shard-bytes", "1500000",
         "--tokenizer", os.path.join(ROOT, "Tests/Fixtures/m2-nano")],
        check=True, stdout=subprocess.DEVNULL)
    return path


def targets(model, rig, short):
    def quantize(name, recipe, output, *more, before=None):
        return Target(name, ["quantize", model, "--recipe", recipe, *more], output, before)

    def older(name, output, *arguments):
        """A folder with an artifact of other bytes under the same names."""
        place = rig.fresh("older-" + name)
        subprocess.run(
            [rig.ingot, *arguments, "-o", os.path.join(place, output)], check=True, stdout=subprocess.DEVNULL)
        return place

    gguf = older("gguf", "x.gguf", "quantize", model, "--recipe", "q8_0") + "/x.gguf"
    all_targets = [
        quantize(".ingot", "int4", "x.ingot"),
        quantize(".ingot in parts", "int4", "x.ingot", "--split-size", "1MB"),
        quantize("GGUF", "q4_k_m", "x.gguf"),
        Target("SafeTensors in parts", ["convert", model, "--format", "safetensors", "--split-size", "1MB"], "x"),
        quantize("replacing SafeTensors", "mlx-4bit", "x", "--force",
                 before=older("folder", "x", "convert", model, "--format", "safetensors")),
        quantize("GGUF in parts", "q4_k_m", "x.gguf", "--split-size", "1MB"),
        quantize("replacing GGUF in parts", "q4_k_m", "x.gguf", "--split-size", "1MB", "--force",
                 before=older("parts", "x.gguf", "quantize", model, "--recipe", "mxfp4_moe", "--split-size", "1MB")),
        quantize("replacing .ingot", "int4", "x.ingot", "--force",
                 before=older("ingot", "x.ingot", "quantize", model, "--recipe", "int8")),
        Target("GGUF to .ingot", ["convert", gguf], "x.ingot"),
        Target(".ingot of F8", ["convert", model, "--no-source-hash"], "x.ingot"),
        quantize("MLX", "mlx-4bit", "x"),
        quantize("compressed-tensors", "w4a16", "x"),
        quantize("GPTQ", "gptq-4bit", "x"),
        quantize("AWQ", "awq-4bit", "x"),
    ]
    text = os.path.join(rig.folder, "text.txt")
    with open(os.path.join(ROOT, "Tests/Fixtures/text/prose.txt"), encoding="utf-8") as file, open(text, "w", encoding="utf-8") as out:
        out.write(file.read(1500))
    mlx = older("mlx", "x", "quantize", model, "--recipe", "mlx-4bit") + "/x"
    packed = older("packed", "x", "quantize", model, "--recipe", "w4a16") + "/x"
    int4 = older("verified", "x.ingot", "quantize", model, "--recipe", "int4") + "/x.ingot"
    context = ["--text", text, "--context", "64", "--chunks", "3"]
    evidence = older("evidence", "x.calib", "calibrate", model, *context) + "/x.calib"
    shares = rig.fresh("shares")
    for number in (1, 2):
        subprocess.run(
            [rig.ingot, "quantize", model, "--recipe", "int4", "--importance", evidence, "--shard", f"{number}/2", "-o", shares],
            check=True, stdout=subprocess.DEVNULL)
    parts = rig.fresh("parts-of-statistics")
    for number in (1, 2):
        subprocess.run([rig.ingot, "calibrate", model, *context, "--shard", f"{number}/2", "-o", parts], check=True, stdout=subprocess.DEVNULL)
    measurements = rig.fresh("shares-of-sensitivities")
    for number in (1, 2):
        subprocess.run([rig.ingot, "sensitivity", model, *context, "--shard", f"{number}/2", "-o", measurements], check=True, stdout=subprocess.DEVNULL)
    others = [
        Target("calibrate", ["calibrate", model, *context], "x.calib", grows=True),
        # What is read can fail as well.
        Target("verify", ["verify", "{place}/source/x.ingot", "--against", model, *context, "--json"], "x.partial",
               source=os.path.dirname(int4), prints=True),
        Target("a share of a verification", ["verify", int4, "--against", model, *context, "--shard", "2/3"], "shares", grows=True),
        Target("assembling shares", ["assemble", shares], "x.ingot"),
        quantize("by GPTQ", "int4", "x.ingot", "--importance", evidence),
        Target("a share of sensitivities", ["sensitivity", model, *context, "--shard", "2/2"], "shares", grows=True),
        Target("assembling sensitivities", ["assemble", measurements], "y.sens", grows=True),
        Target("assembling statistics", ["assemble", parts], "y.calib", grows=True),
        Target("sensitivity", ["sensitivity", model, *context], "x.sens", grows=True),
        Target("reading SafeTensors", ["quantize", "{place}/source", "--recipe", "int4"], "x.ingot", source=model),
        Target("reading .ingot", ["convert", "{place}/source/x.ingot"], "x.ingot", source=os.path.dirname(int4)),
        Target("reading GGUF", ["convert", "{place}/source/x.gguf"], "x.ingot", source=os.path.dirname(gguf)),
        Target("reading MLX", ["convert", "{place}/source"], "x.ingot", source=mlx),
        Target("reading compressed-tensors", ["convert", "{place}/source"], "x.ingot", source=packed),
    ]
    return all_targets[:5] + others[:4] if short else all_targets + others


def swift_test(name, filter_name, **environment):
    """A part that runs inside the tests: they print lines `torture: COUNT WHAT`."""
    result = Result(name)
    outcome = subprocess.run(
        ["swift", "test", "-c", "release", "--skip-build", "--filter", filter_name], cwd=ROOT,
        env={**os.environ, **{key: str(value) for key, value in environment.items()}},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = outcome.stdout.decode(errors="replace")
    for count, what in re.findall(r"torture: (\d+) ([^\n]*)", text):
        result.count += int(count)
        result.notes[what] = result.notes.get(what, 0) + int(count)
    if outcome.returncode != 0 or result.count == 0:
        result.fail("\n".join(line[:300] for line in text.splitlines() if "✘" in line)[:4000] or text[-2000:])
    return result


def main():
    a = arguments()
    wanted = a.only or PARTS
    folder = a.folder or tempfile.mkdtemp(prefix="ingot-torture-")
    os.makedirs(folder, exist_ok=True)
    # The library compares paths as the command writes them.
    folder = os.path.realpath(folder)
    results = []
    try:
        if {"faults", "kills", "full"} & set(wanted):
            library = os.path.join(folder, "faults.so")
            subprocess.run(
                ["cc", "-O1", "-shared", "-fPIC", "-o", library, os.path.join(HERE, "faults.c"), "-ldl"],
                check=True)
            rig = Rig(os.path.abspath(a.ingot), library, folder)
            model = tiny_checkpoint(folder)
            commands = [t for t in targets(model, rig, a.short) if not a.target or any(x in t.name for x in a.target)]
            rig.prepare(commands)
            print(", ".join(f"{t.name}: {t.calls} calls" for t in commands), flush=True)
        for part in wanted:
            if part == "faults":
                results.append(faults(rig, commands, 250 if a.short else None, a.workers))
            elif part == "kills" and a.kills:
                for target in commands:
                    results.append(kills(rig, [target], a.kills, a.workers))
                    results[-1].name += f": {target.name}"
                    show(results[-1])
                continue
            elif part == "kills":
                results.append(kills(rig, commands, 120 if a.short else 1500, a.workers))
            elif part == "full":
                results.append(full_disk(rig, commands[:2] if a.short else commands, 10 if a.short else 60, a.workers))
            elif part == "flips":
                results.append(swift_test("bit flips in an artifact", "BitFlipTests",
                                          INGOT_FLIPS=4000 if a.short else 120_000))
            else:
                results.append(swift_test("malformed files", "MalformedTests|GGUFHostileTests|IngotVectorTests"))
            show(results[-1])
    finally:
        if not a.folder:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n| | count | | |\n|---|---|---|---|")
    for result in results:
        notes = ", ".join(f"{what} {count:,}" for what, count in sorted(result.notes.items()))
        verdict = "all as they should be" if not result.failures else f"{len(result.failures)} FAILED"
        print(f"| {result.name} | {result.count:,} | {verdict} | {notes} |")
    sys.exit(any(result.failures for result in results))


def show(result):
    print(f"{result.name}: {result.count:,} in {result.seconds:.0f} s, {len(result.failures)} failed", flush=True)
    for failure in result.failures[:20]:
        print("  " + failure, flush=True)


if __name__ == "__main__":
    main()
