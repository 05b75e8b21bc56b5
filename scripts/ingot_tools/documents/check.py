"""Checks README.md and docs/: see scripts/tools test-docs."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ingot_tools.documents import cli, schemas, support
from ingot_tools.documents.links import Links, Options, scripts
from ingot_tools.documents.page import ROOT, Block, Page, commands
from ingot_tools.documents.shell import Place, Session, fits, trimmed, wrong_cases

README_LIMIT = 8 * 1024
# Pages whose commands are run; the others are checked for links only.
PLACES = ["README.md", "docs/**/*.md"]
OTHERS = ["*.md", "Sources/README.md", "formats/**/*.md", "calibration/*.md", "Fuzz/*.md", "scripts/**/*.md",
          "python/*.md"]
FIGURE = re.compile(r"\d[\d.,]*\d|\d")


class Check:
    def __init__(self, ingot: Path, writes: bool, place: Place) -> None:
        self.writes = writes
        self.place = place
        self.links = Links()
        dump = subprocess.run([ingot, "--experimental-dump-help"], check=True, capture_output=True, text=True).stdout
        self.dump = json.loads(dump)
        self.options = Options(self.dump)
        self.problems: list[str] = []
        self.count = {"commands": 0, "compared": 0, "blocks": 0}
        self.slowest: list[tuple[float, str]] = []

    def say(self, page: Page, line: int, problem: str) -> None:
        self.problems.append(f"{page.name}:{line}: {problem}")

    def text(self, page: Page) -> None:
        """Everything of a page that no command is run for."""
        for line, problem in self.links.problems(page):
            self.say(page, line, problem)
        for block in page.blocks:
            if block.mark == "same as":
                path = ROOT / block.value
                if not path.is_file() or path.read_text(encoding="utf-8") != block.text:
                    self.say(page, block.line, f"differs from {block.value}")
            if block.language in ("sh", "console"):
                for command in commands(block):
                    for problem in [*self.options.problems(command.text), *scripts(command.text)]:
                        self.say(page, command.line, problem)
        for line, name, rows in page.marked_tables():
            known = set(FIGURE.findall((ROOT / name).read_text(encoding="utf-8")))
            unknown = [figure for row in rows for figure in FIGURE.findall(row.split("|", 2)[2]) if figure not in known]
            if not rows or unknown:
                self.say(page, line, f"figures that {name} does not have: {' '.join(unknown) or 'no table'}")

    def run(self, page: Page) -> None:
        session: Session | None = None
        written: list[tuple[int, int, list[str]]] = []
        for block in page.blocks:
            if block.mark == "file":
                session = session or Session(self.place, self.place.page(page.name))
                (session.folder / block.value).write_text(block.text, encoding="utf-8")
            if block.language not in ("sh", "console") or block.mark == "not run":
                continue
            session = session or Session(self.place, self.place.page(page.name))
            self.count["blocks"] += 1
            if not self.block(page, block, session, written):
                break
        if written:
            lines = page.lines[:]
            for first, last, output in reversed(written):
                lines[first:last] = output
            page.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            print(f"{page.name}: {len(written)} outputs written")
        if session:
            shutil.rmtree(session.folder)

    def block(self, page: Page, block: Block, session: Session, written: list[tuple[int, int, list[str]]]) -> bool:
        """Runs a block; False where what follows on the page has lost its ground."""
        every = commands(block)
        for index, command in enumerate(every):
            start = time.monotonic()
            try:
                session.run(command)
            except subprocess.TimeoutExpired as error:
                self.say(page, command.line, f"took longer than {error.timeout} s: {command.text}")
                return False
            self.slowest.append((time.monotonic() - start, f"{page.name}:{command.line}: {command.text}"))
            self.count["commands"] += 1
            asked = index + 1 < len(every) and every[index + 1].text == "echo $?"
            if session.code != 0 and not asked:
                self.say(page, command.line, f"exit code {session.code}: {command.text}\n{session.printed}")
                return False
            if command.output is None:
                continue
            self.count["compared"] += 1
            printed = trimmed(session.printed.splitlines())
            if fits(trimmed(command.output), printed):
                continue
            if self.writes:
                first = command.line + command.text.count("\n")
                gap = [""] if command.output and not command.output[-1].strip() and index + 1 < len(every) else []
                written.append((first, first + len(command.output), printed + gap))
            else:
                self.say(page, command.line, f"prints something else: {command.text}\n" + "\n".join(
                    "  " + line for line in printed) + "\nscripts/tools test-docs --write puts it there")
        return True


def pages(patterns: list[str]) -> list[Page]:
    return [Page.read(path) for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ingot", type=Path, required=True)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--slowest", type=int, default=0)
    options = parser.parse_args()
    start = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="ingot-docs-")).resolve()
    try:
        check = Check(options.ingot, options.write, Place(options.ingot, folder))

        def wanted(page: Page) -> bool:
            return not options.only or any(pattern in page.name for pattern in options.only)

        run = [page for page in pages(PLACES) if wanted(page)]
        names = {page.name for page in run}
        others = [page for page in pages(OTHERS) if wanted(page) and page.name not in names]
        for page in run + others:
            check.text(page)
        check.problems += wrong_cases()
        size = (ROOT / "README.md").stat().st_size
        if size > README_LIMIT:
            check.problems.append(f"README.md: {size} bytes, {README_LIMIT} at most")
        if not options.only:
            check.problems += cli.problems(check.dump, options.write)
            check.problems += support.problems(options.ingot, folder, options.write)
            found, validated = schemas.problems(check.place)
            check.problems += found
        for page in run:
            check.run(page)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for problem in check.problems:
        print(f"FAILED {problem}")
    for seconds, command in sorted(check.slowest, reverse=True)[: options.slowest]:
        print(f"{seconds:6.1f} s  {command}")
    more = "" if options.only else f", {validated} results fit their schemas"
    print(f"{len(run)} pages, {check.count['blocks']} blocks, {check.count['commands']} commands run, the output of "
          f"{check.count['compared']} compared{more}; links of {len(run) + len(others)} pages; "
          f"{len(check.problems)} problems, {time.monotonic() - start:.0f} s")
    return 1 if check.problems else 0


if __name__ == "__main__":
    sys.exit(main())
