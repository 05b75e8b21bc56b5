"""Stages of a calibrated quantization on a cluster, as jobs for the simulation."""
from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from .costs import Costs, statistics_bytes
from .shares import shares
from .simulation import Job, Link, Node, Outcome, Statistics, play
from .units import Architecture, Unit, units

# Bits per weight of int4 in groups of 64 with a zero point.
BITS = 4.3125
# Seconds of a core for a byte of SHA-256 (Sources/README.md).
HASHED = 0.5e-9
PIECE = 64_000_000
CONTEXT = 512


@dataclass(frozen=True)
class Rules:
    """What a share does beside its own units."""

    name: str
    # Hashes the file of statistics, and searches channel scales with those of all layers in memory.
    reads_all_statistics: bool = True
    # Reads a share of the source's files for their SHA-256, whether or not it has their tensors.
    hashes_apart: bool = True
    # Values of the pieces that units other than experts' are cut into (RowPieces).
    piece: int = 2_000_000


BUILT = Rules("as built")
SPARING = Rules("a share reads only what it needs", False, False)


@dataclass(frozen=True)
class Cluster:
    """Nodes and what they read from: one file server behind one link, or storage that fills every node's own link."""

    nodes: int
    gigabits: float
    has_server: bool = True
    cores: int = 16

    @property
    def rate(self) -> float:
        return self.gigabits * 1e9 / 8

    def links(self) -> tuple[list[list[Link]], list[list[Link]], list[Link]]:
        """Those that each node reads and writes through, and all of them."""
        if self.has_server:
            read, write = Link(self.rate), Link(self.rate)
            return [[read]] * self.nodes, [[write]] * self.nodes, [read, write]
        reads = [[Link(self.rate)] for _ in range(self.nodes)]
        writes = [[Link(self.rate)] for _ in range(self.nodes)]
        return reads, writes, [link for group in reads + writes for link in group]


@dataclass
class Stage:
    seconds: float
    bytes: float
    # Share of the cores' time that is computing, and of the busiest link's that is transferring.
    busy: float
    link: float
    # Seconds before the first unit, and of the longest.
    begin: float = 0.0
    longest: float = 0.0


def result(
    outcome: Outcome, links: list[Link], begin: float = 0.0, computing: float | None = None, longest: float = 0.0
) -> Stage:
    return Stage(
        outcome.end, sum(link.bytes for link in links), outcome.busy if computing is None else computing,
        max((link.busy for link in links), default=0) / outcome.end if outcome.end else 0, begin, longest)


def stored(unit: Unit) -> float:
    """Bytes of a unit in the artifact."""
    return sum(t.weights * BITS / 8 if t.is_linear else t.bytes for t in unit.tensors)


def pieces(size: float, seconds: float, write: float = 0.0) -> list[Job]:
    """Bytes that stream, in pieces: `seconds` of a core and `write` bytes for each byte."""
    count = max(round(size / PIECE), 1) if size else 0
    return [Job(seconds * size / count, size / count, write * size / count, streams=True) for _ in range(count)]


def jobs(found: list[Unit], model: Architecture, costs: Costs, tokens: int) -> list[Job]:
    def layer(unit: Unit) -> int | None:
        if not unit.statistics:
            return None
        return unit.layer if unit.layer is not None else model.layers - 1

    return [
        Job(costs.seconds(unit, model, tokens), unit.bytes, stored(unit), layer(unit), streams=not unit.statistics)
        for unit in found]


def packed(seconds: list[float], cores: int) -> float:
    """When jobs that are handed out in turn are done."""
    free = [0.0] * cores
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def quantize(model: Architecture, costs: Costs, cluster: Cluster, rules: Rules, tokens: int) -> Stage:
    """A share on every node."""
    reads, writes, links = cluster.links()
    raw = [statistics_bytes(model, layer, tokens) for layer in range(model.layers)]
    compressed = [size * costs.statistics_ratio for size in raw]
    if rules.reads_all_statistics:
        # All nodes read at once, and each has its part of the link.
        for group in reads:
            group[0].transfer(0, sum(compressed))
        arrived = max(group[0].free for group in reads)
    else:
        arrived = 0.0
    nodes, begins, prepared, longest = [], [], 0.0, 0.0
    for index, own in enumerate(shares(model.tensors, cluster.nodes, calibrated=True)):
        found = units(model, True, {tensor.name for tensor in own}, rules.piece)
        layers = sorted({unit.layer for unit in found if unit.statistics and unit.layer is not None})
        if rules.reads_all_statistics:
            # Importances of its own layers and the last one.
            begin = arrived + costs.statistics_read * sum(raw[layer] for layer in {*layers, model.layers - 1})
            searches = [costs.statistics_read * size + costs.scaling_layer * (layer in layers) for layer, size in enumerate(raw)]
            statistics = _statistics(costs, raw, None)
        else:
            begin = 0.0
            searches = [costs.statistics_read * raw[layer] + costs.scaling_layer for layer in layers]
            begin = through_own(reads[index], sum(compressed[layer] for layer in layers))
            statistics = _statistics(costs, raw, None)
        begin += packed(searches, cluster.cores)
        prepared += sum(searches)
        work = jobs(found, model, costs, tokens)
        longest = max([longest, *(job.seconds for job in work)])
        hashed = model.bytes / cluster.nodes
        if rules.hashes_apart:
            # Other files than the units' are read beside them.
            work = interleaved(work, pieces(hashed, HASHED))
        nodes.append(Node(work, cluster.cores, reads[index], writes[index], None, statistics, begin))
        begins.append(begin)
    outcome = play(nodes)
    computing = (prepared + sum(node.busy for node in nodes)) / (outcome.end * cluster.cores * cluster.nodes)
    return result(outcome, links, max(begins), computing, longest)


