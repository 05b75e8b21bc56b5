"""Tables of docs/results/clusters.md."""
from __future__ import annotations

from . import stages
from .costs import Costs
from .stages import Cluster, Rules, Stage
from .units import Architecture

NODES = (1, 4, 16, 64)
LINKS = (1.0, 10.0)
WORKERS = (1, 2, 4, 16, 64)


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 3 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    return f"{count / 1e12:.2f} TB" if count >= 1e12 else f"{count / 1e9:.0f} GB"


def percent(share: float) -> str:
    return f"{100 * min(share, 1):.0f} %"


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def head(cells: list[str], left: int = 1) -> list[str]:
    return [row(cells), "|" + "---|" * left + "---:|" * (len(cells) - left)]


def whole(model: Architecture, costs: Costs, rules: Rules, cluster: Cluster, tokens: int, held_out: int) -> dict[str, Stage]:
    """All stages as examples/slurm runs them: shares on all nodes, the others on one."""
    one = Cluster(1, cluster.gigabits, cluster.has_server, cluster.cores)
    return {
        "calibrate": stages.forward(model, costs, one, tokens, 1, False, True),
        "quantize": stages.quantize(model, costs, cluster, rules, tokens),
        "assemble": stages.assemble(model, costs, one),
        "verify": stages.forward(model, costs, one, held_out, 2, True, False),
    }


def cluster_table(models: list[Architecture], costs: Costs, rules: Rules, has_server: bool, tokens: int, held_out: int) -> list[str]:
    lines = head(["model", "link", "nodes", "calibrate", "quantize", "assemble", "verify", "all", "over the network",
                  "quantize: cores busy", "link busy"], 2)
    for model in models:
        for gigabits in LINKS:
            for nodes in NODES:
                found = whole(model, costs, rules, Cluster(nodes, gigabits, has_server), tokens, held_out)
                lines.append(row([
                    model.name, f"{gigabits:.0f} Gbit/s", str(nodes), *(duration(stage.seconds) for stage in found.values()),
                    duration(sum(stage.seconds for stage in found.values())), size(sum(stage.bytes for stage in found.values())),
                    percent(found["quantize"].busy), percent(found["quantize"].link)]))
    return lines


def limit(stage: Stage) -> str:
    """What a stage waits for: the largest part of its time."""
    parts = {
        "the link": stage.link * stage.seconds, "what each share does before its first unit": stage.begin,
        "the longest unit": stage.longest, "the cores": stage.busy * stage.seconds}
    return max(parts, key=lambda name: parts[name])


def scaling_table(models: list[Architecture], costs: Costs, choices: list[Rules], tokens: int) -> list[str]:
    """Up to how many nodes twice as many take less than two thirds of the time."""
    lines = head(["model", "storage", "link", *(f"{rules.name}" for rules in choices)], 3 + len(choices))
    for model in models:
        for has_server in (True, False):
            for gigabits in LINKS:
                cells = []
                for rules in choices:
                    before = stages.quantize(model, costs, Cluster(1, gigabits, has_server), rules, tokens)
                    nodes, after = 1, before
                    while nodes < 64:
                        after = stages.quantize(model, costs, Cluster(2 * nodes, gigabits, has_server), rules, tokens)
                        if after.seconds > before.seconds / 1.5:
                            break
                        nodes, before = 2 * nodes, after
                    last = f"{duration(before.seconds)} on {nodes} node{'s' * (nodes > 1)}"
                    cells.append(f"{last}; then {limit(after)}" if nodes < 64 else f"{last}, and more")
                lines.append(row([model.name, "one server" if has_server else "each node its own link", f"{gigabits:.0f} Gbit/s", *cells]))
    return lines


def machine_table(models: list[Architecture], costs: Costs, choices: list[Rules], tokens: int) -> list[str]:
    lines = head(["model", "disk", "rules", *(f"{count} worker{'s' * (count > 1)}" for count in WORKERS)], 3)
    runs = [(rules.name, rules, True) for rules in choices] + [("least squares without calibration, as built", choices[0], False)]
    for model in models:
        for rate in (None, 7e9):
            for name, rules, calibrated in runs:
                cells = []
                for workers in WORKERS:
                    found = stages.machine(model, costs, workers, rules, tokens, rate, calibrated)
                    cells.append(f"{duration(found.seconds)}, {percent(found.busy)}")
                disk = f"{(rate or costs.disk_read) / 1e9:.1f} GB/s"
                lines.append(row([model.name, disk, name, *cells]))
    return lines


