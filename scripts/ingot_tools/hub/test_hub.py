#!/usr/bin/env python3
"""Reads models from a server on this machine that behaves like the Hugging Face Hub, and makes everything go wrong.

    scripts/tools test-hub                   # 1,000 faults; some minutes
    scripts/tools test-hub --short           # for every change: less of the same
    scripts/tools test-hub --only refusals   # one part

Prints a line for each part; exit code 1 when something did not hold. Needs a built command (`swift build -c release
--product ingot`), and for the part with the real client a Python with huggingface_hub: --python names it, by default
that of scripts/tools setup-engines, if it is there.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

from ingot_tools import tool
from ingot_tools.hub import checks
from ingot_tools.hub.rig import NANO, ROOT, Rig, temporary

PARTS = ["real", "bytes", "faults", "interruptions", "gguf", "refusals", "room"]


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", default=str(ROOT / ".build/release/ingot"))
    p.add_argument("--short", action="store_true")
    p.add_argument("--only", choices=PARTS, action="append", help="parts to run (default: all)")
    p.add_argument("--faults", type=int, help="how many (default: 1000, with --short 80)")
    p.add_argument("--python", help="an interpreter that has huggingface_hub")
    return p.parse_args()


def usual_python() -> str | None:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    engines = os.environ.get("INGOT_ENGINES") or f"{cache}/ingot/engines"
    for python in (f"{engines}/venv/bin/python", sys.executable):
        if os.access(python, os.X_OK):
            found = subprocess.run([python, "-c", "import huggingface_hub"], capture_output=True)
            if found.returncode == 0:
                return python
    return None


def checkpoint(folder: pathlib.Path) -> pathlib.Path:
    """A model of MiniMax-M2's layout with matrices that are fetched one by one."""
    path = folder / "checkpoint"
    subprocess.run(
        [
            *tool("make-checkpoint"),
            str(path),
            "--layers",
            "2",
            "--experts",
            "8",
            "--active",
            "2",
            "--hidden",
            "1024",
            "--width",
            "768",
            "--heads",
            "8",
            "--kv-heads",
            "2",
            "--head-dim",
            "128",
            "--vocabulary",
            "2048",
            "--shard-bytes",
            "12000000",
            "--tokenizer",
            str(NANO),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return path


def main() -> int:
    options = arguments()
    faults = options.faults or (80 if options.short else 1000)
    with temporary() as folder:
        rig = Rig(options.ingot, folder)
        large = checkpoint(pathlib.Path(folder))
        python = options.python or usual_python()
        parts: dict[str, Callable[[checks.Say], None]] = {
            "bytes": lambda say: [  # type: ignore[dict-item]
                checks.same_bytes(rig, path, say) for path in ([NANO] if options.short else [NANO, large])  # type: ignore[func-returns-value]
            ],
            "faults": lambda say: checks.many_faults(rig, [NANO, large], faults, say),
            "interruptions": lambda say: checks.interrupted(rig, large, say),
            "gguf": lambda say: checks.gguf(rig, say),
            "refusals": lambda say: checks.refusals(rig, say),
            "room": lambda say: checks.without_room(rig, say),
        }
        if python:
            parts = {"real": lambda say: checks.real_client(rig, python, say)} | parts
        elif not options.only or "real" in options.only:
            print("real           left out: no Python with huggingface_hub (--python)")
        failed = 0
        for name, part in parts.items():
            if options.only and name not in options.only:
                continue
            began = time.monotonic()

            def say(text: str, name: str = name, began: float = began) -> None:
                print(f"{name:14} {text} ({time.monotonic() - began:.0f} s)", flush=True)

            try:
                part(say)
            except checks.Fault as fault:
                say(f"FAILED: {fault}")
                failed += 1
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
