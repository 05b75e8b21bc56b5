"""The launcher: every program of the package is a subcommand, and says what it does."""
from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import unittest

from ingot_tools import REPOSITORY, SCRIPTS, tool
from ingot_tools.command import GROUPS, PACKAGE, SUBCOMMANDS, main

# Modules that have no options to describe, or need packages that nothing else needs.
SILENT = {"check-names", "make-c-header", "make-piece-vectors", "real-models", "documents-look"}


class CommandTests(unittest.TestCase):
    def test_names_are_unique(self) -> None:
        self.assertEqual(len(SUBCOMMANDS), sum(len(group.subcommands) for group in GROUPS))

    def test_places_are_there(self) -> None:
        for each in SUBCOMMANDS.values():
            path = PACKAGE / (each.place if each.is_shell else each.place.replace(".", "/") + ".py")
            self.assertTrue(path.is_file(), each.name)
            self.assertTrue(not each.is_shell or os.access(path, os.X_OK), each.name)

    def test_every_program_is_a_subcommand(self) -> None:
        places = {each.place for each in SUBCOMMANDS.values()}
        for path in sorted(PACKAGE.rglob("*")):
            name = path.relative_to(PACKAGE)
            if not path.is_file() or "tests" in name.parts or "__pycache__" in name.parts:
                continue
            if path.parent.name == "shell":
                self.assertIn(str(name), places)
            elif path.suffix == ".py" and re.search(r"ArgumentParser\(|__name__ == .__main__.", path.read_text()):
                module = ".".join(name.with_suffix("").parts)
                # It gives the others their options.
                if module != "engines.protocol":
                    self.assertIn(module, places)

    def test_entries_are_five_and_the_launcher(self) -> None:
        names = {path.name for path in SCRIPTS.iterdir() if path.is_file() and path.suffix == ""}
        self.assertEqual(names, {"setup", "test", "quickstart", "install", "release", "tools"})

    def test_usage_lists_all(self) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.assertEqual(main([]), 64)
            self.assertEqual(main(["--help"]), 0)
        for name in SUBCOMMANDS:
            self.assertIn(f"  {name} ", printed.getvalue())
        self.assertLessEqual(max(map(len, printed.getvalue().splitlines())), 100)

    def test_unknown_subcommand_is_a_usage_error(self) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stderr(printed):
            self.assertEqual(main(["no-such"]), 64)
        self.assertIn("no-such", printed.getvalue())

    def test_help_of_subcommands(self) -> None:
        names = [each.name for each in SUBCOMMANDS.values() if not each.is_shell and not each.engines]
        running = {
            name: subprocess.Popen(
                [*tool(name), "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY)
            for name in names if name not in SILENT and name not in ("check-language", "doc-figures")}
        for name, process in running.items():
            printed, _ = process.communicate()
            self.assertEqual(process.returncode, 0, f"{name}: {printed[-500:]}")
            self.assertIn(f"usage: tools {name}" if "usage: tools" in printed else "usage", printed, name)


if __name__ == "__main__":
    unittest.main()
