"""Checks what pages refer to: files, headings, scripts, options of commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ingot_tools.command import SUBCOMMANDS
from ingot_tools.documents.page import ROOT, Page

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s+(\S+)")
SOURCE = re.compile(r"(?:src|href)=\"([^\"]+)\"")
SCRIPT = re.compile(r"(?<![\w/.-])scripts/[\w./*-]*[\w*]")
TOOL = re.compile(r"(?<![\w/.-])scripts/tools ([a-z][\w-]*)")
# What ends a command in a line of shell.
ENDS = ("|", ";", "&&", "||")
CODE = re.compile(r"`+[^`]*`+")


def slug(heading: str) -> str:
    """The anchor that a heading gets, as Git hosts and Python-Markdown make it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[\s]", "-", re.sub(r"[^\w\s-]", "", text))


def anchors(page: Page) -> set[str]:
    found: dict[str, int] = {}
    names = set()
    for line in page.prose.values():
        if match := re.match(r"#+\s+(.*?)\s*#*$", line):
            name = slug(match[1])
            count = found.get(name, 0)
            found[name] = count + 1
            names.add(name if not count else f"{name}-{count}")
        names.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
    return names


def scripts(line: str) -> Iterator[str]:
    """Scripts of the repository that a line names and that are not there."""
    for name in SCRIPT.findall(line):
        if not any(ROOT.glob(name)):
            yield f"names {name}, which is not there"
    for name in TOOL.findall(line):
        if name not in SUBCOMMANDS:
            yield f"names scripts/tools {name}, which is no subcommand"


class Links:
    def __init__(self) -> None:
        self.known: dict[Path, set[str]] = {}

    def anchors(self, path: Path) -> set[str]:
        if path not in self.known:
            self.known[path] = anchors(Page.read(path))
        return self.known[path]

    def problems(self, page: Page) -> Iterator[tuple[int, str]]:
        for number, line in page.prose.items():
            bare = CODE.sub("``", line)
            targets = LINK.findall(bare) + REFERENCE.findall(bare) + SOURCE.findall(bare)
            for target in targets:
                if re.match(r"[a-z]+:", target):
                    continue
                name, _, anchor = target.partition("#")
                path = (page.path.parent / unquote(name)).resolve() if name else page.path
                if not path.exists():
                    yield number, f"links to {target}, which is not there"
                elif anchor and path.suffix == ".md" and anchor not in self.anchors(path):
                    yield number, f"links to {target}: no such heading"
                elif path.is_dir():
                    yield number, f"links to {target}, a folder: link to a file in it"
            for problem in scripts(line):
                yield number, problem


class Options:
    """The command's own description of itself."""

    def __init__(self, dump: dict[str, Any]) -> None:
        self.known = {
            command["commandName"]: {
                ("--" if name["kind"] == "long" else "-") + name["name"]
                for argument in command.get("arguments", []) for name in argument.get("names", [])}
            for command in dump["command"]["subcommands"]}

    def problems(self, text: str) -> Iterator[str]:
        """Subcommands and options in a line of shell that the command does not have."""
        try:
            parts = shlex.split(text.replace("\\\n", " "), comments=True)
        except ValueError:
            return
        starts = [at for at, word in enumerate(parts)
                  if word.rsplit("/", 1)[-1] == "ingot" and (at == 0 or parts[at - 1] in ENDS)]
        for at in starts:
            if at + 1 == len(parts) or parts[at + 1].startswith("-"):
                continue
            name, known = parts[at + 1], self.known.get(parts[at + 1])
            if known is None:
                if name not in ("help", "COMMAND"):
                    yield f"ingot has no command '{name}'"
                continue
            for word in parts[at + 2:]:
                if word in ENDS or word == ">":
                    break
                option = word.partition("=")[0]
                if re.match(r"--?[a-zA-Z]", option) and option not in known | {"--help", "-h", "--version"}:
                    yield f"ingot {name} has no option {option}"
