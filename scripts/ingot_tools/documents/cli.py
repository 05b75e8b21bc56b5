"""docs/reference/cli.md, written from the command's own description (`ingot --experimental-dump-help`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ingot_tools.documents.page import ROOT

PATH = ROOT / "docs/reference/cli.md"
HEAD = """# Commands and options

Written by `scripts/tools test-docs --write` from what `ingot --experimental-dump-help` prints; `ingot COMMAND --help` shows
the same.
"""
COMMON = ("version", "help")


def names(argument: dict[str, Any]) -> str:
    spelled = [("--" if name["kind"] == "long" else "-") + name["name"] for name in argument["names"]]
    spelled.sort(key=lambda name: (not name.startswith("--"), name), reverse=True)
    value = f" <{argument['valueName']}>" if argument["kind"] == "option" else ""
    more = "..." if argument.get("isRepeating") and argument["kind"] == "option" else ""
    return ", ".join(f"`{name}{value}{more}`" for name in spelled)


def cell(text: str) -> str:
    return re.sub(r"<([^<>]*)>", r"`<\1>`", text.replace("|", "\\|")).replace("\n", " ").strip()


def value(argument: dict[str, Any]) -> str:
    """The default, where there is one that is the same on every machine."""
    default = argument.get("defaultValue")
    if default is None or argument["kind"] == "flag":
        return ""
    if argument["valueName"] == "n" and any(name["name"] == "threads" for name in argument["names"]):
        return "processors"
    return f"`{default}`"


def table(head: str, arguments: list[dict[str, Any]], spelled: Callable[[dict[str, Any]], str]) -> list[str]:
    rows = [[head, "meaning", "default"], ["---"] * 3]
    for argument in arguments:
        text = argument.get("abstract") or ""
        if any(one not in text for one in argument.get("allValues", [])):
            text += " Values: " + ", ".join(f"`{one}`" for one in argument["allValues"]) + "."
        rows.append([spelled(argument), cell(text), value(argument)])
    if not any(row[2] for row in rows[2:]):
        rows = [row[:2] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in rows] + [""]


def section(command: dict[str, Any]) -> list[str]:
    lines = ["", f"## {command['commandName']}", "", command["abstract"], ""]
    if command.get("discussion"):
        lines += ["- " + cell(line) for line in command["discussion"].splitlines() if line.strip()] + [""]
    shown = [one for one in command.get("arguments", [])
             if one.get("shouldDisplay", True) and not any(name["name"] in COMMON for name in one.get("names", []))]
    positional = [one for one in shown if one["kind"] == "positional"]
    if positional:
        lines += table("argument", positional, lambda one: f"`<{one['valueName']}>`")
    options = [one for one in shown if one["kind"] != "positional"]
    for title in dict.fromkeys(one.get("sectionTitle") for one in options):
        lines += table((title or "option").lower(), [one for one in options if one.get("sectionTitle") == title], names)
    while lines[-1] == "":
        lines.pop()
    return lines


def text(dump: dict[str, Any]) -> str:
    root = dump["command"]
    commands = [one for one in root["subcommands"] if one["commandName"] != "help"]
    lines = [HEAD, "| command | what it does |", "|---|---|"]
    lines += [f"| [{one['commandName']}](#{one['commandName']}) | {cell(one['abstract'])} |" for one in commands]
    lines += ["", "Each command has `--help`, and `--version`."]
    for one in commands:
        lines += section(one)
    return "\n".join(lines) + "\n"


def problems(dump: dict[str, Any], writes: bool) -> list[str]:
    wanted = text(dump)
    if PATH.exists() and PATH.read_text(encoding="utf-8") == wanted:
        return []
    if writes:
        PATH.write_text(wanted, encoding="utf-8")
        print("docs/reference/cli.md written")
        return []
    return ["docs/reference/cli.md differs from the command's own description: scripts/tools test-docs --write"]
