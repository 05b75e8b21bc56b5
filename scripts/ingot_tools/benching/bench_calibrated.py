#!/usr/bin/env python3
"""What a calibrated quantization of all of MiniMax-M2 takes, from a slice with its true shapes, and of one whole layer with
embedding and head.

    scripts/tools bench-calibrated [--tokens 65536] [--recipe int4] [--threads N] [--json FILE]
    scripts/tools bench-calibrated --layer [--tokens 16384]
    scripts/tools bench-calibrated --simulate [--layers 62]

The slice has 2 layers of 32 experts, one of them active, so that each sees as many tokens as one of 256, of which 8 are active, does
with --tokens. It is calibrated and quantized, GPTQ with its stages one after the other: alone, with inputs corrected, with refits,
with channel scales searched. What a stage takes is the difference in processor seconds; what reading and writing takes
is a run that rounds to nearest. A second slice of one layer, quantized likewise, parts what layers cost from the rest. All of M2 is
62 layers of 256 experts, so: 31 times what layers take but for their experts, and 248 times what experts do. To part these, the
slice is also made with 8 experts.

--layer quantizes one layer as it is: 256 experts, embedding and head of 200,064 tokens; it prints wall and processor seconds,
how busy the threads were, and the peak of memory. That takes 10 GB of disk.

--simulate needs nothing that is built: it says how busy 2 to 64 threads are with the units of some layers and the head, by their
operations, as they are handed out (scripts/benching/simulation.py).

Processor seconds are those of the machine as it is: what else runs there slows them down. The load is printed.
"""
import argparse
import glob
import json
import os
import tempfile

from ingot_tools import tool
from ingot_tools.benching import simulation
from ingot_tools.benching.running import INGOT, NANO, ROOT, Run

LAYERS, EXPERTS, ACTIVE = 62, 256, 8
TEXTS = sorted(glob.glob(f"{ROOT}/calibration/text/calibration/*.txt"))
STAGES = [
    ("GPTQ", ["scaling", "refit", "inputs"]), ("correcting inputs", ["scaling", "refit"]), ("refits", ["scaling"]),
    ("channel scales", []),
]


def checkpoint(work, name, **options):
    path = f"{work}/{name}"
    command = [*tool("make-checkpoint"), path, "--tokenizer", NANO]
    for key, value in options.items():
        command += [f"--{key}", str(value)]
    Run(command)
    return path