def cost_table(costs: Costs) -> list[str]:
    lines = head(["measured", "processor seconds", "as fitted"])
    for record in costs.measured:
        seconds = float(record["seconds"])
        digits = 2 if seconds >= 0.1 else 3
        fit = f"{float(record['fitted']):.2f}" if "fitted" in record else ""
        lines.append(row([str(record["what"]), f"{seconds:.{digits}f}" if seconds >= 0.01 else f"{1e6 * seconds:.0f} µs", fit]))
    return lines


def page(models: list[Architecture], costs: Costs, built: Rules, sparing: Rules, tokens: int, held_out: int) -> str:
    """docs/results/clusters.md."""
    choices = [built, sparing]
    core_hours = [
        f"{model.name} {sum(costs.seconds(unit, model, tokens) for unit in stages.units(model, True)) / 3600:.1f}" for model in models]
    lines = [
        "# Clusters and many cores",
        "",
        "Calculated, not run: what calibrated GPTQ at 4 bits takes on more machines than there were to measure on. Costs of units are measured",
        "with the command on slices with true shapes, in processor seconds; a simulation plays events with them: cores that take units in the",
        "command's order, links and disks that serve one transfer after the other. Nodes have 16 cores like the one that was measured.",
        "",
        f"`scripts/tools clusters --write`: costs measured by `scripts/tools clusters --measure` on {costs.date}, {costs.machine};",
        f"{tokens:,} tokens of calibration, {held_out:,} of verification, contexts of 512. Core-hours of all units: {', '.join(core_hours)}.",
        "",
        "## Clusters",
        "",
        "As `examples/slurm` runs it: a share on every node, the other stages on one. One file server has the model, the statistics and all",
        "output, behind one link as fast as each node's. As it is, a quantization reads the source twice, once for its SHA-256, and each share hashes",
        "the whole file of statistics before its first unit, so that on one server more nodes take longer:",
        "",
        *cluster_table(models, costs, built, True, tokens, held_out),
        "",
        "Storage that fills every node's own link, such as a parallel file system:",
        "",
        *cluster_table(models, costs, built, False, tokens, held_out),
        "",
        "Where the quantization stops to scale: the time on the most nodes at which twice as many still take less than two thirds of the time,",
        "and what it waits for then. The first column is the command as it is. In the second a share would read the statistics of its own layers",
        "only, and take the SHA-256 of what it reads anyway:",
        "",
        *scaling_table(models, costs, choices, tokens),
        "",
        "## Many cores",
        "",
        "All units on one machine, with the disk that was measured and one of 7 GB/s: time, and the share of it that cores are busy. With",
        "calibration cores stay busy, since large matrices are cut by rows; without, the disk is what ends the scaling.",
        f"Recording a unit is counted as if all of it were under one lock ({1e6 * costs.unit:.0f} µs, an upper bound).",
        "",
        *machine_table(models, costs, choices, tokens),
        "",
        "## Measured costs",
        "",
        *cost_table(costs),
        "",
        f"Fitted: {1e-9 / costs.tokens if costs.tokens else 0:.0f} GFLOP/s on tokens, {1e-9 / costs.rows if costs.rows else 0:.1f} on rows (operations "
        f"of GPTQ alone; refits are in the seconds), {1e-9 / costs.forward_operation if costs.forward_operation else 0:.0f} in the forward pass.",
        f"Statistics: {1e-9 / costs.statistics_read if costs.statistics_read else 0:.2f} GB/s read, "
        f"{1e-9 / costs.statistics_write if costs.statistics_write else 0:.2f} GB/s written, stored at {costs.statistics_ratio:.2f} of their size.",
        f"Disk: {costs.disk_read / 1e9:.2f} GB/s read and written at once.",
    ]
    return "\n".join(lines) + "\n"
