"""The parts of scripts/tools torture. Each gives a line of the table and the faults it found."""

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from .running import contents, is_sound, judge, published


class Result:
    def __init__(self, name):
        self.name, self.count, self.failures, self.notes = name, 0, [], {}
        self.begin = time.monotonic()

    def note(self, key):
        self.notes[key] = self.notes.get(key, 0) + 1

    def fail(self, text):
        self.failures.append(text)

    @property
    def seconds(self):
        return time.monotonic() - self.begin


def spread(items, limit):
    """At most `limit` of the items, evenly."""
    items = list(items)
    if limit is None or len(items) <= limit:
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def in_parallel(rig, jobs, body, workers):
    """Runs body(job, place) for each job, each worker in a folder of its own."""
    free = [f"worker{number}" for number in range(workers)]

    def one(job):
        name = free.pop()
        try:
            body(job, name)
        finally:
            free.append(name)

    with ThreadPoolExecutor(workers) as pool:
        for number, done in enumerate([pool.submit(one, job) for job in jobs], 1):
            done.result()
            if number % 500 == 0:
                print(f"  {number:,} of {len(jobs):,}", flush=True)


def resume(rig, target, place, result, what):
    """The same command once more, undisturbed: it must come to the right bytes."""
    outcome = rig.run(target, place, threads=1 + result.count % 3)
    if outcome.returncode != 0:
        result.fail(f"{what}: not continued: {outcome.stderr.decode(errors='replace')[:300]}")
    elif outcome.printed != target.printed:
        result.fail(f"{what}: continued to other figures")
    elif contents(place) != target.reference:
        result.fail(f"{what}: continued to other bytes or left something: {sorted(contents(place))[:8]}")


def faults(rig, targets, limit, workers, kinds=("eio", "enospc", "eintr", "short")):
    """Every call of a run on files fails once, in each way; and from some on all do."""
    result = Result("system-call faults injected")
    jobs = [
        (target, kind, index, 0)
        for target in targets for kind in kinds for index in range(1, target.calls + 1)
    ] + [
        (target, kind, index, 1)
        for target in targets for kind in ("eio", "enospc") for index in range(1, target.calls + 1, 7)
    ]

    def one(job, name):
        target, kind, index, every = job
        place = rig.fresh(name, target)
        count = os.path.join(rig.folder, name + ".count")
        what = f"{target.name}: {kind}{' from' if every else ' at'} call {index}"
        outcome = rig.run(target, place, at=index, kind=kind, every=every, count=count)
        with open(count) as file:
            _, hit, *call = file.read().split()
        if int(hit) == 0:
            result.note("not reached")
            return
        result.count += 1
        result.note(f"exit {outcome.returncode}")
        what += f" ({call[0] if call else '?'})"
        problem = judge(target, place, outcome)
        if problem:
            result.fail(f"{what}: {problem}")
        elif outcome.returncode != 0:
            resume(rig, target, place, result, what)

    in_parallel(rig, spread(jobs, limit), one, workers)
    return result


def kills(rig, targets, count, workers, seed=1):
    """SIGKILL before and after every call of a run, then at random ones of runs that go on, until it is done."""
    result = Result("kill -9 and resume")
    random_source = random.Random(seed)
    jobs = [
        (target, [(kind, index)])
        for target in targets for kind in ("kill", "killafter") for index in range(1, target.calls + 1)
    ]
    jobs = spread(jobs, count // 2)
    while sum(len(plan) for _, plan in jobs) < count:
        target = random_source.choice(targets)
        jobs.append((target, [
            (random_source.choice(["kill", "killafter"]), random_source.randint(1, target.calls))
            for _ in range(random_source.randint(1, 6))
        ]))

    def one(job, name):
        target, plan = job
        place = rig.fresh(name, target)
        before = 0
        for kind, index in plan:
            what = f"{target.name}: {kind} at call {index}"
            outcome = rig.run(target, place, at=index, kind=kind, threads=1)
            if outcome.returncode == 0:
                # Fewer calls were left than the plan thought.
                if contents(place) != target.reference or outcome.printed != target.printed:
                    result.fail(f"{target.name}: {plan}: continued to other bytes")
                return
            if outcome.returncode != -signal.SIGKILL:
                result.fail(f"{what}: ended with {outcome.returncode}: {outcome.stderr.decode()[:300]}")
                return
            result.count += 1
            found = published(place)
            if found == target.reference and recorded(place) is None and not target.old:
                result.note("after the end")
                return
            if not is_sound(target, place):
                result.fail(f"{what}: left what looks finished: {sorted(found)}")
            known = recorded(place)
            if known is not None and known < before:
                result.fail(f"{what}: {before - known} recorded units lost")
            # Without a journal the output was finished, or had not been begun.
            before = known or 0
        resume(rig, target, place, result, f"{target.name}: {plan}")

    in_parallel(rig, jobs, one, workers)
    return result


def recorded(place):
    """Units in the journal of an unfinished output; None without one. Of two, that of the pass says more."""
    counts = []
    for folder, _, names in os.walk(place):
        for name in names:
            if not name.endswith((".partial.journal", ".partial.pass.journal")):
                continue
            with open(os.path.join(folder, name), "rb") as file:
                counts.append(sum(
                    line[17:18] == b"{" and not line[17:].startswith((b'{"journal"', b'{"marked"'))
                    for line in file.read().split(b"\n")))
    return max(counts, default=None)


def full_disk(rig, targets, levels, workers):
    """A disk with room for a part of the output only: refused before the start, or stopped and continued."""
    result = Result("disk-full points")
    jobs = []
    for target in targets:
        for level in range(levels):
            jobs.append((target, level, target.size * level // levels))

    def one(job, name):
        target, level, room = job
        mode = 1 if target.grows else level % 3
        place = rig.fresh(name, target)
        what = f"{target.name}: room for {room} bytes, " + ["reserving", "without reserving", "told before"][mode]
        fault = [{"room": room}, {"room": room, "no_reserve": 1}, {"free": room}][mode]
        outcome = rig.run(target, place, at=0, **fault)
        result.count += 1
        text = outcome.stderr.decode(errors="replace")
        if outcome.returncode == 0 and mode == 1 and contents(place) == target.reference and outcome.printed == target.printed:
            # Zeros between tensors are not written, so it takes less than the files' length.
            result.note("room enough")
            return
        if outcome.returncode == 0:
            result.fail(f"{what}: no error")
            return
        problem = judge(target, place, outcome)
        if problem:
            result.fail(f"{what}: {problem}")
            return
        if outcome.returncode == 1:
            result.note("refused before the start")
            if contents(place) != target.old:
                result.fail(f"{what}: refused, but left {sorted(contents(place))}")
            if "bytes" not in text:
                result.fail(f"{what}: does not say how many bytes are needed: {text}")
        else:
            result.note("stopped, continued")
        resume(rig, target, place, result, what)

    in_parallel(rig, jobs, one, workers)
    return result