def texts(work, tokens):
    """Enough text: the project's own, again and again."""
    text = "".join(open(path).read() for path in TEXTS)
    path = f"{work}/text.txt"
    with open(path, "w") as file:
        file.write(text * (1 + tokens * 8 // len(text)))
    return path


def calibrate(work, model, text, tokens, threads):
    statistics = f"{model}.calib"
    run = Run([INGOT, "calibrate", model, "--text", text, "--chunks", str(max(tokens // 512, 1)), "-o", statistics,
               "--all-contexts", "--threads", str(threads)])
    return statistics, run


def quantize(work, model, threads, *words):
    return Run([INGOT, "quantize", model, "-o", f"{work}/x.ingot", "--force", "--no-source-hash", "--threads", str(threads),
                *words])


def shown(run):
    return {"wall": round(run.wall, 1), "cpu": round(run.cpu, 1), "peak": run.memory}


def layer(options, work):
    model = checkpoint(work, "layer", layers=1)
    statistics, calibrated = calibrate(work, model, texts(work, options.tokens), options.tokens, options.threads)
    run = quantize(work, model, options.threads, "--recipe", options.recipe, "--importance", statistics)
    busy = run.cpu / run.wall / options.threads
    print(f"calibrate, {options.tokens:,} tokens: {calibrated.wall:.0f} s, {calibrated.cpu:.0f} processor seconds, "
          f"peak {calibrated.memory / 1e9:.2f} GB")
    print(f"quantize to {options.recipe}: {run.wall:.0f} s, {run.cpu:.0f} processor seconds, threads {busy:.2f} busy, "
          f"peak {run.memory / 1e9:.2f} GB")
    return {"calibrate": shown(calibrated), "quantize": shown(run), "busy": round(busy, 3)}


def whole(options, work):
    text = texts(work, options.tokens)
    # By layers and experts: processor seconds of rounding, of each run of STAGES, and of calibration.
    found = {}
    for layers, experts, tokens in ((2, 32, options.tokens), (1, 32, options.tokens), (2, 8, options.tokens // 4)):
        model = checkpoint(
            work, f"slice-{layers}-{experts}", layers=layers, experts=experts, active=1, vocabulary=4096)
        statistics, calibrated = calibrate(work, model, text, tokens, options.threads)
        runs = [quantize(work, model, options.threads, "--recipe", f"{work}/rtn.yaml")]
        for _, without in STAGES:
            words = ["--without", *without] if without else []
            runs.append(quantize(
                work, model, options.threads, "--recipe", options.recipe, "--importance", statistics, *words))
        found[layers, experts] = {"runs": [run.cpu for run in runs], "calibrate": calibrated.cpu,
                                  "peak": max(run.memory for run in [*runs, calibrated])}
    names = ["reading, rounding and writing"] + [name for name, _ in STAGES]
    total, rows = 0, []
    for index, name in enumerate(names):
        def seconds(layers, experts):
            runs = found[layers, experts]["runs"]
            return runs[index] - (runs[index - 1] if index else 0)
        # Of one expert, of a layer without its experts, and once a run.
        expert = (seconds(2, 32) - seconds(2, 8)) / (2 * 24)
        rest = seconds(2, 32) - seconds(1, 32) - 32 * expert
        hours = LAYERS * (EXPERTS * expert + rest) / 3600
        total += hours if index else 0
        rows.append((name, expert, rest, hours))
    print(f"load {os.getloadavg()[0]:.1f}; {options.recipe}, {options.tokens:,} tokens, {options.threads} threads; processor seconds")
    print(f"{'stage':32}{'an expert':>10}{'rest of a layer':>17}{'all of M2, hours':>18}")
    for name, expert, rest, hours in rows:
        print(f"{name:32}{expert:>10.2f}{rest:>17.2f}{hours:>18.2f}")
    print(f"quantization in all: {total:.2f} core-hours beside reading, rounding and writing")
    # An expert's tokens are those of all layers' experts, each token being in one expert here and in eight there.
    forward = found[2, 32]["calibrate"] - found[1, 32]["calibrate"]
    print(f"calibrate, a layer of the slice: {forward:.0f}; peak of any run {max(f['peak'] for f in found.values()) / 1e9:.2f} GB")
    return {"rows": [dict(zip(("stage", "expert", "rest", "hours"), row)) for row in rows], "hours": total,
            "calibrateLayer": forward}


def simulate(options):
    rate = 200e9
    result = []
    print(f"{options.layers} layers and the head, {rate / 1e9:.0f} GFLOP/s a core")
    print(f"{'threads':>8}{'minutes':>10}{'busy':>7}{'units at most':>16}")
    for threads in (1, 2, 4, 8, 16, 32, 64):
        # What --memory is without the option.
        memory = max(1.5e9, 0.25e9 * threads)
        seconds, busy, peak = simulation.Simulation(
            simulation.minimax_m2(options.layers, rate), threads, memory, load=1.0).run()
        result.append({"threads": threads, "seconds": seconds, "busy": busy, "memory": peak})
        print(f"{threads:>8}{seconds / 60:>10.1f}{busy:>7.3f}{peak / 1e9:>13.2f} GB")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", action="store_true")
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of --simulate")
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--recipe", default="int4")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", help="folder that is kept")
    parser.add_argument("--json", help="file to write")
    options = parser.parse_args()
    options.tokens = options.tokens or (16384 if options.layer else 65536)
    with tempfile.TemporaryDirectory(prefix="ingot-calibrated-") as made:
        work = options.work or made
        os.makedirs(work, exist_ok=True)
        with open(f"{work}/rtn.yaml", "w") as file:
            file.write("name: rtn\nrules:\n  - {encoding: int4 g64 zero f16, quantizer: round-to-nearest}\n")
        if options.simulate:
            result = simulate(options)
        else:
            result = layer(options, work) if options.layer else whole(options, work)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
