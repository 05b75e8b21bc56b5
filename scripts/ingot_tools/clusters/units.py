"""Units of work of published models, from the shapes of their tensors."""
from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace

from ingot_tools.checkpoints import MODELS as PUBLISHED
from ingot_tools.fixtures import make_checkpoint

BYTES = {"F8_E4M3": 1, "U8": 1, "BF16": 2, "F32": 4, "I32": 4}
Shape = tuple[str, str, list[int]]


@dataclass(frozen=True)
class Tensor:
    """A stored tensor; its scales count among its bytes."""

    name: str
    rows: int
    columns: int
    bytes: int
    layer: int | None
    expert: int | None
    kind: str
    file: int = 0

    @property
    def weights(self) -> int:
        return self.rows * self.columns

    @property
    def is_linear(self) -> bool:
        return self.kind not in ("norm", "router") and self.columns > 1


@dataclass(frozen=True)
class Unit:
    """Tensors that are made together. One without statistics streams a single tensor."""

    tensors: tuple[Tensor, ...]
    statistics: bool
    # Of a unit that was cut by rows: the whole, and which share of it this is.
    whole: Unit | None = None
    share: float = 1.0

    @property
    def layer(self) -> int | None:
        return self.tensors[0].layer

    @property
    def bytes(self) -> int:
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def weights(self) -> int:
        return sum(tensor.weights for tensor in self.tensors)


@dataclass
class Architecture:
    """What the simulation knows of a model, its tensors in the order of the command."""

    name: str
    hidden: int
    layers: int
    experts: int
    active: int
    vocabulary: int
    # Floating-point operations of one token's scores and sums in the attention, at a context of 512.
    attention: float
    tensors: list[Tensor] = field(default_factory=list)
    files: int = 0

    @property
    def bytes(self) -> int:
        return sum(tensor.bytes for tensor in self.tensors)


KINDS = (
    (r"(norm|bias|\.q_norm|\.k_norm)", "norm"),
    (r"(mlp|block_sparse_moe)\.gate\.weight$", "router"),
    (r"(w1|gate_proj)\.weight$", "gate"),
    (r"(w3|up_proj)\.weight$", "up"),
    (r"(w2|down_proj)\.weight$", "down"),
    (r"\.(q_proj|q_a_proj)\.weight$", "query"),
    (r"\.(k_proj|kv_a_proj_with_mqa)\.weight$", "key"),
    (r"\.v_proj\.weight$", "value"),
    (r"\.q_b_proj\.weight$", "inner query"),
    (r"\.kv_b_proj\.weight$", "inner key"),
    (r"\.o_proj\.weight$", "output"),
    (r"embed_tokens\.weight$", "embedding"),
    (r"head(\.head)?\.weight$", "head"),
    (r"eh_proj\.weight$", "prediction"),
)


def kind(name: str) -> str:
    return next((kind for pattern, kind in KINDS if re.search(pattern, name)), "other")


def is_known(tensor: Tensor) -> bool:
    return tensor.kind != "other"


def tensors(stored: Iterable[Shape], file_bytes: int = 4_000_000_000) -> list[Tensor]:
    """Weights with their scales, as they lie in files of a size."""
    stored = list(stored)
    sizes = {name: BYTES[dtype] * math.prod(shape) for name, dtype, shape in stored}
    found, filled = [], 0
    for name, _, shape in stored:
        size = sizes[name]
        filled += size
        if name.endswith("_scale_inv"):
            continue
        layer, expert = re.search(r"layers\.(\d+)\.", name), re.search(r"experts\.(\d+)\.", name)
        found.append(
            Tensor(
                name, shape[0], shape[1] if len(shape) > 1 else 1, size + sizes.get(name + "_scale_inv", 0),
                int(layer[1]) if layer else None, int(expert[1]) if expert else None, kind(name), filled // file_bytes))
    return found


def in_order(tensors: list[Tensor]) -> list[Tensor]:
    """The embedding, layer by layer what an expert does not have and the experts, the rest."""

    def place(tensor: Tensor) -> tuple[int, int]:
        if tensor.layer is None:
            return (-1, 0) if tensor.kind == "embedding" else (1 << 30, tensor.kind == "head")
        return (tensor.layer, -1 if tensor.expert is None else tensor.expert)

    return sorted(tensors, key=place)


def units(model: Architecture, calibrated: bool, wanted: set[str] | None = None, piece: int | None = None) -> list[Unit]:
    """Units of work, those of `wanted` tensors: linear layers that read one tap of a mixer, an expert's projections, the head.

    With `piece`, units that are no routed expert's are cut by rows into parts of so many values.
    """
    groups: dict[object, list[Tensor]] = {}
    for tensor in model.tensors:
        if wanted is not None and tensor.name not in wanted:
            continue
        key: object = tensor.name
        if calibrated and tensor.is_linear and tensor.kind != "embedding" and not (tensor.layer or 0) >= model.layers:
            if tensor.kind in ("gate", "up", "down"):
                shared = "shared" in tensor.name
                key = (tensor.layer, tensor.expert, shared)
            elif tensor.kind in ("query", "key", "value"):
                key = (tensor.layer, "siblings")
            elif tensor.kind == "head":
                key = "head"
            else:
                key = (tensor.layer, tensor.kind)
        groups.setdefault(key, []).append(tensor)
    found = []
    for key, members in groups.items():
        whole = Unit(tuple(members), statistics=not isinstance(key, str) or key == "head")
        found += parts(whole, piece) if piece and whole.statistics else [whole]
    return found


def parts(unit: Unit, piece: int) -> list[Unit]:
    """A unit cut by rows into parts of at most so many values, unless it is a routed expert's."""
    if unit.tensors[0].expert is not None:
        return [unit]
    found = []
    for tensor in unit.tensors:
        rows = max(piece // tensor.columns, 1)
        for first in range(0, tensor.rows, rows):
            size = min(rows, tensor.rows - first)
            cut = Tensor(
                f"{tensor.name} {first}", size, tensor.columns, tensor.bytes * size // tensor.rows, tensor.layer, tensor.expert,
                tensor.kind, tensor.file)
            found.append(Unit((cut,), True, unit, cut.weights / unit.weights))
    return found


def minimax_m2(layers: int = 62, experts: int = 256, hidden: int = 3072, width: int = 1536, heads: int = 48, kv_heads: int = 8,
               head_dim: int = 128, vocabulary: int = 200_064, active: int = 8) -> Architecture:
    shapes = SimpleNamespace(
        layers=layers, experts=experts, hidden=hidden, width=width, heads=heads, kv_heads=kv_heads, head_dim=head_dim,
        vocabulary=vocabulary)
    found = in_order(tensors(make_checkpoint.tensors(shapes), 1_780_000_000))
    return Architecture(
        "MiniMax-M2", hidden, layers, experts, active, vocabulary, 4.0 * 256 * heads * head_dim * layers, found,
        1 + max(tensor.file for tensor in found))


def deepseek_v3() -> Architecture:
    published = PUBLISHED["deepseek-v3"]()
    config = published.config
    found = in_order(tensors(published.tensors()))
    return Architecture(
        "DeepSeek-V3", config["hidden_size"], config["num_hidden_layers"], config["n_routed_experts"],
        config["num_experts_per_tok"], config["vocab_size"],
        2.0 * 256 * config["num_attention_heads"] * (192 + 128) * config["num_hidden_layers"], found,
        1 + max(tensor.file for tensor in found))


MODELS = {"minimax-m2": minimax_m2, "deepseek-v3": deepseek_v3}
