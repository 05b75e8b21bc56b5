#!/usr/bin/env python3
"""Rates of a conversion whose source is on the Hub, against those from the disk, and against the rate of the link.

    scripts/tools bench-hub                      # makes a checkpoint of MiniMax-M2's shapes, 3.6 GB
    scripts/tools bench-hub --checkpoint FOLDER

The server is scripts/tools serve-hub on this machine: it takes its share of the processors, which a server elsewhere would
not. Prints for each link what was converted a second (median of --repeats), by the time of the whole command, peak
memory, and whether the bytes are those from the cache.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

from ingot_tools import tool
from ingot_tools.hub.rig import ROOT, Rig, Server, digest, serving, temporary


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", default=str(ROOT / ".build/release/ingot"))
    p.add_argument("--checkpoint", type=pathlib.Path)
    p.add_argument("--recipe", default="int4")
    p.add_argument("--links", type=float, nargs="*", default=[50, 300], metavar="MB/s")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--folder", help="where to work (default: a temporary folder)")
    return p.parse_args()


def convert(rig: Rig, server: Server | None, model: str, recipe: str, home: pathlib.Path) -> tuple[float, int, str]:
    """Seconds of the whole command, peak bytes of memory, and a hash of what it wrote."""
    output = rig.fresh() / "x.ingot"
    command = [rig.ingot, "quantize", model, "--recipe", recipe, "-o", str(output)]
    began = time.monotonic()
    process = subprocess.Popen(command, env=rig.environment(server, home), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    if status:
        raise SystemExit(f"bench-hub: {' '.join(command)} failed")
    found = digest(output)
    output.unlink()
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), found


def main() -> None:
    options = arguments()
    with temporary(options.folder) as folder:
        rig = Rig(options.ingot, folder)
        checkpoint = options.checkpoint
        if checkpoint is None:
            checkpoint = rig.fresh() / "checkpoint"
            make = [*tool("make-checkpoint"), str(checkpoint), "--layers", "1", "--vocabulary", "32000"]
            more = ["--experts", "224", "--shard-bytes", "600000000"]
            subprocess.run([sys.executable, *make, *more], check=True, stdout=subprocess.DEVNULL)
        size = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
        print(
            f"{size / 1e9:.2f} GB of weights in {len(list(checkpoint.glob('*.safetensors')))} files, {options.recipe}, "
            f"{os.cpu_count()} processors\n"
        )
        print("| source | MB/s | of the limit | peak memory, GB | bytes |")
        print("|---|---:|---:|---:|---|")
        with serving(f"acme/some={checkpoint}") as server:
            home = rig.fresh()
            subprocess.run(
                [rig.ingot, "inspect", "acme/some", "--download"],
                env=rig.environment(server, home),
                check=True,
                stdout=subprocess.DEVNULL,
            )

            def row(what: str, limit: float | None, place: pathlib.Path, expected: str | None) -> tuple[float, str]:
                runs = [convert(rig, server, "acme/some", options.recipe, place) for _ in range(options.repeats)]
                rate = size / 1e6 / statistics.median(seconds for seconds, _, _ in runs)
                same = {found for _, _, found in runs} == {expected or runs[0][2]}
                share = f"{rate / limit:.3f}" if limit else ""
                memory = max(peak for _, peak, _ in runs) / 1e9
                print(
                    f"| {what} | {rate:.1f} | {share} | {memory:.2f} | {'the same' if same else 'OTHER'} |", flush=True
                )
                return rate, runs[0][2]

            disk, expected = row("cache on the disk", None, home, None)
            row("Hub, no limit of the link", disk, rig.fresh(), expected)
            for link in options.links:
                server.faults(rate_limit=1e6 * link)
                row(f"Hub, {link:g} MB/s", min(link, disk), rig.fresh(), expected)


if __name__ == "__main__":
    main()
