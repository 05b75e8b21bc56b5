#!/usr/bin/env python3
"""What ingot says of published models against published counts, on their headers alone.

    scripts/tools family-figures                        # all that scripts/tools make-checkpoint --family knows, some seconds each
    scripts/tools family-figures deepseek-v3 kimi-k2 --ingot .build/release/ingot

Makes each as holes in a temporary folder, runs `ingot inspect` and `ingot plan`, and prints two tables: counts, seconds and
memory; and the claims of spec sheets that `ingot inspect --claim` finds not to hold. Those are for reading: a sheet may count
otherwise. Exit code 1 when a count differs, a command fails, or inspect takes more time or memory than it may.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from ingot_tools import REPOSITORY, tool
from ingot_tools.checkpoints import MODELS


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", metavar="MODEL", nargs="*", help=f"of {', '.join(MODELS)} (default: all)")
    p.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    p.add_argument("--seconds", type=float, default=3, help="that inspect may take (default: %(default)s)")
    p.add_argument("--megabytes", type=float, default=500, help="that inspect may take (default: %(default)s)")
    p.add_argument("--folder", help="where to work (default: a temporary folder)")
    a = p.parse_args()
    for name in a.models:
        if name not in MODELS:
            p.error(f"no model '{name}'")
    return a


def measured(command):
    """(exit code, output, errors, seconds, seconds of processors, megabytes at most)."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=out, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return (
            child.returncode, out.read().decode(), errors.read().decode(), seconds, usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * unit / 1e6)


class Row:
    """One model's figures, and what is wrong with them."""

    def __init__(self, name, a, folder):
        self.name, self.model, self.wrong, self.cells, self.claims = name, MODELS[name](), [], [], []
        path = os.path.join(folder, name)
        subprocess.run(
            [*tool("make-checkpoint"), path, "--family", name],
            check=True, stdout=subprocess.DEVNULL)
        claims = [word for claim in self.model.claims.items() for word in ("--claim", "=".join(claim))]
        code, out, errors, seconds, busy, megabytes = measured([a.ingot, "inspect", path, "--json", *claims])
        # 2: a claim does not hold.
        if code not in (0, 2):
            self.wrong.append(f"inspect: exit code {code}: {errors.strip()}")
            return
        self.counts(json.loads(out))
        # Time that other programs had does not count.
        if min(seconds, busy) > a.seconds or megabytes > a.megabytes:
            self.wrong.append(f"inspect takes {busy:.2f} s of a processor and {megabytes:.0f} MB")
        plan_code, table, errors, plan_seconds, plan_busy, plan_megabytes = measured([a.ingot, "plan", path])
        if plan_code or not table.strip():
            self.wrong.append(f"plan: exit code {plan_code}: {errors.strip()}")
        self.cells += [
            f"{seconds:.2f}", f"{busy:.2f}", f"{megabytes:.0f}",
            f"{plan_seconds:.2f}", f"{plan_busy:.2f}", f"{plan_megabytes:.0f}",
            "differs" if self.wrong else "yes"]

    def counts(self, inspected):
        parameters = inspected["parameters"]
        beside = parameters["byRole"].get("auxiliary", 0)
        found = parameters["total"] - beside, parameters["activeWithEmbedding"], beside
        expected = self.model.parameters, self.model.active, self.model.prediction + self.model.others
        for what, is_, should in zip(("parameters", "active", "beside the text model"), found, expected):
            if is_ != should:
                self.wrong.append(f"{what}: {is_:,}, expected {should:,}")
        self.cells = [f"{n:,}" for n in (
            found[0], expected[0], found[1], expected[1], parameters["active"], found[2], expected[2])]
        self.claims = [
            (claim["claim"], claim["actual"], claim["readFrom"])
            for claim in inspected["claims"] if not claim["holds"]]


COLUMNS = [
    "model", "parameters", "expected", "active", "expected", "without ends", "MTP, vision", "expected",
    "inspect, s", "CPU s", "MB", "plan, s", "CPU s", "MB", "agrees",
]


def main():
    a = arguments()
    print("Active values of one token with embedding and head, the ends; without them as `ingot inspect` has it first.\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---:|" * (len(COLUMNS) - 2) + "---|")
    rows = []
    for name in a.models or MODELS:
        with tempfile.TemporaryDirectory(dir=a.folder) as folder:
            row = Row(name, a, folder)
        rows.append(row)
        cells = row.cells if len(row.cells) == len(COLUMNS) - 1 else ["–"] * (len(COLUMNS) - 2) + ["fails"]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)
    print("\n| model | claim that does not hold | ingot says | read from |\n|---|---|---:|---|")
    for row in rows:
        for claim in row.claims:
            print("| " + " | ".join([row.name, *claim]) + " |")
    wrong = [f"{row.name}: {what}" for row in rows for what in row.wrong]
    if wrong:
        print()
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
