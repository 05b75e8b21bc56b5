#!/usr/bin/env python3
"""Measures speed and memory against what the machine can do and against other tools, and says which figures are reached.

    scripts/tools bench                  # about ten minutes, 20 GB of disk
    scripts/tools bench --quick          # about three minutes, 3 GB
    scripts/tools bench --engines PYTHON # also against MLX and llama.cpp, from this environment (scripts/tools setup-engines makes one)
                  --llama-cpp DIR  # with llama.cpp's own converter, from a checkout of it
                  --llm-compressor PYTHON

In each round what is compared takes turns, so what else the machine does meets all alike; figures are medians with the
least and the greatest. The copy that conversions are held against reads and writes as many bytes past the page cache,
with as many reads and writes under way as ingot has. Results go to scripts/bench-results/DATE.md.

What another tool fails with, or that it is missing, costs its row. A part of our own that fails is said in the report, which is
written all the same, and the exit code is 1.

Checkpoints are made once and kept in --work (by default $TMPDIR/ingot-bench).
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time

from ingot_tools.benching import conversions, forward, kernels, peers
from ingot_tools.benching.report import Report, machine
from ingot_tools.benching.running import ROOT, checkpoint, say


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="small checkpoints, one round")
    p.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "ingot-bench"))
    p.add_argument("--checkpoint", help="folder of two layers to convert, instead of a made one")
    p.add_argument("--engines", metavar="PYTHON", help="python of an environment with mlx-lm and llama-cpp-python")
    p.add_argument("--llama-cpp", metavar="DIR", help="checkout of llama.cpp, for its convert_hf_to_gguf.py")
    p.add_argument("--llama-python", metavar="PYTHON", help="python that runs it (default: that of --engines)")
    p.add_argument("--llm-compressor", metavar="PYTHON", help="python of an environment with llmcompressor")
    p.add_argument("--peer-rounds", type=int, default=1, help="how often other tools take their turn (default: %(default)s)")
    p.add_argument("--output", help="file to write (default: scripts/bench-results/DATE.md)")
    return p.parse_args()


def main():
    a = arguments()
    for product in () if "INGOT_BUILD" in os.environ else ("ingot", "ingot-bench"):
        subprocess.run(["swift", "build", "-c", "release", "--product", product], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
    os.makedirs(a.work, exist_ok=True)
    begin = time.monotonic()
    report, where = Report(), machine(ROOT)
    say(where)
    status = 0
    try:
        measure(a, report)
    except KeyboardInterrupt:
        report.text("Interrupted: what would follow was not measured.")
        status = 130
    write(a, report, where, time.monotonic() - begin)
    if report.failed:
        say(f"failed: {', '.join(report.failed)}")
    return status or (1 if report.failed else 0)


def measure(a, report):
    """Each part on its own: one that fails leaves what the others found."""
    rounds, experts = 1 if a.quick else 3, 8 if a.quick else 32
    peak, layered = None, {}
    with report.part("Kernels"):
        peak = kernels.measure(report, 3 if a.quick else 9)["peakGflops"]
    with report.part("Conversions"):
        source = a.checkpoint or (
            checkpoint(a.work, layers=1, experts=48, vocabulary=16384) if a.quick
            else checkpoint(a.work, layers=2, vocabulary=16384))
        conversions.measure(report, source, a.work, rounds)
    with report.part("Checkpoints of some layers"):
        layered = conversions.checkpoints(a.work, experts)
    if not layered:
        return
    small = layered[1]
    with report.part("Layers, threads, memory and disk"):
        conversions.growth(report, layered, a.work, rounds, experts)
    if peak:
        with report.part("Verification"):
            forward.verification(
                report, {1: small} if a.quick else layered, a.work, 1024 if a.quick else 8192, peak)
    with report.part("Forward pass against llama.cpp's"):
        forward.against_llama(report, a.engines, small, a.work, 1024 if a.quick else 2048)
    llama = (os.path.abspath(a.llama_cpp), a.llama_python or a.engines) if a.llama_cpp else None
    peers.Peers(report, small, a.work, a.peer_rounds, a.engines, llama, a.llm_compressor).measure()


def write(a, report, where, seconds):
    date = datetime.datetime.now(datetime.timezone.utc)
    head = [f"# Speed and memory, {date:%Y-%m-%d %H:%M} UTC", "", where, "",
            f"`scripts/tools bench{' --quick' if a.quick else ''}`, {seconds / 60:.1f} minutes. "
            "Medians, in brackets the least and the greatest.", "", "## Figures to reach", ""]
    figures = Report()
    figures.table(["what", "at least", "measured", "reached", ""], report.figures)
    text = "\n".join(head + figures.lines + report.lines) + "\n"
    path = a.output or os.path.join(ROOT, f"scripts/bench-results/{date:%Y-%m-%d}.md")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    print(text)
    say(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
