"""Markdown pages as scripts/tools test-docs sees them: fenced blocks with the marks before them, headings, links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
FENCE = re.compile(r"^( *)(```+)([\w+-]*)[^`]*$")
MARK = re.compile(r"^\s*<!-- (file|not run|same as|figures from):? (.*?) -->\s*$")


@dataclass
class Block:
    """A fenced block: its language, its lines, where they begin, and the mark on the line before it."""

    language: str
    line: int
    lines: list[str]
    mark: str | None = None
    value: str = ""

    @property
    def text(self) -> str:
        return "".join(line + "\n" for line in self.lines)


@dataclass
class Command:
    """A command of a block, and the lines that it must print; None where they are not compared."""

    text: str
    line: int
    output: list[str] | None = None


@dataclass
class Page:
    path: Path
    lines: list[str]
    blocks: list[Block] = field(default_factory=list)
    # Lines outside of fenced blocks, by number.
    prose: dict[int, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls(path, path.read_text(encoding="utf-8").splitlines())
        block: Block | None = None
        indent = fence = ""
        for number, line in enumerate(page.lines, 1):
            if block is not None:
                if line.strip() == fence:
                    block = None
                else:
                    block.lines.append(line.removeprefix(indent))
                continue
            match = FENCE.match(line)
            if not match:
                page.prose[number] = line
                continue
            indent, fence = match[1], match[2]
            block = Block(match[3], number, [])
            before = next((text for text in reversed(page.lines[: number - 1]) if text.strip()), "")
            if mark := MARK.match(before):
                block.mark, block.value = mark[1], mark[2]
            page.blocks.append(block)
        return page

    def marked_tables(self) -> list[tuple[int, str, list[str]]]:
        """Tables behind a mark `figures from`: line, file, rows."""
        tables = []
        for number, line in self.prose.items():
            mark = MARK.match(line)
            if not mark or mark[1] != "figures from":
                continue
            rows, at = [], number + 1
            while not self.prose.get(at, "|").startswith("|") and at < number + 3:
                at += 1
            while self.prose.get(at, "").startswith("|"):
                rows.append(self.prose[at])
                at += 1
            tables.append((number, mark[2], rows))
        return tables


def commands(block: Block) -> list[Command]:
    """The commands of a block. In `console` they stand behind `$ ` and their output below them, in `sh` a line each;
    a line that ends in a backslash continues on the next one."""
    found: list[Command] = []
    continues = False
    for offset, line in enumerate(block.lines, 1):
        if continues:
            found[-1].text += "\n" + line
        elif block.language == "console":
            if line.startswith("$ "):
                found.append(Command(line[2:], block.line + offset, []))
            elif found:
                assert found[-1].output is not None
                found[-1].output.append(line)
            continues = line.startswith("$ ") and line.endswith("\\")
            continue
        elif line.strip() and not line.lstrip().startswith("#"):
            found.append(Command(line, block.line + offset))
        continues = bool(found) and (continues or not line.lstrip().startswith("#")) and line.endswith("\\")
    return found
