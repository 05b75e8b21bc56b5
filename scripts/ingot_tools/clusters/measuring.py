"""Measures what units of work cost on this machine: the command on slices of true shapes, in processor seconds.

What one unit more takes is the difference of two runs, so that starting, reading and writing are left out. Processor seconds hardly depend
on what else the machine does.
"""
from __future__ import annotations

import datetime
import glob
import os

from ingot_tools.benching.running import INGOT, ROOT, Run, checkpoint, raw_copy, say, size_of, weights_of

from .costs import Costs, fitted, operations

ENCODING = "int4 g64 zero f16"
SMALL = {"layers": 1, "heads": 8, "kv-heads": 2, "vocabulary": 2048, "context": 8192}
M2 = {**SMALL, "hidden": 3072, "width": 1536}
DEEPSEEK = {**SMALL, "hidden": 7168, "width": 2048}


class Slices:
    """Small models, statistics of them, and runs on them; the least of some runs counts."""

    def __init__(self, work: str, rounds: int) -> None:
        self.work, self.rounds = work, rounds
        self.texts = sorted(glob.glob(f"{ROOT}/calibration/text/calibration/*.txt"))

    def least(self, name: str, command: list[str]) -> float:
        seconds = float(min(Run(command).cpu for _ in range(self.rounds)))
        say(f"{name}: {seconds:.2f} s")
        return seconds

    def model(self, experts: int, **sizes: int) -> str:
        return str(checkpoint(self.work, experts=experts, active=experts, **sizes))

    def statistics(self, model: str, tokens: int) -> tuple[str, float]:
        """A file of statistics of so many tokens, and what it cost."""
        seconds = self.calibrate(model, tokens, ".calib")
        return f"{self.work}/{os.path.basename(model)}-{tokens}.calib", seconds

    def calibrate(self, model: str, tokens: int, suffix: str) -> float:
        path = f"{self.work}/{os.path.basename(model)}-{tokens}{suffix}"
        # One text with all of them, so that contexts are as many as are asked for.
        text = f"{self.work}/text.txt"
        if not os.path.exists(text):
            with open(text, "w") as file:
                for each in self.texts:
                    with open(each) as page:
                        file.write(page.read())
        words = [INGOT, "calibrate", model, "--text", text, "--chunks", str(tokens // 512), "--all-contexts", "--force",
                 "--threads", "1", "-o", path]
        return self.least(f"calibrate {os.path.basename(path)}", words)

    def recipe(self, parts: list[str], quantizer: str = "search") -> str:
        path = f"{self.work}/{'-'.join(parts) or 'keep'}-{quantizer}.yaml"
        rule = f"  - {{parts: [{', '.join(parts)}], encoding: '{ENCODING}', quantizer: {quantizer}}}\n" if parts else ""
        with open(path, "w") as file:
            file.write(f"name: slice\nrules:\n{rule}  - {{encoding: keep}}\n")
        return path

    def quantize(self, model: str, recipe: str, *words: str, threads: int = 1) -> list[str]:
        return [INGOT, "quantize", model, "-o", f"{self.work}/x.ingot", "--force", "--no-source-hash", "--threads", str(threads),
                "--recipe", recipe, *words]


EXPERT = ["gate", "up", "down"]
Record = dict[str, "float | str"]


def units(slices: Slices, costs: Costs) -> None:
    """GPTQ of experts, mixers and the head, and what its seconds follow from."""
    rows: list[tuple[list[float], float]] = []
    names: list[str] = []

    def take(name: str, shapes: list[tuple[int, int]], tokens: int, seconds: float) -> None:
        rows.append((list(operations(shapes, tokens, expert=tokens > 0)), seconds))
        names.append(name)

    for label, sizes, more in (("MiniMax-M2's", M2, 2), ("DeepSeek-V3's", DEEPSEEK, 1)):
        hidden, width = sizes["hidden"], sizes["width"]
        models = [slices.model(experts, **sizes) for experts in (1, 1 + more)]
        for tokens in (512, 2048):
            both = []
            for model in models:
                statistics, _ = slices.statistics(model, tokens)
                words = slices.quantize(
                    model, slices.recipe(EXPERT), "--importance", statistics, "--without", "scaling")
                both.append(slices.least(f"quantize {os.path.basename(statistics)}", words))
            take(f"expert of {label} shape, {tokens:,} tokens", [(width, hidden), (width, hidden), (hidden, width)], tokens,
                 (both[1] - both[0]) / more)
    mixer = slices.model(1, **{**M2, "heads": 48, "kv-heads": 8, "vocabulary": 8192})
    wide = slices.model(1, **DEEPSEEK)
    for model, parts, label, shapes in (
            (mixer, ["query", "key", "value"], "query, key and value", [(6144, 3072), (1024, 3072), (1024, 3072)]),
            (mixer, ["attention_output"], "output projection", [(3072, 6144)]),
            (mixer, ["head"], "head of 8,192 rows", [(8192, 3072)]),
            (wide, ["query", "key", "value"], "query, key and value of width 7,168", [(1024, 7168), (256, 7168), (256, 7168)])):
        statistics, _ = slices.statistics(model, 512)
        nothing, all_of_it = (
            slices.least(f"quantize {'-'.join(kinds) or 'nothing'}", slices.quantize(
                model, slices.recipe(kinds), "--importance", statistics, "--without", "scaling"))
            for kinds in ([], parts))
        take(label, shapes, 0, all_of_it - nothing)
    costs.tokens, costs.factors, costs.rows = fitted(rows)
    for name, (values, seconds) in zip(names, rows):
        expected = sum(a * b for a, b in zip((costs.tokens, costs.factors, costs.rows), values))
        costs.measured.append({"what": name, "seconds": round(seconds, 3), "fitted": round(expected, 3)})


def scaling(slices: Slices, costs: Costs) -> None:
    model = slices.model(8, **{**M2, "heads": 48, "kv-heads": 8})
    statistics, _ = slices.statistics(model, 512)
    # Without GPTQ only the search for scales costs much.
    rest = ["gptq", "refit", "inputs", "residuals"]
    recipe = slices.recipe([*EXPERT, "query", "key", "value", "attention_output"])
    without, with_scaling = (
        slices.least(f"quantize {what}", slices.quantize(model, recipe, "--importance", statistics, *words))
        for what, words in (("without scaling", ["--without", "scaling", *rest]), ("with scaling", ["--without", *rest])))
    costs.scaling_layer = max(with_scaling - without, 0)
    costs.measured.append({"what": "channel scales of a layer", "seconds": round(costs.scaling_layer, 3)})


def statistics(slices: Slices, costs: Costs) -> None:
    """Reading statistics, and the forward pass that gathers them."""
    tokens = (512, 8192)
    model = slices.model(1, **M2)
    files = [slices.statistics(model, each)[0] for each in tokens]
    raw = [2.0 * each * 3072 for each in tokens]
    keep = slices.recipe([])
    words = ["--without", "scaling", "gptq", "refit", "inputs", "residuals"]
    seconds = [
        slices.least(f"reading {os.path.basename(path)}", slices.quantize(
            model, keep, "--importance", path, *words)) for path in files]
    sizes = [os.path.getsize(path) for path in files]
    costs.statistics_read = (seconds[1] - seconds[0]) / (raw[1] - raw[0])
    costs.statistics_ratio = (sizes[1] - sizes[0]) / (raw[1] - raw[0])
    costs.measured.append({
        "what": f"reading statistics of {tokens[1] - tokens[0]:,} tokens more", "seconds": round(seconds[1] - seconds[0], 3)})


def forward(slices: Slices, costs: Costs) -> None:
    rows: list[tuple[list[float], float]] = []
    names = []
    for experts in (1, 4):
        model = slices.model(experts, **M2)
        for tokens in (512, 8192):
            _, seconds = slices.statistics(model, tokens)
            weights = experts * 3 * 3072 * 1536 + 2 * 3072 * 1024 + 2 * 3072 * 256
            products = 2.0 * tokens * weights + tokens * (3 * 3072.0**2 + 1024.0**2)
            rows.append(([1.0, float(weights), products, float(tokens * 3072)], seconds))
            names.append(f"calibrate, {experts} expert{'s' * (experts > 1)}, {tokens:,} tokens")
    _, costs.forward_weight, costs.forward_operation, value = found = fitted(rows)
    # An importance matrix is gathered by the same pass, and hardly anything is written of it.
    model = slices.model(1, **M2)
    matrix, whole = (slices.calibrate(model, 8192, suffix) for suffix in (".gguf", ".calib"))
    raw = 2.0 * 8192 * 3072 + 2.0 * (3 * 3072**2 + 1024**2)
    costs.statistics_write = max(whole - matrix, 0) / raw
    costs.forward_value = max(value - 2 * costs.statistics_write, 0)
    costs.measured.append({"what": f"writing {raw / 1e6:.0f} MB of statistics", "seconds": round(whole - matrix, 3)})
    for name, (values, seconds) in zip(names, rows):
        expected = sum(a * b for a, b in zip(found, values))
        costs.measured.append({"what": name, "seconds": round(seconds, 3), "fitted": round(expected, 3)})


def conversions(slices: Slices, costs: Costs) -> None:
    """Tensors that stream, shares that are assembled, small units, and the disk."""
    few, many = (slices.model(experts, **M2) for experts in (1, 4))
    least = [
        slices.least("least squares", slices.quantize(model, slices.recipe(EXPERT))) for model in (few, many)]
    costs.streamed = (least[1] - least[0]) / (3 * 3 * 3072 * 1536)
    costs.measured.append({"what": "least squares of an expert", "seconds": round((least[1] - least[0]) / 3, 3)})
    tiny = slices.model(256, **{**SMALL, "layers": 4, "hidden": 128, "width": 128, "heads": 1, "kv-heads": 1})
    none = slices.model(1, **{**SMALL, "layers": 4, "hidden": 128, "width": 128, "heads": 1, "kv-heads": 1})
    seconds = [
        slices.least("small tensors", slices.quantize(model, slices.recipe(EXPERT, "round-to-nearest")))
        for model in (none, tiny)]
    costs.unit = (seconds[1] - seconds[0]) / (4 * 255 * 3)
    costs.measured.append({"what": "a unit of 16,384 weights, with its record", "seconds": round(costs.unit, 6)})
    large = slices.model(64, **M2)
    recipe = slices.recipe(EXPERT, "round-to-nearest")
    folder = f"{slices.work}/shares"
    for share in ("1/2", "2/2"):
        Run([INGOT, "quantize", large, "--recipe", recipe, "--shard", share, "-o", folder, "--force", "--no-source-hash"])
    target = f"{slices.work}/assembled.ingot"
    done = slices.least(
        "assemble", [INGOT, "assemble", folder, "-o", target, "--force", "--threads", "1", "--no-source-hash"])
    costs.assembled = done / size_of(target)
    costs.measured.append({"what": f"assembling {size_of(target) / 1e6:.0f} MB", "seconds": round(done, 3)})
    read = sum(map(os.path.getsize, weights_of(large)))
    wall = min(raw_copy(large, read, slices.work)[0] for _ in range(slices.rounds))
    costs.disk_read = costs.disk_write = read / wall
    costs.measured.append({"what": f"copying {read / 1e6:.0f} MB past the page cache", "seconds": round(wall, 3)})


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown processor"


def measure(work: str, rounds: int) -> Costs:
    os.makedirs(work, exist_ok=True)
    costs = Costs(machine=processor(), date=f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}")
    slices = Slices(work, rounds)
    for step in (units, scaling, statistics, forward, conversions):
        step(slices, costs)
    return costs
