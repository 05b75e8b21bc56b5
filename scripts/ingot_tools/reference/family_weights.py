"""Random weights: the spread of each kind of tensor, and tensors of a file that are no part of the model."""

import re
from collections.abc import Callable

import numpy as np
import torch

from ingot_tools.reference.family_base import Case, Shapes, Tensors, seed_of


def kind_of(name: str, dimensions: int, case: Case) -> str:
    """What decides the spread of a tensor; a case's own patterns come first."""
    for pattern, kind in case.draws.items():
        if re.search(pattern, name):
            return kind
    if name.endswith("A_log"):
        return "decay"
    if name.endswith("dt_bias"):
        return "step"
    if name.endswith("bias"):
        return "bias"
    if dimensions == 1:
        return "near one"
    tied = bool(case.config["tie_word_embeddings"])
    return "unit" if "embed_tokens" in name and not tied else "matrix"


def random_tensor(name: str, shape: tuple[int, ...], case: Case, seed: int) -> torch.Tensor:
    """Normal values, scaled by the kind of tensor: large enough that attention and router matter."""
    rng = np.random.Generator(np.random.PCG64(seed_of(seed, case.weight_key, name)))
    normal = rng.standard_normal(shape)
    kind = kind_of(name, len(shape), case)
    match kind:
        case "bias":
            normal *= 0.2
        case "near one":
            normal = 1 + 0.1 * normal
        case "near zero":
            normal *= 0.1
        case "near a third":
            normal = (1 + 0.1 * normal) / 3
        case "matrix":
            normal *= 1.5 / np.sqrt(shape[-1])
        case "small":
            normal *= 0.8 / np.sqrt(shape[-1])
        case "transposed":
            normal *= 1.5 / np.sqrt(shape[-2])
        case "decay":
            # The logarithm of a number between 1 and 8.
            normal = np.log(1 + 7 / (1 + np.exp(-normal)))
        case "step":
            # Its softplus is about 0.1: with the decay, a state that lasts for a few tokens to dozens.
            normal = normal - 2.5
        case "unit":
            pass
        case _:
            raise ValueError(f"{case.name}: no kind of tensor {kind!r}")
    return torch.from_numpy(normal.astype(np.float32))


def randomize(model: torch.nn.Module, case: Case, seed: int) -> None:
    """Every parameter and every stored buffer, each from a seed of its own name."""
    seen: set[int] = set()
    with torch.no_grad():
        for name, tensor in model.state_dict(keep_vars=True).items():
            if tensor.data_ptr() not in seen and kind_of(name, tensor.dim(), case) != "computed":
                seen.add(tensor.data_ptr())
                tensor.copy_(random_tensor(name, tensor.shape, case, seed))


def extra_tensors(tensors: Tensors, case: Case, seed: int) -> Tensors:
    """What else is in the file, like heads for later tokens or a vision tower."""
    return {name: random_tensor(name, shape, case, seed) for name, shape in case.extra(tensors).items()}


def next_token_layer(*shared: str) -> Callable[[Tensors], Shapes]:
    """One more layer after the last, as DeepSeek and GLM store it, and the named tensors as large as the embedding."""
    def shapes(tensors: Tensors) -> Shapes:
        layers = [int(m[1]) for name in tensors if (m := re.match(r"model\.layers\.(\d+)\.", name))]
        last, added = f"model.layers.{max(layers)}.", f"model.layers.{max(layers) + 1}."
        out = {added + name.removeprefix(last): tuple(tensors[name].shape)
               for name in tensors if name.startswith(last)}
        vocabulary, hidden = tensors["model.embed_tokens.weight"].shape
        out |= {added + norm: (hidden,) for norm in ("enorm.weight", "hnorm.weight", "shared_head.norm.weight")}
        out[added + "eh_proj.weight"] = (hidden, 2 * hidden)
        return out | {added + name: (vocabulary, hidden) for name in shared}
    return shapes
