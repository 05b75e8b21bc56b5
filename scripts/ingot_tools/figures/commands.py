"""What scripts of figures share: commands that must succeed, and ratios of paired contexts."""
from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence


def call(*words: str, ok: tuple[int, ...] = (0,), shows_warnings: bool = False) -> str:
    """What a command prints; with another exit code than those of `ok` the script ends with what it says."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in ok:
        sys.exit(f"{' '.join(words)}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    if shows_warnings:
        for line in done.stderr.splitlines():
            if "warning" in line:
                print(line, flush=True)
    return done.stdout


def ratio(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Of means over paired contexts, with its standard error by the jackknife."""
    n = len(ours)
    left = [(sum(ours) - a) / (sum(others) - b) for a, b in zip(ours, others)]
    middle = sum(left) / n
    return sum(ours) / sum(others), math.sqrt((n - 1) / n * sum((x - middle) ** 2 for x in left))
