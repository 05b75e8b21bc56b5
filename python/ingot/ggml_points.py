"""Values of GGML blocks of numbered points and of few values, as the second table under *GGML blocks* of SPEC.md gives
them. Needs numpy and ggml_points.txt beside it."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Layout:
    """A block type: `weights` and `bytes` of a block."""

    def __init__(self, name: str, weights: int, size: int) -> None:
        self.name, self.weights, self.bytes = name, weights, size


LAYOUTS = {number: Layout(name, weights, size) for number, name, weights, size in (
    (16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98), (19, "IQ1_S", 256, 50), (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82), (29, "IQ1_M", 256, 56), (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66), (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18), (42, "Q2_0", 64, 18))}
ENTRIES = {
    "IQ1": np.array([-1, 0, 1], np.float32), "IQ2": np.array([8, 25, 43], np.float32),
    "IQ3_XXS": np.array([4, 12, 20, 28, 36, 44, 52, 62], np.float32), "IQ3_S": np.arange(1, 16, 2, dtype=np.float32)}
TWICE_E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)
POINTS: dict[str, Array] = {}


def points(name: str) -> Array:
    """The entries of all points of a type, (points, 8 or 4)."""
    if not POINTS:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ggml_points.txt")) as file:
            for line in file:
                kind, text = line.split()
                POINTS[kind] = np.frombuffer(bytes.fromhex(text), "<u2").astype(int)
    packed: Array = POINTS["IQ1_S" if name == "IQ1_M" else name][:, None]
    if name.startswith("IQ3"):
        entries: Array = ENTRIES[name][packed >> 3 * np.arange(4) & 7]
    else:
        entries = ENTRIES[name[:3]][packed >> 2 * np.arange(8) & 3]
    return entries


def fields(blocks: Array, at: int, *widths: int) -> Any:
    """Numbers of these widths in bits, one after the other again and again from byte `at` on for as many as given; each
    (blocks, count)."""
    count, widths = widths[0], widths[1:]
    size = count * sum(widths) // 8
    bits = np.unpackbits(np.ascontiguousarray(blocks[:, at:at + size]), axis=1, bitorder="little").astype(int)
    bits, out, start = bits.reshape(len(blocks), count, sum(widths)), [], 0
    for width in widths:
        out.append((bits[:, :, start:start + width] << np.arange(width)).sum(2))
        start += width
    return out[0] if len(out) == 1 else out


def binary16(numbers: Array) -> Array:
    return numbers.astype("<u2").view("<f2").astype(np.float32)


def even(seven: Array) -> Array:
    """Eight sign bits of which an even number is set, from the first seven."""
    return seven | (sum(seven >> k & 1 for k in range(7)) & 1) << 7


def signed(scale: Array, entries: Array, signs: Array) -> Array:
    """scale · entry, negative where the sign's bit is set: (blocks, points, entries of a point)."""
    values = scale[:, :, None] * entries
    return np.where(signs[:, :, None] >> np.arange(entries.shape[2]) & 1, -values, values)


