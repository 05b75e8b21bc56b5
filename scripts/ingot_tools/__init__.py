"""What the project's fixtures, figures, benches and tests with other programs are made with: `scripts/tools SUBCOMMAND`."""
from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"


def tool(name: str) -> list[str]:
    """A subcommand to be run, by this Python where it is no shell script."""
    return [sys.executable, str(SCRIPTS / "tools"), name]
