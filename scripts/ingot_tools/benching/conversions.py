"""Whole conversions, against a raw copy of the same bytes and over numbers of layers and threads."""

import os

from .report import shown, spread
from .running import checkpoint, quantize, raw_copy, remove, say, weights_of


def measure(report, source, work, rounds):
    read = sum(os.path.getsize(path) for path in weights_of(source))
    report.heading(f"Conversions of {read / 1e9:.2f} GB of FP8, against a raw copy of the same bytes")
    rows = []
    plan = [
        ("int4 g64 rtn", ("--no-source-hash",), rounds), ("int4 g64 rtn", (), max(rounds - 1, 1)),
        ("q8_0", ("--no-source-hash",), max(rounds - 1, 1)), ("q4_0 rtn", ("--no-source-hash",), 1),
        ("int4 g64 search", ("--no-source-hash",), 1), ("q4_k_pure", ("--no-source-hash",), 1),
    ]
    for recipe, options, turns in plan:
        ratios, walls, processor, memory, copies = [], [], [], [], []
        written = 0
        for _ in range(turns):
            run, written, target = quantize(source, recipe, work, *options)
            remove(target)
            copied, _ = raw_copy(source, written, work)
            ratios.append(copied / run.wall)
            walls.append(run.wall)
            processor.append(run.cpu)
            memory.append(run.memory)
            copies.append(copied)
        name = recipe + ("" if options else ", with SHA-256 of the source")
        say(f"{name}: {shown(spread(ratios))} of the copy, {shown(spread(walls), 1)} s")
        rows.append(
            (name, shown(spread(ratios)), f"{written / 1e9:.2f}", shown(spread(walls), 1), shown(spread(copies), 1),
             shown(spread(processor), 1), f"{max(memory) / 1e9:.2f}"))
        if name in ("int4 g64 rtn", "q8_0", "int4 g64 rtn, with SHA-256 of the source"):
            value = spread(ratios)
            report.figure(f"conversion FP8 → {name}, raw copy's time / its own", "≥ 0.8", shown(value), value[0] >= 0.8)
    report.table(
        ["to", "copy's time / its own", "GB written", "wall s", "copy's wall s", "CPU s", "peak GB"], rows)


def checkpoints(work, experts):
    """Of 1, 2 and 4 layers."""
    return {layers: checkpoint(work, layers=layers, experts=experts, vocabulary=16384) for layers in (1, 2, 4)}


def growth(report, sources, work, rounds, experts):
    """Time, memory and disk of conversions as layers are added."""
    report.heading("Layers, threads, memory and disk")
    runs = {}
    for _ in range(rounds):
        for layers, threads in ((1, 2), (2, 2), (4, 2), (4, 1)):
            run, _, target = quantize(
                sources[layers], "int4 g64 rtn", work, "--no-source-hash", "--threads", str(threads), watched=True)
            remove(target)
            runs.setdefault((layers, threads), []).append(run)
    report.table(
        [f"layers of {experts} experts", "threads", "wall s", "CPU s", "peak GB", "disk at most / output"],
        [(layers, threads, shown(spread(r.wall for r in some)), shown(spread(r.cpu for r in some)),
          f"{max(r.memory for r in some) / 1e9:.2f}", f"{max(r.disk / r.written for r in some):.4f}")
         for (layers, threads), some in runs.items()])
    every = [run for some in runs.values() for run in some]
    peak = max(run.memory for run in every)
    report.figure("peak memory of quantize at any number of layers", "≤ 2 GB", f"{peak / 1e9:.2f} GB", peak <= 2e9)
    for recipe in ("q8_0", "w4a16 rtn"):
        run, _, target = quantize(sources[1], recipe, work, "--no-source-hash", watched=True)
        remove(target)
        every.append(run)
    extra = max(run.disk - run.written for run in every)
    report.text(
        "Disk: allocated bytes of the output, its temporary and other files beside it, of $TMPDIR and of deleted files held "
        "open, looked at a hundred times a second; also for q8_0 and w4a16.")
    report.figure(
        "disk beyond the output while it is written", "0", f"{max(extra, 0) / 1e3:.0f} kB", extra <= 1e6,
        "less than a megabyte counts as nothing: the journal")
