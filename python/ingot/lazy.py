"""Tensors that transformers decodes when it loads them: they look as slices of the safetensors package do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .records import Tensor
from .torch_tensors import NATIVE

NAMES = {dtype: name for name, dtype in NATIVE.items()}


class Lazy:
    """A tensor of a shape and type that `make` gives when `[...]` asks for it; it is not kept."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, make: Callable[[], torch.Tensor]) -> None:
        self.shape, self.dtype, self._make = torch.Size(shape), dtype, make

    def __getitem__(self, index: Any) -> torch.Tensor:
        return self._make()[index]

    def get_shape(self) -> list[int]:
        return list(self.shape)

    def get_dtype(self) -> str:
        return NAMES[self.dtype]


def of(tensor: Tensor, verify: bool) -> Lazy:
    """What `Tensor.to_torch` gives, when it is asked for."""
    dense = tensor.encoding.kind == "dense"
    dtype = NATIVE.get(tensor.encoding.type, torch.float32) if dense else torch.float32
    return Lazy(tensor.shape, dtype, lambda: tensor.to_torch(verify=verify))
