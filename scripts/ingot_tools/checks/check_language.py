#!/usr/bin/env python3
"""Checks that pages and what the command says use the words of docs/glossary.md, not those that they replaced.

Looks at README.md, CONTRIBUTING.md, SECURITY.md, Sources/README.md and docs, without fenced blocks and `code`, and at
texts in Swift sources that users meet: help, errors, tables and pages. Keys of JSON that are published keep their
names.

usage: scripts/tools check-language [--swift]     --swift fails on Swift texts too, which are otherwise only counted

"""
from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "Sources/README.md", "docs/**/*.md"]
SWIFT = ["IngotCommand", "IngotReports", "IngotWorkflows", "IngotFormats", "IngotModels", "IngotQuantization",
         "IngotPlanning", "IngotInference", "IngotTokenizer"]
# Made of the help texts in Swift sources.
GENERATED = ROOT / "docs/reference/cli.md"
COUNTED = "bits?|bytes|tokens|times|hours|figures?|experts|columns|[kMG]B|[nµm]?s|GFLOP/s|line|number|file"
UNITS = "weight|second|token|layer|row|core|byte|tensor|expert|column|text"

# What was replaced, and what to write instead.
WORDS: list[tuple[str, str]] = [
    (r"evidence", "calibration statistics"),
    (r"forced visits?|token visits?|visits? of (tokens|experts)", "routed token, forced token"),
    (r"gate mass( moved)?", "routing-weight shift"),
    (r"(?<!expert )sets changed", "expert sets changed"),
    (r"experts kept", "expert-set overlap"),
    (r"hidden errors?", "relative hidden-state error"),
    (r"togetherness", "interaction factor"),
    (r"exact parts|carried (through|along|over)?", "unquantized kinds; passthrough; copied"),
    (r"(by|of) the search|searched codes|g\d+, searched", "mse, least squares"),
    (r"mixtures? of encodings|mixtures? (by|for) (a )?budget", "mixed-precision plan"),
    (r"perturbed copies|copies begin", "perturbed runs"),
    (r"lifted|super ?blocks", "up activations; super-blocks"),
    (r"found/", "measured / predicted"),
    (r"stands?(?! (in )?for)", "is, is in, remains"),
    (r"stood", "was"),
    (r"(hold|holds|held|holding) (\S+ ){0,12}?against", "compare with, check against"),
    (r"hears? of", "learns"),
    (r"(go|goes|going|went) on", "resume, continue"),
    (r"what is left", "what remains, the rest"),
    (r"so many", "that number of"),
    (rf"({COUNTED}) an? ({UNITS})(?! ago)", "per (for rates)"),
    (r"road", "way"),
]
PATTERN = re.compile("|".join(rf"(?P<w{index}>\b(?:{words})(?!\w))" for index, (words, _) in enumerate(WORDS)),
                     re.IGNORECASE)
CODE = re.compile(r"`+[^`]*`+|\]\([^)]*\)|<!--.*?-->|https?://\S+|\S+\.(?:swift|md|py)\b")

# (file, a part of the line, reason)
ALLOWED: list[tuple[str, str, str]] = []


def pages() -> Iterator[tuple[str, int, str]]:
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            if path == GENERATED:
                continue
            fenced = False
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if line.lstrip().startswith("```"):
                    fenced = not fenced
                elif not fenced and not line.startswith("    "):
                    yield path.relative_to(ROOT).as_posix(), number, CODE.sub("``", line)


def texts() -> Iterator[tuple[str, int, str]]:
    """Texts in Swift sources that have several words: others are keys and names."""
    for folder in SWIFT:
        for path in sorted((ROOT / "Sources" / folder).rglob("*.swift")):
            name, inside = path.relative_to(ROOT).as_posix(), False
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if line.count('"""') == 1:
                    inside = not inside
                    continue
                if inside:
                    yield name, number, line
                    continue
                if line.lstrip().startswith("//"):
                    continue
                for text in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
                    if " " in text:
                        yield name, number, re.sub(r"\\\([^()]*(?:\([^()]*\)[^()]*)*\)", "…", text)


def findings(lines: Iterator[tuple[str, int, str]]) -> Iterator[str]:
    for name, number, text in lines:
        for match in PATTERN.finditer(text):
            if any(name == one[0] and one[1] in text for one in ALLOWED):
                continue
            index = next(index for index in range(len(WORDS)) if match[f"w{index}"])
            yield f"{name}:{number}: '{match[0]}': {WORDS[index][1]}: {text.strip()[:140]}"


def main() -> int:
    wrong = list(findings(pages()))
    for one in wrong:
        print(one)
    swift = list(findings(texts()))
    if "--swift" in sys.argv:
        for one in swift:
            print(one)
        wrong += swift
    else:
        print(f"{len(swift)} texts in Swift sources have replaced words: scripts/tools check-language --swift lists them")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
