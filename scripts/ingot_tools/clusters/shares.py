"""Which tensors a share has: the rule of Sources/IngotFormats/Shares/Share.swift."""
from __future__ import annotations

from .units import Tensor


def shares(tensors: list[Tensor], count: int, calibrated: bool) -> list[list[Tensor]]:
    """The tensors of each of `count` shares: whole experts, about as costly as the others."""
    groups: dict[object, list[Tensor]] = {}
    for tensor in tensors:
        key = (tensor.layer, tensor.expert) if tensor.layer is not None else tensor.name
        groups.setdefault(key, []).append(tensor)

    def cost(tensor: Tensor) -> float:
        is_chosen = calibrated and tensor.is_linear
        return float(tensor.weights) * (64 + tensor.columns if is_chosen else 64)

    costs = [sum(map(cost, members)) for members in groups.values()]
    total, before = sum(costs), 0.0
    found: list[list[Tensor]] = [[] for _ in range(count)]
    for members, own in zip(groups.values(), costs):
        place = (before + own / 2) / total * count if total else 0.0
        found[min(int(place), count - 1)] += members
        before += own
    return found
