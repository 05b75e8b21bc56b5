#!/usr/bin/env python3
"""Writes the licenses of what is linked into the command, one file each, and THIRD-PARTY.md, which lists them.

usage: scripts/tools notices FOLDER --scratch FOLDER     --scratch: where the command was built (.build-static)
"""
import argparse
import pathlib
import sys

from ingot_tools.packaging import components


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--scratch", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    folder: pathlib.Path = arguments.folder
    (folder / "licenses").mkdir(parents=True, exist_ok=True)
    lines = ["# What of others is in this command", "", "| component | version | license | by | text |", "|---|---|---|---|---|"]
    for part in components.components(arguments.scratch):
        file = f"licenses/{part.name}.txt"
        (folder / file).write_bytes(part.text.read_bytes())
        name = part.name + (f" (in {part.within})" if part.within else " (tables)" if part.is_data else "")
        lines.append(f"| {name} | {part.version or ''} | {part.license} | {part.supplier} | {file} |")
    (folder / "THIRD-PARTY.md").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
