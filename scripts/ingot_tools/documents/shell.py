"""Runs the commands of a page in a folder of its own, beside a model, texts and a Hugging Face cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ingot_tools.documents.page import ROOT, Command

NANO = ROOT / "Tests/Fixtures/m2-nano"
COMMIT = "a" * 40
# Seconds that a command may take, on a machine that does other things too.
LIMIT = 300
CHAT = [
    {"messages": [{"role": "user", "content": "Is it raining?"}, {"role": "assistant", "content": "No, it is dry."}]},
    {"messages": [{"role": "user", "content": "Name a metal."}, {"role": "assistant", "content": "Copper is one."}]},
]


class Place:
    """Folders that the pages' commands run in. A page begins with

    - MODEL, and MiniMaxAI/MiniMax-M2 in the Hugging Face cache: the embedded model;
    - my-text.txt, chats.jsonl, chat.json: text and conversations for calibration; held-out.txt: another text;
    - Tests, calibration, examples, formats, scripts: the repository's.
    """

    def __init__(self, ingot: Path, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        (self.bin / "ingot").symlink_to(ingot.resolve())
        self.home = folder / "home"
        cache = self.home / ".cache/huggingface/hub/models--MiniMaxAI--MiniMax-M2"
        self.files = [path for path in sorted(NANO.iterdir()) if path.is_file() and not path.name.startswith("golden")]
        for one in ("blobs", "refs", f"snapshots/{COMMIT}"):
            (cache / one).mkdir(parents=True)
        for path in self.files:
            data = path.read_bytes()
            name = hashlib.sha256(data).hexdigest()
            (cache / "blobs" / name).write_bytes(data)
            (cache / "snapshots" / COMMIT / path.name).symlink_to(f"../../blobs/{name}")
        (cache / "refs/main").write_text(COMMIT)
        self.environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.home), "LC_ALL": "C.UTF-8", "TERM": "dumb",
            "NO_COLOR": "1",
        } | {name: value for name, value in os.environ.items() if name in ("TMPDIR", "LD_LIBRARY_PATH")}

    def page(self, name: str) -> Path:
        place = self.folder / name.replace("/", "+")
        place.mkdir()
        (place / "MODEL").mkdir()
        for path in self.files:
            shutil.copyfile(path, place / "MODEL" / path.name)
        for one in ("Tests", "calibration", "examples", "formats", "scripts"):
            (place / one).symlink_to(ROOT / one)
        prose = (ROOT / "Tests/Fixtures/text/prose.txt").read_text(encoding="utf-8")
        code = (ROOT / "Tests/Fixtures/text/code.txt").read_text(encoding="utf-8")
        (place / "my-text.txt").write_text(prose[:30_000], encoding="utf-8")
        (place / "held-out.txt").write_text(code[:20_000], encoding="utf-8")
        (place / "chats.jsonl").write_text("".join(json.dumps(one) + "\n" for one in CHAT * 40), encoding="utf-8")
        (place / "chat.json").write_text(json.dumps(CHAT[0]["messages"][:1]), encoding="utf-8")
        return place


@dataclass
class Session:
    """Commands that run one after the other, as typed into one shell: `$?` is the code of the one before."""

    place: Place
    folder: Path
    code: int = 0
    printed: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, command: Command) -> None:
        result = subprocess.run(
            ["bash", "-c", f"(exit {self.code})\n{command.text}"], check=False, timeout=LIMIT, cwd=self.folder,
            env=self.place.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.code = result.returncode
        self.printed = result.stdout.decode("utf-8", "replace")
        for path, shown in ((f"{self.folder}/", ""), (str(self.place.home), "~")):
            self.printed = self.printed.replace(path, shown)


NUMBER = r"[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
# What differs from run to run: times, rates, and memory in use.
VARIES = re.compile(
    rf"{NUMBER}(?: (?:ms|s|min|h|core-hours)\b|/s\b| [kMGT]?B/s| [kMGT]?B of source (?:a|per) second| GFLOP/s)")
DECIMAL = re.compile(r"[-−+]?\d[\d,]*\.\d+(?:e[-+]?\d+)?|[-−+]?\d+e[-+]?\d+")


def words(line: str) -> list[str]:
    return VARIES.sub("TIME", line).split()


def is_near(one: str, other: str) -> bool:
    """Whether two words are the same, or the same but for decimal figures within 2 %: their last digits depend on the
    C library's functions."""
    if one == other:
        return True
    if DECIMAL.sub("#", one) != DECIMAL.sub("#", other):
        return False
    pairs = zip(DECIMAL.findall(one), DECIMAL.findall(other), strict=True)
    values = [[float(text.replace(",", "").replace("−", "-")) for text in pair] for pair in pairs]
    return all(abs(a - b) <= 0.02 * max(abs(a), abs(b)) + 1e-9 for a, b in values)


def line_fits(expected: str, line: str) -> bool:
    ours, theirs = words(expected), words(line)
    return len(ours) == len(theirs) and all(map(is_near, ours, theirs))


def fits(expected: list[str], printed: list[str]) -> bool:
    """Whether output is as a page has it. A line `...` stands for any lines."""
    if not expected:
        return not printed
    if expected[0].strip() in ("...", "…"):
        return any(fits(expected[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    return bool(printed) and line_fits(expected[0], printed[0]) and fits(expected[1:], printed[1:])


def trimmed(lines: list[str]) -> list[str]:
    """The lines without spaces behind them and without empty ones at both ends."""
    lines = [line.rstrip() for line in lines]
    while lines and not lines[0]:
        lines = lines[1:]
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


# What a page has, what is printed, and whether that fits.
CASES: list[tuple[str, str, bool]] = [
    ("ok: 139 tensors, 4,373,283 bytes checked", "ok: 139 tensors, 4,373,283 bytes checked", True),
    ("ok: 139 tensors, 4,373,283 bytes checked", "ok: 139 tensors, 4,373,284 bytes checked", False),
    ("all  0.04952  79.510 %", "all   0.04949 79.412 %", True),
    ("all  0.04952  79.510 %", "all   0.06000 79.412 %", False),
    ("2,040 predictions scored, 0.8 s", "2,040 predictions scored, 12.3 s", True),
    ("2,040 predictions scored, 0.8 s", "2,041 predictions scored, 0.8 s", False),
    ("a\n...\nd", "a\nb\nc\nd", True),
    ("a\n...\nd", "a\nb\nc", False),
    ("a", "a\nb", False),
    ("", "a", False),
]


def wrong_cases() -> list[str]:
    """Cases above that the comparison does not get right."""
    return [f"shell.fits: {expected!r} and {printed!r} should {'' if right else 'not '}fit"
            for expected, printed, right in CASES if fits(expected.splitlines(), printed.splitlines()) != right]
