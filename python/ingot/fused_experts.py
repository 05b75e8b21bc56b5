"""Experts of families whose models hold a layer's in one parameter, where transformers does not fuse them as it loads.

Artifacts have a tensor for each projection of each expert. Most families' are stacked by transformers; here are the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

from .lazy import Lazy

EXPERT = re.compile(r"(.*\.)(\w+\.)experts\.(\d+)\.(gate_proj|up_proj|down_proj)\.(weight|bias)")


@dataclass(frozen=True)
class Fused:
    """How a family's model holds the experts of a layer: gate and up in one parameter, down in another."""

    alternate: bool = False  # Rows of gate and up alternate, rather than one following the other.
    inputs_first: bool = False  # (experts, inputs, outputs) rather than (experts, outputs, inputs).
    module: str = ""  # The module that has the experts, where it is not the one that the artifact names.


FAMILIES = {
    "gemma4": Fused(), "gemma4_text": Fused(), "gpt_oss": Fused(alternate=True, inputs_first=True),
    "granitemoe": Fused(module="block_sparse_moe."), "llama4": Fused(inputs_first=True), "llama4_text": Fused(inputs_first=True)}


def replace(config: Any, weights: dict[str, Lazy]) -> None:
    """Puts fused tensors in the place of those of single experts, for the families above."""
    layout = FAMILIES.get(config.model_type)
    if layout is None:
        return
    layers: dict[str, dict[tuple[str, str], dict[int, Lazy]]] = {}
    for name in list(weights):
        match = EXPERT.fullmatch(name)
        if match:
            before, module, index, projection, kind = match.groups()
            layer = f"{before}{layout.module or module}experts"
            of_projection = layers.setdefault(layer, {}).setdefault((projection, kind), {})
            of_projection[int(index)] = weights.pop(name)
    for layer, projections in layers.items():
        for kind, suffix in (("weight", ""), ("bias", "_bias")):
            gate, up, down = (in_order(projections.get((name, kind), {})) for name in ("gate_proj", "up_proj", "down_proj"))
            if down:
                weights[f"{layer}.gate_up_proj{suffix}"] = pairs(gate, up, layout)
                weights[f"{layer}.down_proj{suffix}"] = stacked(down, layout)


def in_order(experts: dict[int, Lazy]) -> list[Lazy]:
    return [experts[index] for index in sorted(experts)]


def values(part: Lazy, layout: Fused) -> torch.Tensor:
    """Weights (outputs, inputs), turned where inputs come first, and biases; in F32, since experts may differ in type."""
    out = part[...].float()
    return out.T if out.dim() == 2 and layout.inputs_first else out


def shape_of(part: Lazy, layout: Fused) -> tuple[int, ...]:
    return tuple(reversed(part.shape)) if layout.inputs_first else tuple(part.shape)


def stacked(parts: list[Lazy], layout: Fused) -> Lazy:
    """One projection of all experts: (experts, …)."""
    shape = len(parts), *shape_of(parts[0], layout)
    return Lazy(shape, torch.float32, lambda: torch.stack([values(part, layout) for part in parts]))


def pairs(gates: list[Lazy], ups: list[Lazy], layout: Fused) -> Lazy:
    """Gate and up of all experts as one, with twice the outputs."""
    shape = list(shape_of(gates[0], layout))
    outputs = len(shape) - 1 if layout.inputs_first else 0
    shape[outputs] *= 2

    def make() -> torch.Tensor:
        out = []
        for gate, up in zip(gates, ups, strict=True):
            both = values(gate, layout), values(up, layout)
            fused = torch.stack(both, outputs + 1).flatten(outputs, outputs + 1) if layout.alternate else torch.cat(both, outputs)
            out.append(fused)
        return torch.stack(out)

    return Lazy((len(gates), *shape), torch.float32, make)