def decode(layout: Layout, blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Values of blocks, (count, bytes of a block), in F32: (count, weights)."""
    name, f32, half = layout.name, np.float32, np.float32(0.5)
    d: Array = np.empty(0) if name in ("IQ1_M", "NVFP4") else binary16(fields(blocks, {"TQ1_0": 52, "TQ2_0": 64}.get(name, 0), 1, 16))
    if name == "IQ2_XXS":
        parts = [fields(blocks, 2 + 8 * part, 1, 8, 8, 8, 8, 7, 7, 7, 7, 4) for part in range(8)]
        numbers = np.hstack([np.hstack(part[:4]) for part in parts])
        signs = even(np.hstack([np.hstack(part[4:8]) for part in parts]))
        scale = d * (half + np.hstack([part[8] for part in parts]).astype(f32)) * f32(0.25)
        values = signed(scale.repeat(4, 1), points(name)[numbers], signs)
    elif name == "IQ2_XS":
        numbers, signs = fields(blocks, 2, 32, 9, 7)
        scale = d * (half + fields(blocks, 66, 16, 4).astype(f32)) * f32(0.25)
        values = signed(scale.repeat(2, 1), points(name)[numbers], even(signs))
    elif name == "IQ2_S":
        numbers = fields(blocks, 2, 32, 8) | fields(blocks, 66, 32, 2) << 8
        scale = d * (half + fields(blocks, 74, 16, 4).astype(f32)) * f32(0.25)
        values = signed(scale.repeat(2, 1), points(name)[numbers], fields(blocks, 34, 32, 8))
    elif name == "IQ3_XXS":
        *signs, scale = fields(blocks, 66, 8, 7, 7, 7, 7, 4)
        signs = even(np.stack(signs, 2).reshape(len(blocks), 32))
        signs = np.stack([signs & 15, signs >> 4], 2).reshape(len(blocks), 64)
        scale = d * (half + scale.astype(f32)) * half
        values = signed(scale.repeat(8, 1), points(name)[fields(blocks, 2, 64, 8)], signs)
    elif name == "IQ3_S":
        numbers = fields(blocks, 2, 64, 8) | fields(blocks, 66, 64, 1) << 8
        scale = d * (1 + 2 * fields(blocks, 106, 8, 4)).astype(f32)
        values = signed(scale.repeat(8, 1), points(name)[numbers], fields(blocks, 74, 64, 4))
    elif name == "IQ1_S":
        *high, scale, down = fields(blocks, 34, 8, 3, 3, 3, 3, 3, 1)
        numbers = fields(blocks, 2, 32, 8) | np.stack(high, 2).reshape(len(blocks), 32) << 8
        scale = (d * (2 * scale + 1).astype(f32)).repeat(4, 1)
        values = scale[:, :, None] * (points(name)[numbers] + np.where(down, f32(-0.125), f32(0.125)).repeat(4, 1)[:, :, None])
    elif name == "IQ1_M":
        high, down = fields(blocks, 32, 32, 3, 1)
        *scale, quarter = fields(blocks, 48, 4, 3, 3, 3, 3, 4)
        d = binary16((quarter << 4 * np.arange(4)).sum(1, keepdims=True))
        scale = (d * (2 * np.stack(scale, 2).reshape(len(blocks), 16) + 1).astype(f32)).repeat(2, 1)
        entries = points(name)[fields(blocks, 0, 32, 8) | high << 8]
        values = scale[:, :, None] * (entries + np.where(down, f32(-0.125), f32(0.125))[:, :, None])
    elif name == "TQ1_0":
        runs = []
        for start, size, digits in ((0, 32, 5), (32, 16, 5), (48, 4, 4)):
            run = blocks[:, start:start + size].astype(int)
            runs += [(run * 3 ** digit % 256 * 3 >> 8) - 1 for digit in range(digits)]
        values = d * np.hstack(runs).astype(f32)
    elif name == "TQ2_0":
        codes = blocks[:, :64].astype(int).reshape(len(blocks), 2, 1, 32) >> np.array([0, 2, 4, 6])[:, None] & 3
        values = d * (codes.reshape(len(blocks), 256) - 1).astype(f32)
    elif name == "NVFP4":
        scale = blocks[:, :4].astype(int)
        exponent, fraction = scale >> 3 & 15, (scale & 7).astype(f32)
        normal = np.ldexp(1 + fraction / 8, exponent - 8)
        scale = np.where(scale == 0x7F, 0, np.where(exponent == 0, np.ldexp(fraction, -10), normal)).astype(f32)
        codes = blocks[:, 4:].reshape(len(blocks), 4, 8)
        values = scale[:, :, None] * TWICE_E2M1[np.concatenate([codes & 15, codes >> 4], 2)]
    elif name == "Q1_0":
        values = d * (2 * fields(blocks, 2, 128, 1) - 1).astype(f32)
    else:
        values = d * (fields(blocks, 2, 64, 2) - 1).astype(f32)
    return values.reshape(len(blocks), layout.weights).astype(np.float32)
