"""Values of planes: *Planes* in SPEC.md. Every operation is one rounding to F32."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from . import ggml_blocks, trellis_codes
from .encodings import Encoding

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
T = TypeVar("T", np.float32, np.int32)

# What numpy calls the dense types that it has.
NATIVE = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "C64": "<c8"}


def float8(mantissa: int, bias: int, infinities: bool) -> Floats:
    """The 256 values of an 8-bit float. E4M3 has no infinities: only its last code of each sign is NaN."""
    codes = np.arange(128)
    exponent, fraction = codes >> mantissa, codes & (1 << mantissa) - 1
    values = np.where(exponent > 0, np.ldexp(1 + fraction / (1 << mantissa), exponent - bias),
                      np.ldexp(fraction / (1 << mantissa), 1 - bias))
    if infinities:
        values[exponent == 31] = [np.inf, np.nan, np.nan, np.nan]
    else:
        values[127] = np.nan
    return np.concatenate([values, -values]).astype(np.float32)


POWERS = np.append(np.ldexp(1.0, np.arange(-127, 128)), np.nan).astype(np.float32)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
FLOAT8 = {"F8_E4M3": float8(3, 7, False), "F8_E5M2": float8(2, 15, True)}


def decode(scheme: Encoding, rows: int, columns: int, planes: Sequence[Bytes]) -> Floats:
    """Values of a decodable encoding, from its planes as `Tensor.plane` gives them: (rows, columns)."""
    # Infinite scales and products past the largest F32 are what the file says.
    with np.errstate(all="ignore"):
        if scheme.kind == "dense":
            return floats(scheme.type, planes[0])
        if scheme.layout is not None:
            return ggml_blocks.decode(scheme.layout, planes[0])
        if scheme.kind == "trellis":
            words = planes[0].reshape(-1).copy().view("<u4").reshape(trellis_codes.words_of(rows, scheme.halves), columns)
            scales, others = floats("F32", planes[1]).reshape(-1), floats("F16", planes[2]).reshape(-1)
            return trellis_codes.decode(scheme.halves, scheme.window, words, scales, others)
        if scheme.kind == "block scaled":
            scales = floats(scheme.scale, planes[1])
            scales = scales.repeat(scheme.block[0], 0)[:rows] if rows else scales
            return floats(scheme.type, planes[0]) * spread(scales, scheme.block[1], columns)
        if scheme.kind == "micro-scaled":
            return micro_scaled(scheme, columns, planes)
        return affine(scheme, columns, planes)


def micro_scaled(scheme: Encoding, columns: int, planes: Sequence[Bytes]) -> Floats:
    """code · s, with s divided or multiplied by the global scale where there is one."""
    scales = POWERS[planes[1]] if scheme.scale == "F8_E8M0" else floats(scheme.scale, planes[1])
    if scheme.global_scale and scales.size:
        number = planes[2].copy().view("<f4")
        scales = scales / number if scheme.global_scale == 1 else scales * number
    codes = floats("F8_E4M3", planes[0]) if scheme.type == "F8_E4M3" else E2M1[unpack(planes[0], 4, columns)]
    return codes * spread(scales, scheme.group, columns)


def affine(scheme: Encoding, columns: int, planes: Sequence[Bytes]) -> Floats:
    """s · (u − half of the codes), s · (u − z) or s · u + b."""
    group = scheme.group or max(columns, 1)
    scales = floats(scheme.scale, planes[1])
    s, u = spread(scales, group, columns), unpack(planes[0], scheme.bits, columns)
    if scheme.offset == "sym":
        return s * (u - (1 << scheme.bits - 1)).astype(np.float32)
    if scheme.offset == "zero":
        z = spread(unpack(planes[2], scheme.bits, scales.shape[1]), group, columns)
        return s * (u - z).astype(np.float32)
    return s * u.astype(np.float32) + spread(floats(scheme.scale, planes[2]), group, columns)


def floats(kind: str, plane: Bytes) -> Floats:
    """Values of a plane of F32, F16, BF16, F8_E4M3 or F8_E5M2: (rows, columns)."""
    plane = np.ascontiguousarray(plane)
    if kind in FLOAT8:
        return FLOAT8[kind][plane]
    if kind == "BF16":
        return (plane.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return plane.view({"F32": "<f4", "F16": "<f2"}[kind]).astype(np.float32)


def unpack(plane: Bytes, bits: int, columns: int) -> npt.NDArray[np.int32]:
    """Codes out of each row's stream of bits: (rows, columns)."""
    stream = np.unpackbits(np.ascontiguousarray(plane), axis=1, bitorder="little")[:, :columns * bits]
    return stream.reshape(len(plane), columns, bits).astype(np.int32) @ (1 << np.arange(bits, dtype=np.int32))


def spread(groups: npt.NDArray[T], width: int, columns: int) -> npt.NDArray[T]:
    """(rows, groups) → (rows, columns): what each column's group has."""
    return groups[:, np.arange(columns) // width]
