"""A server of the command under test, and what its tests have in common."""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
NANO = ROOT / "Tests/Fixtures/m2-nano"
TEMPLATE = ROOT / "Tests/ServingTests/tools.jinja"


class Failed(Exception):
    """What a server did that it should not."""


def check(condition: bool, what: str) -> None:
    if not condition:
        raise Failed(what)


class Server:
    """`ingot serve` on a free port, from `with` to its end."""

    def __init__(self, ingot: pathlib.Path, model: pathlib.Path, *options: str, **environment: str) -> None:
        self.command = [str(ingot), "serve", str(model), "--port", "0", *options]
        self.environment = {**os.environ, **environment}
        self.lines: list[str] = []

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=self.environment)
        started = threading.Event()
        self.url = ""

        def read() -> None:
            for line in self.process.stderr:  # type: ignore[union-attr]
                self.lines.append(line.rstrip("\n"))
                found = re.search(r"http://\S+:\d+", line)
                if found:
                    self.url = found.group().rstrip(",")
                    started.set()
            started.set()

        threading.Thread(target=read, daemon=True).start()
        if not started.wait(120) or not self.url:
            self.process.kill()
            raise Failed(f"{' '.join(self.command)}: did not start: {self.lines}")
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise Failed("the server did not end within a minute of SIGTERM") from None

    @property
    def resident(self) -> int:
        """Bytes of memory that are its own."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise Failed("no RssAnon")

    def request(self, path: str, body: object = None, headers: dict[str, str] | None = None, method: str | None = None) -> tuple[int, str]:
        """Status and text of a response."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json", **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        values = {}
        for line in self.request("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values


def run(name: str, test, *arguments: object) -> bool:
    """Runs a test, and says how it went."""
    begin = time.monotonic()
    try:
        figures = test(*arguments)
    except Exception as error:  # whatever a client throws is a finding
        print(f"FAIL {name}: {type(error).__name__}: {error}")
        return False
    print(f"ok   {name}, {time.monotonic() - begin:.1f} s" + (f": {figures}" if figures else ""))
    sys.stdout.flush()
    return True