def through_own(links: list[Link], size: float) -> float:
    return max(link.transfer(0, size) for link in links)


def _statistics(costs: Costs, raw: list[float], ratio: float | None) -> Callable[[int], Statistics]:
    # In the page cache from when scales were searched.
    return lambda layer: Statistics((ratio or 0.0) * raw[layer], costs.statistics_read * raw[layer])


def interleaved(first: list[Job], second: list[Job]) -> list[Job]:
    """Two lists merged, each in its order, evenly."""
    keyed = [((index + 0.5) / len(group), kind, job) for kind, group in enumerate((first, second)) for index, job in enumerate(group)]
    return [job for _, _, job in sorted(keyed, key=lambda each: each[:2])]


def layer_jobs(
    model: Architecture, costs: Costs, layer: int, tokens: int, lanes: int, candidate: bool
) -> tuple[list[Job], list[Job]]:
    """The forward pass of a layer: its mixer by contexts, its experts one by one."""
    own = [t for t in model.tensors if t.layer == layer and t.is_linear]
    mixer = [t for t in own if t.kind not in ("gate", "up", "down")]
    contexts = max(tokens // CONTEXT, 1)
    weights = sum(t.weights for t in mixer)
    operations = 2.0 * tokens * weights + tokens * model.attention / model.layers
    values = float(tokens * model.hidden)
    size = sum(t.bytes for t in mixer) + candidate * sum(t.weights * BITS / 8 for t in mixer)
    seconds = lanes * (costs.forward_operation * operations + costs.forward_weight * weights + costs.forward_value * values)
    first = [Job(seconds / contexts, size / contexts, streams=False) for _ in range(contexts)]
    groups: dict[int | None, list[int]] = {}
    for index, tensor in enumerate(own):
        if tensor.kind in ("gate", "up", "down"):
            groups.setdefault(tensor.expert, []).append(index)
    second = []
    for expert, members in groups.items():
        weights = sum(own[index].weights for index in members)
        size = sum(own[index].bytes for index in members) + candidate * weights * BITS / 8
        rows = tokens * model.active / model.experts if expert is not None else float(tokens)
        # Experts of all tokens are cut by tokens.
        parts = 1 if expert is not None else contexts
        seconds = lanes * (2 * rows * weights * costs.forward_operation + weights * costs.forward_weight)
        second += [Job(seconds / parts, size / parts) for _ in range(parts)]
    return first, second


def forward(
    model: Architecture, costs: Costs, cluster: Cluster, tokens: int, lanes: int, candidate: bool, statistics: bool
) -> Stage:
    """A pass on every node through all layers with its part of the tokens, one layer after the other."""
    reads, writes, links = cluster.links()
    own = max(tokens // cluster.nodes, CONTEXT)
    nodes = []
    for index in range(cluster.nodes):
        work: list[Job] = []
        for layer in range(model.layers):
            first, second = layer_jobs(model, costs, layer, own, lanes, candidate)
            steps = [first, second]
            if statistics:
                raw = statistics_bytes(model, layer, own)
                hessians = model.hidden**2 * (2.0 + (layer == model.layers - 1)) * own
                spread = [Job(hessians * costs.forward_operation / cluster.cores) for _ in range(cluster.cores)]
                steps += [spread, [Job(costs.statistics_write * raw, 0, raw * costs.statistics_ratio)]]
            for offset, group in enumerate(steps):
                for job in group:
                    job.step = 4 * layer + offset
                work += group
        if candidate:
            contexts = max(own // CONTEXT, 1)
            products = lanes * 2.0 * own / 2 * model.vocabulary * model.hidden * costs.forward_operation
            work += [Job(products / contexts, step=4 * model.layers) for _ in range(contexts)]
        nodes.append(Node(compact(work), cluster.cores, reads[index], writes[index]))
    return result(play(nodes), links)


def compact(work: list[Job]) -> list[Job]:
    """Steps numbered without gaps."""
    numbers = {step: index for index, step in enumerate(sorted({job.step for job in work}))}
    for job in work:
        job.step = numbers[job.step]
    return work


def assemble(model: Architecture, costs: Costs, cluster: Cluster) -> Stage:
    """One node copies all planes."""
    reads, writes, links = cluster.links()
    size = sum(stored(unit) for unit in units(model, False))
    return result(play([Node(pieces(size, costs.assembled, 1.0), cluster.cores, reads[0], writes[0])]), links)


def machine(
    model: Architecture, costs: Costs, workers: int, rules: Rules, tokens: int, rate: float | None = None, calibrated: bool = True
) -> Stage:
    """All units on one machine with so many workers and a disk of a rate; without statistics all stream."""
    read, write = Link(rate or costs.disk_read), Link(rate or costs.disk_write)
    found = units(model, calibrated, None, rules.piece)
    raw = [statistics_bytes(model, layer, tokens) for layer in range(model.layers)]
    work = jobs(found, model, costs, tokens)
    if not calibrated:
        # SHA-256 of what is fetched.
        for job in work:
            job.seconds += HASHED * job.read
    elif rules.hashes_apart:
        work = interleaved(work, pieces(model.bytes, HASHED))
    node = Node(
        work, workers, [read], [write], Link(1 / costs.unit) if costs.unit else None,
        _statistics(costs, raw, costs.statistics_ratio))
    return result(play([node]), [read, write])
