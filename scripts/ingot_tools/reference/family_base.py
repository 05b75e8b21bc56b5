"""What a case of families.py is made of: sizes, configs in new and old spelling, and the `Case` itself."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

Config = dict[str, Any]
Tensors = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]

AUTO = "AutoModelForCausalLM"


@dataclass(frozen=True)
class Shape:
    """Sizes of one case. `width` is the dense feed-forward width, `expert_width` that of one expert."""

    hidden: int = 64
    heads: int = 6
    kv_heads: int = 3
    head_dim: int = 32
    width: int = 96
    layers: int = 2
    vocabulary: int = 257
    experts: int = 0
    top_k: int = 0
    expert_width: int = 0
    window: int = 7
    contexts: int = 2
    tokens: int = 28


class Sizes:
    """Seed 0 gives the sizes as written; any other seed draws different ones, by seed and name."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        self.seed, self.scale = seed, scale

    def of(self, name: str, **base: int) -> Shape:
        """The sizes written in the table, changed if the seed is not 0, times the scale."""
        shape = Shape(**base)
        if self.seed != 0:
            rng = np.random.Generator(np.random.PCG64(seed_of(self.seed, "sizes", name)))
            shape = moved(shape, rng)
        if self.scale != 1.0:
            shape = replace(
                shape,
                # Whole multiples of the head count, as llama demands.
                hidden=max(1, round(shape.hidden * self.scale / shape.heads)) * shape.heads
                if shape.hidden % shape.heads == 0 else round(shape.hidden * self.scale),
                width=round(shape.width * self.scale),
                expert_width=round(shape.expert_width * self.scale),
                vocabulary=round(shape.vocabulary * self.scale))
        if 2 * shape.expert_width == shape.hidden:
            # The shape of a fused tensor must say whether it is transposed.
            shape = replace(shape, expert_width=shape.expert_width + 4)
        return shape

    def pick(self, name: str, *choices: int) -> int:
        """A size that `Shape` has no field for: the first choice for seed 0, else any of them."""
        if self.seed == 0:
            return choices[0]
        return choices[seed_of(self.seed, "pick", name) % len(choices)]


def moved(shape: Shape, rng: np.random.Generator) -> Shape:
    """Other sizes with the same properties: shared heads stay shared, there are at least as many layers."""
    def pick(*choices: int) -> int:
        return int(rng.choice(choices))

    kv_heads = shape.kv_heads if shape.heads == shape.kv_heads else pick(1, 2, 3, 5)
    heads = shape.heads if shape.heads == shape.kv_heads else kv_heads * pick(1, 2, 3, 4)
    hidden = heads * pick(4, 6, 8) if shape.hidden % shape.heads == 0 else shape.hidden + pick(-8, 4, 16, 22)
    hidden = hidden if hidden >= 40 else hidden * 3
    experts = shape.experts and max(shape.top_k + 1, shape.experts + pick(-1, 0, 1, 4))
    return replace(
        shape, kv_heads=kv_heads, heads=heads, hidden=hidden, head_dim=pick(16, 20, 28, 32, 44),
        width=max(12, shape.width + pick(-32, -12, 4, 32)), layers=shape.layers + pick(0, 1, 2),
        vocabulary=shape.vocabulary + pick(-30, 6, 43), experts=experts,
        # Some expert is left out, or a router's choice and its bias would decide nothing.
        top_k=shape.top_k and min(experts - 1, shape.top_k + pick(0, 1)),
        expert_width=shape.expert_width and shape.expert_width + pick(-4, 0, 8, 20),
        window=shape.window + pick(-3, 0, 4), tokens=shape.tokens + pick(-3, 0, 5))


