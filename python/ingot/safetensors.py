"""Writes SafeTensors files: a length, a header in JSON, then the values of one tensor after the other."""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .encodings import BITS

if TYPE_CHECKING:
    from .records import Tensor

TARGETS = ("F32", "BF16", "F16")
# Bytes of values that are converted at once.
CHUNK = 1 << 24


def write(path: str, tensors: Sequence[Tensor], dtype: str, overwrite: bool, verify: bool) -> None:
    """What `Artifact.to_safetensors` says."""
    if dtype not in TARGETS:
        raise ValueError(f"expected a dtype out of {', '.join(TARGETS)}, found {dtype!r}")
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"output already exists: {path} (overwrite replaces it)")
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    # Larger types first, so that each begins at a multiple of its size.
    ordered = sorted(tensors, key=lambda tensor: -BITS[stored_type(tensor, dtype)])
    for tensor in ordered:
        kind = stored_type(tensor, dtype)
        size = math.prod(tensor.shape) * BITS[kind] // 8
        header[tensor.name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    handle, unfinished = tempfile.mkstemp(prefix=os.path.basename(path) + ".", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor in ordered:
                for piece in content(tensor, dtype, verify):
                    file.write(piece.data)
            # mkstemp lets nobody else read.
            os.fchmod(file.fileno(), 0o666 & ~current_umask())
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(f"output already exists: {path} (overwrite replaces it)")
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise


def stored_type(tensor: Tensor, dtype: str) -> str:
    """The type that a tensor is written in: its own if it is dense."""
    return tensor.encoding.type if tensor.encoding.kind == "dense" else dtype


def content(tensor: Tensor, dtype: str, verify: bool) -> Iterator[npt.NDArray[Any]]:
    """The bytes of a tensor, in pieces."""
    if tensor.encoding.kind == "dense":
        yield tensor.plane(0, verify)
        return
    values = tensor.values(verify).reshape(-1)
    for start in range(0, len(values), CHUNK // 4):
        yield rounded(values[start:start + CHUNK // 4], dtype)


def rounded(values: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    """F32 as F32, F16 or BF16, little endian, rounded to nearest, ties to even."""
    if dtype == "F32":
        return values.astype("<f4", copy=False)
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype("<f2")
    bits = np.ascontiguousarray(values).view(np.uint32)
    # A NaN keeps its upper bits and stays one; adding could carry it into another number.
    near = bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    return (np.where(np.isnan(values), bits | np.uint32(0x400000), near) >> np.uint32(16)).astype("<u2")


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
