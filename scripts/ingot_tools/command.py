"""Finds a subcommand and runs it."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Subcommand:
    """`module` has a function `main()`, which takes its arguments from sys.argv."""

    name: str
    module: str
    summary: str


SUBCOMMANDS = (
    Subcommand("clusters", "clusters.command", "what large models take on clusters, by simulation with measured costs"),
)


def usage() -> str:
    width = max(len(each.name) for each in SUBCOMMANDS)
    lines = [f"  {each.name:{width}}  {each.summary}" for each in SUBCOMMANDS]
    return "\n".join(["usage: scripts/tools SUBCOMMAND [options]", "", *lines, "", "scripts/tools SUBCOMMAND --help says more."])


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 64
    found = next((each for each in SUBCOMMANDS if each.name == arguments[0]), None)
    if found is None:
        print(f"tools: no subcommand '{arguments[0]}'\n{usage()}", file=sys.stderr)
        return 64
    sys.argv = [f"tools {found.name}", *arguments[1:]]
    result = importlib.import_module(f"ingot_tools.{found.module}").main()
    return int(result or 0)
