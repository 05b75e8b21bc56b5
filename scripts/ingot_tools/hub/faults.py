"""What goes wrong on purpose, and how fast bytes go out."""

from __future__ import annotations

import collections
import random
import threading
import time

# Where a file is asked for at the endpoint, and where its content is.
AT_ENDPOINT = ("429", "503", "reset-early", "html")
AT_CONTENT = (
    "429",
    "500",
    "502",
    "503",
    "reset",
    "reset-early",
    "stall",
    "short",
    "wrong-range",
    "wrong-total",
    "expired",
    "whole",
    "html",
    "not-satisfiable",
)
# These never end, so a run must: they are asked for by name only.
LASTING = ("corrupt", "changed", "no-ranges", "portal", "slow-retry")


class Faults:
    """Chooses for each request whether and how it goes wrong."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.configure({})

    def configure(self, wish: dict) -> None:
        """Keys: `kinds`, `rate` (share of requests that go wrong), `limit` (of faults), `seed`, `stall` (seconds)."""
        with self.lock:
            self.kinds: list[str] = wish.get("kinds", [])
            self.rate: float = wish.get("rate", 0.0)
            self.limit: int | None = wish.get("limit")
            self.stall: float = wish.get("stall", 3.0)
            self.random = random.Random(wish.get("seed", 1))
            self.done: collections.Counter[str] = collections.Counter()

    def choose(self, possible: tuple[str, ...]) -> str | None:
        with self.lock:
            kinds = [kind for kind in self.kinds if kind in possible or kind in LASTING and possible is AT_CONTENT]
            if not kinds or self.random.random() >= self.rate:
                return None
            if self.limit is not None and sum(self.done.values()) >= self.limit:
                return None
            kind = self.random.choice(kinds)
            self.done[kind] += 1
            return kind


class Pace:
    """A link that carries so many bytes a second, whatever the number of connections; None for any number."""

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self.lock = threading.Lock()
        self.free = 0.0

    def wait(self, count: int) -> None:
        if not self.rate:
            return
        with self.lock:
            now = time.monotonic()
            # What was not used in the last tenth of a second is lost, as on a link with buffers.
            begin = max(self.free, now - 0.1)
            self.free = begin + count / self.rate
            delay = self.free - now
        if delay > 0:
            time.sleep(delay)
