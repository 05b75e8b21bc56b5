"""Medians with their spread, tables, and the list of figures to reach."""

import contextlib
import os
import platform
import statistics
import subprocess
import sys


def spread(values):
    values = list(values)
    return statistics.median(values), min(values), max(values)


def shown(values, digits=2):
    middle, least, greatest = values
    return f"{middle:.{digits}f} ({least:.{digits}f}–{greatest:.{digits}f})"


class PeerFailed(Exception):
    """Another tool is not there or failed, which costs its own row."""


@contextlib.contextmanager
def peer():
    """What fails in here is another tool's fault."""
    try:
        yield
    except Exception as error:
        raise PeerFailed(reason(error)) from error


def reason(error):
    """The last line of what an error says, which of a program that failed is the last one it printed."""
    lines = str(error).strip().splitlines()
    return lines[-1][:300] if lines else type(error).__name__


class Report:
    def __init__(self):
        self.lines, self.figures = [], []
        # Parts of our own that failed.
        self.failed = []

    @contextlib.contextmanager
    def part(self, name):
        """What fails in here is said in the report, and what follows is measured all the same."""
        try:
            yield
        except Exception as error:
            print(f"{name}: failed: {str(error)[-2000:]}", file=sys.stderr, flush=True)
            self.failed.append(name)
            self.text(f"{name}: **failed**: {reason(error)}")

    def heading(self, text):
        self.lines += ["", f"## {text}", ""]

    def table(self, head, rows):
        self.lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        self.lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]

    def text(self, text):
        self.lines += ["", text]

    def figure(self, what, wanted, value, reached=None, note=""):
        """value: None when it was not measured."""
        verdict = "not measured" if value is None else "yes" if reached else "**no**"
        self.figures.append((what, wanted, "—" if value is None else value, verdict, note))


def machine(root):
    cpu = platform.processor()
    memory = None
    try:
        with open("/proc/cpuinfo") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        cpu = f"{fields.get('model name', cpu)} (family {fields.get('cpu family')}, model {fields.get('model')})"
        with open("/proc/meminfo") as file:
            memory = int(file.readline().split()[1]) * 1024
    except OSError:
        pass
    load = os.getloadavg()[0]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True).stdout.strip()
    size = f", {memory / 1e9:.0f} GB" if memory else ""
    return f"{cpu}, {os.cpu_count()} cores{size}, {platform.system()} {platform.release()}, load {load:.1f} at the beginning; {commit}"
