"""What units of work cost on one core, from a few measured ones."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from .units import Architecture, Unit

# Tokens of the layer at large that every expert's Hessian has, a sixteenth of the width.
SHARED_TOKENS = 16


@dataclass
class Costs:
    """Seconds of one core for each of a unit's kinds of work, and rates of machines."""

    # Seconds for a floating-point operation on tokens, on factors and inverses, on rows that are chosen.
    tokens: float = 0.0
    factors: float = 0.0
    rows: float = 0.0
    # Seconds for a weight: round to nearest with least squares, decoding; for the forward pass an operation and a weight.
    streamed: float = 0.0
    forward_operation: float = 0.0
    forward_weight: float = 0.0
    # And for a value of a token's hidden state in each layer: norms, attention, activations.
    forward_value: float = 0.0
    # Seconds for a byte of statistics before it is compressed: to write and to read; bytes stored for one.
    statistics_write: float = 0.0
    statistics_read: float = 0.0
    statistics_ratio: float = 1.0
    # Seconds of a layer's search for channel scales.
    scaling_layer: float = 0.0
    # Seconds for a byte that is assembled; for a unit in a journal, with all that is around it.
    assembled: float = 0.0
    unit: float = 0.0
    # Bytes per second that the disk reads and writes.
    disk_read: float = 1e9
    disk_write: float = 1e9
    # What was measured and how far the fitted costs are from it, and where.
    machine: str = ""
    date: str = ""
    measured: list[dict[str, float | str]] = field(default_factory=list)

    @staticmethod
    def load(path: str) -> Costs:
        with open(path) as file:
            return Costs(**json.load(file))

    def save(self, path: str) -> None:
        with open(path, "w") as file:
            json.dump(asdict(self), file, indent=1)
            file.write("\n")

    def calibrated(self, unit: Unit, tokens: int) -> float:
        """Seconds of a unit with statistics, whose Hessian is of so many tokens."""
        on_tokens, on_factors, on_rows = operations([(t.rows, t.columns) for t in unit.tensors], tokens, is_expert(unit))
        return self.tokens * on_tokens + self.factors * on_factors + self.rows * on_rows + self.unit

    def seconds(self, unit: Unit, model: Architecture, tokens: int) -> float:
        """Seconds of a unit, where `tokens` went through the model."""
        if not unit.statistics:
            return self.streamed * unit.weights + self.unit
        if unit.whole:
            # The factor of its Hessian is made once: each part has its share of it.
            return unit.share * self.seconds(unit.whole, model, tokens)
        one = unit.tensors[0]
        own = tokens * model.active // model.experts if one.expert is not None else tokens
        return self.calibrated(unit, own)


def is_expert(unit: Unit) -> bool:
    """Whether inputs are tokens that go through it, rather than a Hessian that is there."""
    return {tensor.kind for tensor in unit.tensors} == {"gate", "up", "down"}


def operations(shapes: list[tuple[int, int]], tokens: int, expert: bool) -> tuple[float, float, float]:
    """Floating-point operations on tokens, on Hessians' factors and on rows, of a unit of tensors of these shapes."""
    widths = sorted({columns for _, columns in shapes})
    on_factors = sum(2 * columns**3 / 3 for columns in widths)
    on_rows = float(sum(rows * columns**2 for rows, columns in shapes))
    if not expert:
        return 0.0, on_factors, on_rows
    hidden = shapes[0][1]
    inner = tokens + hidden // SHARED_TOKENS
    on_tokens = float(tokens) * hidden**2 + sum(2.0 * inner * rows * columns for rows, columns in shapes)
    on_tokens += inner * float(shapes[0][0]) ** 2
    return on_tokens, on_factors, on_rows


def fitted(rows: list[tuple[list[float], float]]) -> list[float]:
    """Coefficients that are not negative, by least squares of relative errors: columns that would be negative are left out."""
    import numpy as np

    matrix = np.array([[value / seconds for value in values] for values, seconds in rows])
    used = list(range(matrix.shape[1]))
    while True:
        scale = np.abs(matrix[:, used]).max(0)
        found = np.linalg.lstsq(matrix[:, used] / scale, np.ones(len(rows)), rcond=None)[0] / scale
        if (found >= 0).all():
            break
        used.pop(int(np.argmin(found * scale)))
    coefficients = [0.0] * matrix.shape[1]
    for index, value in zip(used, found):
        coefficients[index] = float(value)
    return coefficients


def statistics_bytes(model: Architecture, layer: int, tokens: int) -> float:
    """Bytes of a layer's statistics before they are compressed: triangles of Hessians in F32, experts' inputs in BF16."""
    own = [t for t in model.tensors if t.layer == layer]
    triangles = {t.columns for t in own if t.kind in ("query", "output", "inner query", "inner key")}
    hessians = sum(2.0 * columns * (columns + 1) for columns in triangles)
    hessians += 2.0 * model.hidden * (model.hidden + 1) * (2 if layer == model.layers - 1 else 1)
    shared = [t for t in own if t.kind == "down" and t.expert is None]
    hessians += sum(2.0 * t.columns * (t.columns + 1) for t in shared)
    return hessians + 2.0 * tokens * model.hidden + 8.0 * tokens * model.active
