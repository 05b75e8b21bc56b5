#!/usr/bin/env python3
"""Writes the tables of docs/results/sizes.md and docs/results/speed.md anew, from the commands that print them.

usage: scripts/tools doc-figures [--check] [--ingot FILE]   (otherwise .build/release/ingot)

--check writes nothing and fails when the sizes or fits there differ from what 'ingot plan' prints. What commands print
in other pages is checked and written by scripts/tools test-docs.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from ingot_tools import REPOSITORY, tool

ROOT = str(REPOSITORY)
INGOT = ROOT + "/.build/release/ingot"
if "--ingot" in sys.argv:
    INGOT = os.path.abspath(sys.argv[sys.argv.index("--ingot") + 1])


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def planned():
    """The table of sizes, and what fits where."""
    with tempfile.TemporaryDirectory() as folder:
        run(*tool("make-checkpoint"), folder + "/m2", "--sparse")
        fits = "\n\n".join(
            run(INGOT, "plan", folder + "/m2", "--engine", engine).split("\n\nbits per weight")[0]
            for engine in ("llama.cpp", "MLX", "vLLM"))
        rows = ["| recipe | format | bits per weight | bytes | of the source |", "|---|---|---|---|---|"]
        for recipe in json.loads(run(INGOT, "recipes", "--json"))["recipes"]:
            plan = json.loads(run(INGOT, "plan", folder + "/m2", "--recipe", recipe["name"], "--json"))
            rows.append(
                f"| `{recipe['name']}` | {plan['format']} | {plan['bitsPerWeight']:.3f} | {plan['bytes']:,} | "
                f"{100 * plan['bytes'] / plan['sourceBytes']:.1f} % |"
            )
    return "\n".join(rows), "```text\n" + fits + "\n```"


def speed():
    """The table of the latest report of scripts/tools bench that was not a quick one."""
    folder = os.path.join(ROOT, "scripts/bench-results")
    for name in sorted(os.listdir(folder) if os.path.isdir(folder) else [], reverse=True):
        with open(os.path.join(folder, name)) as file:
            text = file.read()
        if "`scripts/tools bench`" in text or "`scripts/bench`" in text:
            table = text.split("## Figures to reach\n")[1].split("\n## ")[0].strip()
            rows = [row.rsplit("|", 2)[0] + "|" for row in table.splitlines()]
            source = f"[{name}](../../scripts/bench-results/{name})"
            return "\n".join(rows) + f"\n\nFrom {source}, which has the machine and the rest."
    return None


def replace(text, name, content):
    pattern = rf"(<!-- {name} -->\n).*?(\n?<!-- /{name} -->)"
    return re.sub(pattern, lambda match: match[1] + content + "\n" + match[2].lstrip("\n"), text, flags=re.DOTALL)


def main():
    sizes_page, speed_page = (os.path.join(ROOT, "docs/results", name) for name in ("sizes.md", "speed.md"))
    with open(sizes_page) as file:
        old = file.read()
    sizes, fits = planned()
    new = replace(replace(old, "sizes", sizes), "fits", fits)
    if "--check" in sys.argv:
        if new != old:
            sys.exit("docs/results/sizes.md differs from what 'ingot plan' prints; run scripts/tools doc-figures")
        return
    with open(sizes_page, "w") as file:
        file.write(new)
    table = speed()
    if table:
        with open(speed_page) as file:
            old = file.read()
        with open(speed_page, "w") as file:
            file.write(replace(old, "speed", table))


main()
