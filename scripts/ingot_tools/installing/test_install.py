#!/usr/bin/env python3
"""Installs the command into a temporary folder, and checks what a user meets there.

- every argument that takes a file, a folder or one of some names says so to shells;
- bash, zsh and fish offer file names and names, each on a terminal of its own;
- manual pages have every command and option, and mandoc finds nothing wrong in them;
- a second installation replaces the first, a foreign file is left alone, and --uninstall removes what was installed.

usage: scripts/tools test-install [--ingot FILE] [--shell NAME ...]     --shell: bash, zsh or fish alone
On Debian and Ubuntu, zsh, fish and mandoc are installed where they are missing.
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
from ingot_tools.installing.terminals import SHELLS

PATHS = {"model", "candidate", "original", "file", "path", "folder", "plan.json", "json", "jinja"}
NUMBERS = {"n", "x", "h", "t", "p", "i/n", "size", "tokens"}
# Options whose values only the user knows.
FREE = {"--prompt", "--system", "--stop", "--host", "--api-key", "--cors", "--timeout", "--request-time", "--name"}

FILES = ["notes.txt", "other.txt", "plan-a.json", "mine.yaml", "page.html", "old.sens"]
# What is typed, and what must be offered.
CASES = [
    ("ingot sens", "sensitivity"),
    ("ingot quantize --imp", "--importance"),
    ("ingot inspect m2-", "m2-tiny"),
    ("ingot check m2-", "m2-tiny"),
    ("ingot verify m2-tiny --against m2-", "m2-tiny"),
    ("ingot verify m2-tiny --text no", "notes.txt"),
    ("ingot verify m2-tiny --text notes.txt ot", "other.txt"),
    ("ingot quantize m2-tiny --sequential notes.txt ot", "other.txt"),
    ("ingot quantize m2-tiny --recipe q4_k_", "q4_k_moe"),
    ("ingot quantize m2-tiny --recipe mi", "mine.yaml"),
    ("ingot quantize m2-tiny --plan pl", "plan-a.json"),
    ("ingot quantize m2-tiny -o no", "notes.txt"),
    ("ingot quantize m2-tiny --without re", "residuals"),
    ("ingot convert m2-tiny --format com", "compressed-tensors"),
    ("ingot convert m2-tiny --decode b", "bf16"),
    ("ingot plan m2-tiny --machine mac-", "mac-128"),
    ("ingot plan m2-tiny --machines mine.yaml --fit mine", "mine-64"),
    ("ingot plan m2-tiny --sensitivity ol", "old.sens"),
    ("ingot plan m2-tiny --cache q8", "q8_0"),
    ("ingot fit m2-tiny --engine lla", "llama.cpp"),
    ("ingot inspect m2-tiny --claim active", "activeExperts="),
    ("ingot sensitivity m2-tiny --exclude trel", "trellis-2"),
    ("ingot recipes iq", "iq1_s"),
]
MACHINES = "machines:\n  - {name: mine-64, title: mine, unified-memory: 64 GiB, bandwidth: 100 GB}\n"


class Failures:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.passed = 0

    def expect(self, holds: bool, text: str) -> None:
        if holds:
            self.passed += 1
        else:
            self.texts.append(text)
            print(f"FAILED: {text}", file=sys.stderr)


def install_missing(shells: list[str]) -> None:
    missing = [name for name in [*shells, "mandoc"] if shutil.which(name) is None]
    if not missing:
        return
    print(f"test-install: installing {' '.join(missing)}", file=sys.stderr)
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run([*sudo, "apt-get", "update", "-qq"], check=True)
    subprocess.run(
        [*sudo, "apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True, env=environment,
        stdout=subprocess.DEVNULL)


def arguments_of(root: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (command["commandName"], argument) for command in [root, *root["subcommands"]] if command["commandName"] != "help"
        for argument in command.get("arguments", []) if argument["shouldDisplay"]]


def check_kinds(root: dict[str, Any], failures: Failures) -> None:
    for command, argument in arguments_of(root):
        if argument["kind"] == "flag":
            continue
        names = ["-" * (1 if n["kind"] == "short" else 2) + n["name"] for n in argument.get("names", [])]
        value, kind = argument["valueName"], argument.get("completionKind")
        place = f"ingot {command} {'/'.join(names)} <{value}>"
        if value in PATHS:
            failures.expect(kind is not None and next(iter(kind)) in ("file", "directory"),
                            f"{place} takes a path: completion is .path or another of Completions.swift, found {kind}")
        elif value not in NUMBERS and not FREE & set(names):
            failures.expect(kind is not None, f"{place} has no completion: give it one, or name it in scripts/tools test-install")


def check_shell(name: str, prefix: pathlib.Path, work: pathlib.Path, failures: Failures) -> None:
    environment = {
        "PATH": f"{prefix}/bin:{os.environ['PATH']}", "HOME": str(work), "TERM": "xterm", "LC_ALL": "C.UTF-8", "PS1": "$ "}
    shell = SHELLS[name](prefix, work, environment)
    try:
        for line, wanted in CASES:
            try:
                offered = shell.offered(line)
            except TimeoutError as error:
                failures.expect(False, f"{name}: after '{line}' {error}")
                return
            failures.expect(wanted in offered, f"{name}: after '{line}' expected {wanted}, found {sorted(offered)}")
    finally:
        shell.close()


def check_pages(root: dict[str, Any], folder: pathlib.Path, failures: Failures) -> None:
    pages = {path.stem: path for path in folder.iterdir()}
    for command, argument in arguments_of(root):
        name = "ingot" if command == "ingot" else f"ingot-{command}"
        failures.expect(name in pages, f"no manual page {name}.1")
        text = pages[name].read_text().replace("\\-", "-") if name in pages else ""
        for option in argument.get("names", []):
            spelled = "-" * (1 if option["kind"] == "short" else 2) + option["name"]
            failures.expect(f"\\fB{spelled}\\fR" in text, f"{name}.1 lacks {spelled}")
    for path in pages.values():
        lint = subprocess.run(
            ["mandoc", "-T", "lint", "-W", "warning", str(path)], check=False, capture_output=True, text=True)
        failures.expect(lint.returncode == 0, f"mandoc: {lint.stdout}")
        shown = subprocess.run(["mandoc", "-T", "utf8", str(path)], check=True, capture_output=True, text=True).stdout
        shown = re.sub(".\b", "", shown)  # Bold is a letter printed twice.
        failures.expect("SYNOPSIS" in shown and "SEE ALSO" in shown, f"{path.name} is not whole")


def run_install(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ROOT / "scripts/install"), *arguments], check=False, capture_output=True, text=True)


def files(folder: pathlib.Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def check_installing(ingot: str, prefix: pathlib.Path, failures: Failures) -> None:
    before = files(prefix)
    again = run_install("--prefix", str(prefix), "--ingot", ingot)
    failures.expect(again.returncode == 0 and files(prefix) == before, f"a second installation: {again.stderr}")
    foreign = prefix / "share/man/man1/other.1"
    foreign.write_text("other")
    gone = run_install("--uninstall", "--prefix", str(prefix))
    failures.expect(gone.returncode == 0, f"--uninstall: {gone.stderr}")
    failures.expect(files(prefix) == {"share/man/man1/other.1"}, f"--uninstall left {sorted(files(prefix))}")
    failures.expect(run_install("--uninstall", "--prefix", str(prefix)).returncode == 1, "--uninstall of nothing succeeds")
    (prefix / "bin/ingot").write_text("foreign")
    refused = run_install("--prefix", str(prefix), "--ingot", ingot)
    failures.expect(refused.returncode == 1 and (prefix / "bin/ingot").read_text() == "foreign", "a foreign file is replaced")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", default=str(ROOT / ".build/release/ingot"), help="the command (default: %(default)s)")
    parser.add_argument("--shell", action="append", choices=sorted(SHELLS))
    given = parser.parse_args()
    shells: list[str] = given.shell or list(SHELLS)
    install_missing(shells)
    failures = Failures()
    with tempfile.TemporaryDirectory() as temporary:
        prefix, work = pathlib.Path(temporary) / "prefix", pathlib.Path(temporary) / "work"
        (work / "m2-tiny").mkdir(parents=True)
        for name in FILES:
            (work / name).write_text(MACHINES if name == "mine.yaml" else "")
        first = run_install("--prefix", str(prefix), "--ingot", given.ingot)
        if first.returncode:
            print(first.stdout + first.stderr, file=sys.stderr)
            return 1
        root = json.loads(subprocess.check_output([given.ingot, "--experimental-dump-help"]))["command"]
        check_kinds(root, failures)
        check_pages(root, prefix / "share/man/man1", failures)
        for name in shells:
            check_shell(name, prefix, work, failures)
        check_installing(given.ingot, prefix, failures)
    print(f"{failures.passed} passed, {len(failures.texts)} failed")
    return 1 if failures.texts else 0


if __name__ == "__main__":
    sys.exit(main())
