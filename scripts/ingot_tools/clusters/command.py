"""What calibrated quantization of large models takes on clusters and on machines of many cores, by simulation with measured costs.

    scripts/tools clusters --measure              # measures costs of units here (about half an hour), then prints tables
    scripts/tools clusters [--costs FILE]         # tables from costs that were measured before
    scripts/tools clusters --write                # also puts them into docs/results/clusters.md

Costs are processor seconds of the command on slices with the true shapes of MiniMax-M2 and DeepSeek-V3. Units, their order, shares and what a
share reads are the command's own rules; the simulation plays events: cores that take units, links that serve one transfer after the other.
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile

from ingot_tools import REPOSITORY

from . import stages, tables
from .costs import Costs
from .units import MODELS

KNOWN = os.path.join(REPOSITORY, "scripts/bench-results/unit-costs.json")
PAGE = os.path.join(REPOSITORY, "docs/results/clusters.md")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/tools clusters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure costs here, and keep them in --costs")
    parser.add_argument("--costs", metavar="FILE", default=KNOWN, help="measured costs (default: scripts/bench-results/unit-costs.json)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each measurement, of which the least counts (default: 2)")
    parser.add_argument("--work", metavar="FOLDER", help="where slices are made and left (default: a temporary folder)")
    parser.add_argument("--model", action="append", choices=list(MODELS), help="may be repeated (default: all)")
    parser.add_argument("--tokens", type=int, default=65_536, help="of the calibration (default: 65536)")
    parser.add_argument("--verify-tokens", type=int, default=16_384, help="of the verification (default: 16384)")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/results/clusters.md")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.measure:
        from . import measuring

        with tempfile.TemporaryDirectory(prefix="ingot-costs-") as scratch:
            measuring.measure(options.work or scratch, options.rounds).save(options.costs)
    if not os.path.exists(options.costs):
        print(f"clusters: {options.costs}: no measured costs; --measure makes them")
        return 1
    costs = Costs.load(options.costs)
    names = options.model or list(MODELS)
    page = tables.page([MODELS[name]() for name in names], costs, stages.BUILT, stages.SPARING, options.tokens, options.verify_tokens)
    print(page)
    if options.write:
        with open(PAGE, "w") as file:
            file.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
