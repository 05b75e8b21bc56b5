"""Plays a run through by events: cores that take units in turn, links and disks that serve one transfer after the other.

The rules are those of Sources/IngotFormats: units in the order of `Schedule`, so many under way at once as `Filling` allows, sources of
a unit that streams fetched beforehand, those of a calibrated one by the core that computes it, a layer's statistics read by one core
while those that need them wait.
"""
from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial


class Link:
    """Serves transfers in the order in which they are asked for, each at the whole rate."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.free = 0.0
        self.bytes = 0.0
        self.busy = 0.0

    def transfer(self, now: float, size: float) -> float:
        """When a transfer that is asked for now is done."""
        start = max(now, self.free)
        self.free = start + size / self.rate
        self.bytes += size
        self.busy += size / self.rate
        return self.free


def through(links: Iterable[Link], now: float, size: float) -> float:
    """When a transfer through links one behind the other is done: the slowest decides."""
    return max((link.transfer(now, size) for link in links), default=now) if size else now


@dataclass
class Job:
    """A unit of work."""

    seconds: float
    read: float = 0.0
    write: float = 0.0
    # Of whose statistics it needs; nil for one that streams.
    layer: int | None = None
    streams: bool = False
    # Not before those of an earlier step have ended.
    step: int = 0


@dataclass
class Statistics:
    """What reading a layer's statistics takes: bytes over the links, seconds of a core."""

    bytes: float = 0.0
    seconds: float = 0.0


class Node:
    """A machine that works through jobs. It is told when something ends, and says what ends next."""

    def __init__(
        self, jobs: list[Job], cores: int, reads: list[Link], writes: list[Link], lock: Link | None = None,
        statistics: Callable[[int], Statistics] = lambda layer: Statistics(), begin: float = 0.0,
    ) -> None:
        self.jobs = deque(jobs)
        self.cores = cores
        self.idle = cores
        self.reads, self.writes, self.lock = reads, writes, lock
        self.statistics = statistics
        self.ready: deque[Job] = deque()
        self.loaded: set[int] = set()
        self.waiting: dict[int, list[Job]] = {}
        # Layers whose statistics are to be read.
        self.wanted: deque[int] = deque()
        self.is_reading = False
        self.under_way = 0
        self.width = 2 * cores + 4
        self.step_left = self._count(jobs)
        self.step = min(self.step_left, default=0)
        self.busy = 0.0
        self.end = begin
        self.begin = begin

    @staticmethod
    def _count(jobs: list[Job]) -> dict[int, int]:
        left: dict[int, int] = {}
        for job in jobs:
            left[job.step] = left.get(job.step, 0) + 1
        return left


@dataclass
class Outcome:
    """When all nodes are done, and how busy their cores were until each was done."""

    end: float
    busy: float
    ends: list[float] = field(default_factory=list)


def play(nodes: list[Node]) -> Outcome:
    """Plays all nodes through; links may be shared among them."""
    events: list[tuple[float, int, Callable[[float], None]]] = []
    number = 0

    def at(time: float, action: Callable[[float], None]) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (time, number, action))

    def start(node: Node, now: float) -> None:
        while node.jobs and node.under_way < node.width and node.jobs[0].step <= node.step:
            job = node.jobs.popleft()
            node.under_way += 1
            if job.streams:
                at(through(node.reads, now, job.read), partial(enqueue, node, job))
            else:
                node.ready.append(job)
        run(node, now)

    def enqueue(node: Node, job: Job, now: float) -> None:
        node.ready.append(job)
        run(node, now)

    def run(node: Node, now: float) -> None:
        load(node, now)
        while node.idle and node.ready:
            job = node.ready.popleft()
            layer = job.layer
            if layer is not None and layer not in node.loaded:
                if layer not in node.waiting:
                    node.waiting[layer] = []
                    node.wanted.append(layer)
                node.waiting[layer].append(job)
                load(node, now)
                continue
            node.idle -= 1
            fetched = now if job.streams else through(node.reads, now, job.read)
            node.busy += job.seconds
            at(fetched + job.seconds, partial(computed, node, job))

    def load(node: Node, now: float) -> None:
        """One core reads one layer at a time; others are free for whoever does not need it."""
        if node.is_reading or not node.idle or not node.wanted:
            return
        layer = node.wanted.popleft()
        statistics = node.statistics(layer)
        node.idle -= 1
        node.is_reading = True
        node.busy += statistics.seconds

        def done(now: float) -> None:
            node.loaded.add(layer)
            node.idle += 1
            node.is_reading = False
            node.ready.extendleft(reversed(node.waiting.pop(layer)))
            run(node, now)

        at(through(node.reads, now, statistics.bytes) + statistics.seconds, done)

    def computed(node: Node, job: Job, now: float) -> None:
        node.idle += 1
        written = through(node.writes, now, job.write)
        if node.lock:
            written = node.lock.transfer(written, 1)
        at(written, partial(ended, node, job))
        run(node, now)

    def ended(node: Node, job: Job, now: float) -> None:
        node.under_way -= 1
        node.end = now
        node.step_left[job.step] -= 1
        while node.step in node.step_left and node.step_left[node.step] == 0:
            node.step += 1
        start(node, now)

    for node in nodes:
        at(node.begin, partial(start, node))
    while events:
        now, _, action = heapq.heappop(events)
        action(now)
    spans = sum((node.end - node.begin) * node.cores for node in nodes)
    return Outcome(
        max(node.end for node in nodes), sum(node.busy for node in nodes) / spans if spans else 1.0, [n.end for n in nodes])
