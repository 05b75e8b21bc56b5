#!/usr/bin/env python3
"""Two HTTP clients side by side, taking the same ranges of a file: libcurl, which Ingot uses, and async-http-client.

    scripts/tools compare-http [--bytes 2e9] [--rounds 5]

Prints for each what a clean build of a program with nothing else takes (processor seconds; of async-http-client with its packages,
which are fetched before), how large the program is without debug information, and what it takes from a server of scripts/tools
serve-hub on this machine: MB a second, and processor seconds for each GB, which the server's own speed is not in. Needs the network
once, for the packages, and libcurl's headers.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile

from ingot_tools.hub.rig import serving

HERE = pathlib.Path(__file__).parent
RANGE = 16 << 20
CONNECTIONS = 8


def processor_seconds(command: list[str], folder: pathlib.Path) -> float:
    before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before


def size(program: pathlib.Path) -> int:
    stripped = program.with_name("stripped")
    subprocess.run(["strip", "-o", stripped, program], check=True)
    return stripped.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=float, default=2e9)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    count = int(options.bytes)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        compile_c = ["cc", "-O2", "-o", "http-client", HERE / "http_client.c", "-lcurl", "-lpthread"]
        seconds = [processor_seconds([str(part) for part in compile_c], folder)]
        package = folder / "package"
        shutil.copytree(HERE / "async_client", package)
        subprocess.run(["swift", "package", "resolve"], cwd=package, check=True, stdout=subprocess.DEVNULL)
        seconds.append(processor_seconds(["swift", "build", "-c", "release"], package))
        programs = [folder / "http-client", package / ".build/release/async-client"]
        model = folder / "model"
        model.mkdir()
        (model / "config.json").write_text("{}")
        with open(model / "model.safetensors", "wb") as file:
            for _ in range(0, count, 1 << 20):
                file.write(os.urandom(1 << 20))
        count = (model / "model.safetensors").stat().st_size
        with serving(f"acme/large={model}") as server:
            address = f"{server.endpoint}/acme/large/resolve/main/model.safetensors"
            found: list[list[tuple[float, float]]] = [[], []]
            for _ in range(options.rounds):
                for place, program in enumerate(programs):
                    done = subprocess.run(
                        [program, address, str(count), str(RANGE), str(CONNECTIONS)],
                        check=True, capture_output=True, text=True)
                    wall, processor = map(float, done.stdout.split())
                    found[place].append((count / 1e6 / wall, processor / (count / 1e9)))
        print(f"{'':22}{'build, s':>10}{'program, MB':>13}{'MB/s':>18}{'processor s/GB':>22}")
        for place, title in enumerate(("libcurl", "async-http-client")):
            columns = []
            for values in zip(*found[place]):
                columns.append(f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})")
            print(f"{title:22}{seconds[place]:>10.1f}{size(programs[place]) / 1e6:>13.2f}{columns[0]:>18}{columns[1]:>22}")


if __name__ == "__main__":
    main()
