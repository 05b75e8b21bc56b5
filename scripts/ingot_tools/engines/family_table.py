#!/usr/bin/env python3
"""Every family's fixture in every container, loaded by the engine that it is for, and read from other tools' hands.

    scripts/tools engines-family-table --ingot FILE [--short] [--only PATTERN] [--work FOLDER] [--write]

Called by scripts/tools test-engines. For each case of Tests/Fixtures/families Ingot makes an artifact, the engine runs it on
the case's own token ids, and its logits are compared with `ingot logits` of the same artifact: mean KL divergence in
nats and the share of equal top tokens. Dense artifacts are compared with transformers' golden logits too. In a second
table other tools make the artifacts, which `ingot inspect` and `ingot check` must take, and logits are compared in the
same way.

--short takes one case of each family: in the first table in every column, in the second in one column, another for each
family. --write puts both tables into docs/results/families.md when nothing failed. Exit code 1 when a cell fails that
GAPS does not explain.
"""

import argparse
import fnmatch
import os
import sys
import tempfile
import time

from ingot_tools import REPOSITORY
from ingot_tools.engines import family_cells
from ingot_tools.engines import family_columns as about
from ingot_tools.engines.family_cells import Cell, Failure, NoFit

PAGE = os.path.join(REPOSITORY, "docs", "results", "families.md")


def printed(title, columns, cells, lines):
    """Prints a table, and appends its lines; returns lines for what failed. cells: (column's name, case) → Cell."""
    def say(text):
        print(text, flush=True)
        lines.append(text)

    say(f"\n{title}\n\n| case | " + " | ".join(column.name for column in columns) + " |")
    say("|---" * (1 + len(columns)) + "|")
    notes, failed = [], []
    for case in dict.fromkeys(case for _, case in cells):
        row = []
        for column in columns:
            cell = cells.get((column.name, case))
            found = cell.found if cell else "-"
            words, reason = about.GAPS.get((column.container, case), ("", ""))
            if isinstance(found, NoFit):
                row.append("no fit")
            elif not isinstance(found, Failure):
                row.append(found)
            elif reason and words in str(found):
                if reason not in notes:
                    notes.append(reason)
                row.append(f"({notes.index(reason) + 1})")
            else:
                row.append("NO")
                failed.append(f"{column.name}, {case}: {found}")
        say(f"| {case} | " + " | ".join(row) + " |")
    say("")
    if any(isinstance(cell.found, NoFit) for cell in cells.values()):
        say("no fit: rows of the case are not divisible by the encoding's groups")
    if len(cells) < len(columns) * len({case for _, case in cells}):
        say("-: not tried; the container has no place for the family, or another case stands for it")
    for number, reason in enumerate(notes):
        say(f"({number + 1}) {reason}")
    return failed


def record(lines):
    """Puts what was printed between the marks of the page."""
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    begin, end = "<!-- table -->\n", "<!-- /table -->"
    before, _, rest = text.partition(begin)
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(before + begin + "\n".join(lines).strip("\n") + "\n" + rest[rest.index(end):])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", required=True)
    p.add_argument("--short", action="store_true")
    p.add_argument("--only", default="*")
    p.add_argument("--work")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--write", action="store_true")
    a = p.parse_args()
    if a.write and (a.short or a.only != "*"):
        p.error("--write takes whole tables: not with --short or --only")
    begin, lines = time.monotonic(), []
    all_cases = sorted(name for name in os.listdir(family_cells.FIXTURES) if os.path.exists(
        os.path.join(family_cells.FIXTURES, name, "golden.safetensors")) and any(column.holds(name) for column in about.OWN))
    own = [(column, case) for case in (about.ONE_EACH if a.short else all_cases) for column in about.OWN
           if column.holds(case)]
    foreign = [(column, case) for case in about.FOREIGN_CASES for column in about.FOREIGN]
    foreign += [(column, case) for case in about.FOREIGN_MORE for column in about.FOREIGN if column.holds(case)]
    if a.short:
        named = {column.name: column for column in about.OWN + about.FOREIGN}
        own += [(named[name], case) for name, case in about.SHORT]
        foreign = list(zip(about.FOREIGN, about.ONE_EACH))
        foreign += [(named[name], case) for name, case in about.SHORT_FOREIGN]
    with tempfile.TemporaryDirectory(dir=a.work) as work:
        bench = family_cells.Bench(os.path.abspath(a.ingot), work, a.threads)
        own_cells, foreign_cells = ({(column.name, case): Cell(bench, column, case) for column, case in pairs
                         if fnmatch.fnmatch(case, a.only)} for pairs in (own, foreign))
        bench.run([*own_cells.values(), *foreign_cells.values()])
    failed = printed("Families: KL divergence of an engine's logits to ours, of the same artifact", about.OWN, own_cells, lines)
    failed += printed("Artifacts that other tools make of them, read by ingot: the same", about.FOREIGN, foreign_cells,
                      lines)
    print(f"{len(own_cells) + len(foreign_cells)} artifacts, {time.monotonic() - begin:.0f} s")
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    if a.write and not failed:
        record(lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
