"""Tensors of an artifact as torch has them. Needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .records import Tensor

# Dense types that torch has. Of these numpy lacks BF16 and the 8-bit floats, so bytes are handed over.
NATIVE = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool, "C64": torch.complex64}


def convert(tensor: Tensor, dtype: torch.dtype | None, verify: bool) -> torch.Tensor:
    """What `Tensor.to_torch` says."""
    native = NATIVE.get(tensor.encoding.type) if tensor.encoding.kind == "dense" else None
    if native is None:
        # F32 for encodings; U16 to U64 as numpy has them.
        result = torch.from_numpy(tensor.to_numpy(verify))
    else:
        content = torch.frombuffer(bytearray(tensor.plane(0, verify)), dtype=torch.uint8) if tensor.nbytes else torch.empty(0)
        result = content.view(native).reshape(tensor.shape) if tensor.nbytes else torch.empty(tensor.shape, dtype=native)
    return result.to(dtype) if dtype is not None and result.is_floating_point() else result
