"""A server of scripts/tools serve-hub and the command that reads from it, each in an environment of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator

from ingot_tools import REPOSITORY, tool

ROOT = REPOSITORY
NANO = ROOT / "Tests/Fixtures/m2-nano"


@dataclasses.dataclass
class Server:
    endpoint: str
    commits: dict[str, str]

    def faults(self, **wish: object) -> None:
        """What goes wrong from here on: keys of Faults.configure, and `rate_limit`."""
        request = urllib.request.Request(self.endpoint + "/_faults", json.dumps(wish).encode(), method="POST")
        urllib.request.urlopen(request).close()

    def stats(self) -> dict:
        with urllib.request.urlopen(self.endpoint + "/_stats") as answer:
            return json.load(answer)


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """scripts/tools serve-hub with these arguments."""
    process = subprocess.Popen(
        [*tool("serve-hub"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    endpoint = process.stdout.readline().strip().removeprefix("HF_ENDPOINT=")
    models = sum("=" in argument and not argument.startswith("-") for argument in arguments)
    commits = dict(process.stdout.readline().split() for _ in range(models))
    try:
        yield Server(endpoint, commits)
    finally:
        process.kill()
        process.wait()


class Rig:
    """The command, and a folder for what it writes."""

    def __init__(self, ingot: str, folder: str) -> None:
        self.ingot = str(pathlib.Path(ingot).resolve())
        self.folder = pathlib.Path(folder)
        self.count = 0

    def fresh(self) -> pathlib.Path:
        self.count += 1
        path = self.folder / str(self.count)
        path.mkdir()
        return path

    def environment(self, server: Server | None, home: pathlib.Path, **more: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "XDG_")) and "proxy" not in name.lower()
        }
        kept |= {"HF_HOME": str(home), "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        if server:
            kept["HF_ENDPOINT"] = server.endpoint
        return kept | more

    def run(
        self, server: Server | None, *arguments: object, home: pathlib.Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.ingot, *map(str, arguments)],
            env=self.environment(server, home or self.fresh(), **more),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )


def digest(path: pathlib.Path) -> str:
    """One hash of a file, or of all files of a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    sums = hashlib.sha256()
    for file in files:
        if file.is_file():
            sums.update(file.relative_to(path).as_posix().encode() + b"\0")
            with file.open("rb") as stream:
                sums.update(hashlib.file_digest(stream, "sha256").digest())
    return sums.hexdigest()


def temporary(place: str | None = None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ingot-hub-", dir=place)
