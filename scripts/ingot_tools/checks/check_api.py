"""Checks what `import Ingot` declares: that it is small, documented, as docs/reference/api.txt lists it, and that its pages build.

    scripts/tools check-api [--write] [--against TAG] [--pages FOLDER]

The declared API are the public symbols of the module Ingot; the modules beneath it may change from version to version. Reads the built
module (`swift build -c release`), by the compiler's symbol graph.

  --write         write docs/reference/api.txt anew: what a change of it says belongs into CHANGELOG.md
  --against TAG   also hold the list against that of a tag: what is gone or changed since breaks programs
  --pages FOLDER  put the pages that DocC makes there

Exit code 1 when there are more than 150 symbols, when one has no documentation, when the list differs, or when DocC warns.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from ingot_tools import REPOSITORY

LIST = "docs/reference/api.txt"
CATALOG = "Sources/Ingot/Ingot.docc"
MOST = 150
Symbol = dict[str, Any]


def symbol_graph(folder: str) -> list[Symbol]:
    built = os.path.join(REPOSITORY, ".build/release")
    if not os.path.exists(f"{built}/Modules/Ingot.swiftmodule"):
        sys.exit("check-api: the module is not built: swift build -c release")
    triple = json.loads(run("swift", "-print-target-info"))["target"]["unversionedTriple"]
    maps = [path for pattern in (f"{built}/*.build/module.modulemap", f"{REPOSITORY}/Sources/*/include/module.modulemap",
                                 f"{REPOSITORY}/Sources/*/module.modulemap",
                                 f"{REPOSITORY}/.build/checkouts/*/Sources/*/include/module.modulemap")
            for path in sorted(glob.glob(pattern))]
    run("swift", "symbolgraph-extract", "-module-name", "Ingot", "-I", f"{built}/Modules", "-target", triple, "-output-dir", folder,
        "-minimum-access-level", "public", "-skip-synthesized-members",
        *(word for path in maps for word in ("-Xcc", f"-fmodule-map-file={path}")))
    # Files of extensions of other modules' types are none of it.
    for path in glob.glob(f"{folder}/Ingot@*.symbols.json"):
        os.remove(path)
    with open(f"{folder}/Ingot.symbols.json", encoding="utf-8") as file:
        symbols: list[Symbol] = json.load(file)["symbols"]
    return symbols


def run(*words: str) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"check-api: {' '.join(words[:2])}: {done.stderr[-2000:]}")
    return done.stdout


def lines(symbols: list[Symbol]) -> list[str]:
    """A line a symbol: its place and its declaration."""
    found = []
    for symbol in symbols:
        declaration = "".join(part["spelling"] for part in symbol.get("declarationFragments", []))
        found.append(f"{'.'.join(symbol['pathComponents'])}: {' '.join(declaration.split())}")
    return sorted(found)


def differences(old: list[str], new: list[str], what: str) -> list[str]:
    return ([f"gone or changed {what}: {line}" for line in old if line not in new]
            + [f"new {what}: {line}" for line in new if line not in old])


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--against", metavar="TAG")
    parser.add_argument("--pages", metavar="FOLDER")
    options = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory(prefix="ingot-api-") as work:
        graph = f"{work}/graph"
        os.mkdir(graph)
        symbols = symbol_graph(graph)
        found = lines(symbols)
        if len(symbols) > MOST:
            faults.append(f"{len(symbols)} public symbols, more than {MOST}")
        faults += [f"no documentation: {'.'.join(symbol['pathComponents'])}" for symbol in symbols
                   if "docComment" not in symbol and not symbol["kind"]["identifier"].endswith("init")]
        path = os.path.join(REPOSITORY, LIST)
        if options.write:
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(found) + "\n")
        with open(path, encoding="utf-8") as file:
            faults += differences(file.read().splitlines(), found, f"next to {LIST}")
        if options.against:
            old = run("git", "-C", str(REPOSITORY), "show", f"{options.against}:{LIST}").splitlines()
            faults += [line for line in differences(old, found, f"since {options.against}") if line.startswith("gone")]
        docc = shutil.which("docc") or os.path.join(os.path.dirname(os.path.realpath(shutil.which("swift") or "")), "docc")
        pages = options.pages or f"{work}/pages"
        done = subprocess.run(
            [docc, "convert", os.path.join(REPOSITORY, CATALOG), "--additional-symbol-graph-dir", graph, "--output-path", pages,
             "--fallback-display-name", "Ingot", "--fallback-bundle-identifier", "ingot", "--warnings-as-errors"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            faults.append(f"DocC: {done.stdout[-3000:]}")
    print(f"{len(symbols)} public symbols of at most {MOST}")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