def square(shape: Shape) -> Shape:
    """With head_dim = hidden / heads, and even, for models that have no other."""
    head_dim = max(4, shape.hidden // shape.heads // 2 * 2)
    return replace(shape, head_dim=head_dim, hidden=head_dim * shape.heads)


def flat_rope(config: Config) -> Config:
    """The config's one dictionary of rope parameters, as keys at top level."""
    out = json.loads(json.dumps(config))
    rope = dict(out.pop("rope_parameters"))
    out["rope_theta"] = rope.pop("rope_theta")
    rope_type = rope.pop("rope_type")
    if "partial_rotary_factor" in rope:
        out["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    out["rope_scaling"] = None if rope_type == "default" else {"rope_type": rope_type, **rope}
    return out


@dataclass(frozen=True)
class Legacy:
    """How a config.json of transformers 4, or of the release, spells the same model."""

    rope_type_key: str = "rope_type"
    rename: Mapping[str, str] = field(default_factory=dict)
    omit: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    # For families whose layers differ in rope: from the new spelling to the old one.
    respell_rope: Callable[[Config], Config] = flat_rope

    def rewritten(self, config: Config) -> Config:
        """`config`, as transformers 5 writes it, in the old spelling; only keys in `omit` are dropped."""
        out = self.respell_rope(config)
        if self.rope_type_key != "rope_type" and out["rope_scaling"]:
            scaling = out["rope_scaling"]
            out["rope_scaling"] = {self.rope_type_key: scaling.pop("rope_type"), **scaling}
        out["torch_dtype"] = out.pop("dtype")
        for new, old in self.rename.items():
            out[old] = out.pop(new)
        for key in self.omit:
            del out[key]
        return dict(sorted((out | {"transformers_version": "4.51.0"} | dict(self.extra)).items()))


def as_it_is(config: Config) -> Config:
    return config


def nothing(tensors: Tensors) -> Shapes:
    return {}


def in_order(tensors: Tensors) -> Tensors:
    return tensors


@dataclass(frozen=True)
class Case:
    """One folder: a model, how it is stored, and which config values its golden logits must depend on."""

    name: str
    model_type: str
    shape: Shape
    config: Config
    dtype: str = "float32"
    keep_float32: str = ""  # Regular expression of tensors that stay F32 in a BF16 file.
    draws: Mapping[str, str] = field(default_factory=dict)  # Pattern of names to a kind of family_weights.py.
    extra: Callable[[Tensors], Shapes] = nothing  # Tensors of the file that are no part of the model.
    code: str = ""  # One of family_codes.CODES; "" = plain numbers.
    layout: str = ""  # One of family_storage.LAYOUTS.
    reorder: Callable[[Tensors], Tensors] = in_order  # Before that: rows of the file in another order.
    weights: str = ""  # Cases of one such name and the same sizes have the same weights; "" = own name.
    shard_bytes: int = 0
    rotary: int | Mapping[str, int] = 0  # Rotated dimensions per head, of each kind of layer; 0 = all.
    wrap: Callable[[Config], Config] = as_it_is  # From the text model's config to the one in the file.
    legacy: Legacy = Legacy()
    # Largest relative difference of a token's logits between activations in F32 and in F64.
    rounding: float = 5e-6
    distinct: bool = False  # No two scores of keys may be equal where one is chosen and the other is not.
    # With these values instead, the logits must change; otherwise the case would test nothing.
    differs: tuple[Config, ...] = ()
    # With zeros in the tensors of these patterns, the logits must change.
    needs: tuple[str, ...] = ()
    # transformers' class that must compute the golden logits from the written folder; "" = none can.
    read_by: str = ""
    readable: bool = True  # Whether transformers understands the config in the file.
    golden: bool = True
    written_type: str = ""  # model_type in config.json, if it is one that transformers does not know.
    architecture: str = ""  # `architectures` in config.json, if not what transformers writes.

    @property
    def weight_key(self) -> str:
        return self.weights or self.name

    def rotated(self, kind: str) -> int:
        """Rotated dimensions of the heads in layers of a kind."""
        sizes = self.rotary
        return (sizes if isinstance(sizes, int) else sizes[kind]) or self.shape.head_dim


def seed_of(*parts: object) -> int:
    """A number from any parts, the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little")


def rope(theta: float, kind: str = "default", **more: Any) -> Config:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


DEFAULT_ROPE = rope(10000.0)
# Qwen's releases name a window that use_sliding_window switches off: it must be ignored.
SWITCHED_OFF: Config = {"sliding_window": 5, "max_window_layers": 1}


def common(s: Shape, theta: float = 10000.0, **more: Any) -> Config:
    """What every config says."""
    return {
        "hidden_size": s.hidden, "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads,
        "head_dim": s.head_dim, "intermediate_size": s.width, "num_hidden_layers": s.layers,
        "vocab_size": s.vocabulary, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, **rope(theta), **more,
    }
