"""Units of work on some threads, as Filling, Schedule and Threads.share go about it: how busy the threads are."""

import collections
import heapq


class Unit:
    """phases: seconds that one thread computes, or (pieces, seconds of each) that threads share."""

    def __init__(self, layer, memory, *phases):
        self.layer, self.memory, self.phases = layer, memory, list(phases)

    @property
    def seconds(self):
        return sum(p if not isinstance(p, tuple) else p[0] * p[1] for p in self.phases)


class Simulation:
    """Threads take jobs in the order in which they came: units that were begun, and calls for help with a unit's pieces.

    load: seconds that the statistics of a layer take, by one thread at a time, while who needs them waits without a thread.
    """

    def __init__(self, units, threads, memory, load=0.0):
        self.units = collections.deque(sorted(units, key=lambda unit: (unit.layer, -unit.seconds)))
        self.threads, self.memory, self.load = threads, memory, load
        self.queue, self.idle, self.events = collections.deque(), threads, []
        self.now = self.busy = self.taken = self.number = 0
        self.under_way, self.most, self.peak = 0, 2 * threads + 4, 0
        self.loaded = {}

    def at(self, time, what):
        self.number += 1
        heapq.heappush(self.events, (time, self.number, what))

    def admit(self):
        while self.units and self.under_way < self.most and (
                self.taken == 0 or self.taken + self.units[0].memory <= self.memory):
            unit = self.units.popleft()
            self.under_way += 1
            self.taken += unit.memory
            self.peak = max(self.peak, self.taken)
            if unit.layer not in self.loaded:
                before = max(self.loaded.values(), default=0)
                self.loaded[unit.layer] = max(self.now, before) + self.load
            ready = max(self.loaded[unit.layer], self.now)
            self.at(ready, lambda unit=unit: self.queue.append(lambda: self.step(unit, 0)))

    def work(self, seconds, then):
        self.busy += seconds
        self.at(self.now + seconds, then)

    def step(self, unit, phase):
        """A thread is at a phase of its unit."""
        if phase == len(unit.phases):
            self.under_way -= 1
            self.taken -= unit.memory
            self.idle += 1
            self.admit()
            return
        what = unit.phases[phase]
        if not isinstance(what, tuple):
            return self.work(what, lambda: self.step(unit, phase + 1))
        loop = {"left": what[0], "running": 0, "waits": False}

        def turn(is_owner):
            if loop["left"] > 0:
                loop["left"] -= 1
                loop["running"] += 1
                return self.work(what[1], lambda: ended(is_owner))
            if is_owner:
                if loop["running"] == 0:
                    return self.step(unit, phase + 1)
                loop["waits"] = True
            else:
                self.idle += 1

        def ended(is_owner):
            loop["running"] -= 1
            if loop["running"] == 0 and loop["left"] == 0 and loop["waits"] and not is_owner:
                self.idle += 1
                return self.step(unit, phase + 1)
            turn(is_owner)

        for _ in range(min(what[0] - 1, self.threads - 1)):
            self.queue.append(lambda: turn(False))
        turn(True)

    def run(self):
        """Seconds of it all, how busy the threads were, and the most memory that units took."""
        self.admit()
        while self.events or self.queue:
            while self.idle and self.queue:
                self.idle -= 1
                self.queue.popleft()()
            if self.events:
                self.now, _, what = heapq.heappop(self.events)
                what()
        return self.now, self.busy / self.now / self.threads, self.peak


def pieces(rows, columns):
    """As RowPieces cuts."""
    most = max((1 << 21) // columns, 128)
    count = -(-rows // most)
    each = -(-(-(-rows // count)) // 128) * 128  # noqa: B002
    return -(-rows // each)


def minimax_m2(layers, rate, tokens=2048):
    """Units of MiniMax-M2, at so many floating-point operations a second."""
    hidden, width, heads, keys, vocabulary = 3072, 1536, 6144, 1024, 200064

    def gptq(rows, columns):
        count = pieces(rows, columns)
        return count, 5 * rows * columns * columns / rate / count

    def memory(rows, columns):
        return 8 * columns**2 + rows * columns // 2 + 6 * 4 * (1 << 21)

    units = []
    for layer in range(layers):
        inverse = 2 / 3
        units.append(Unit(
            layer, memory(heads + 2 * keys, hidden), inverse * hidden**3 / rate, gptq(heads, hidden), gptq(keys, hidden),
            gptq(keys, hidden)))
        units.append(Unit(layer, memory(hidden, heads), inverse * heads**3 / rate, gptq(hidden, heads)))
        gates = (tokens * hidden**2 + inverse * hidden**3) / rate
        down = (8 * tokens * hidden * width + 3 * tokens * width**2 + 3 * inverse * width**3 + 2 * width**3) / rate
        for _ in range(256):
            units.append(Unit(
                layer, memory(2 * width, hidden) + memory(hidden, width), gates, gptq(width, hidden), gptq(width, hidden), down,
                gptq(hidden, width)))
    units.append(Unit(layers - 1, memory(vocabulary, hidden), 2 / 3 * hidden**3 / rate, gptq(vocabulary, hidden)))
    return units
