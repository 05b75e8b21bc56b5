"""Values of GGML blocks, as the tables under *GGML blocks* of SPEC.md give them. Needs numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import ggml_points

Array = npt.NDArray[Any]

CURVE = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)
TWICE_E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)


class Layout:
    """A block type: `weights` of a block and of a `part`, `bytes` of a block, `fields` by name: (start, end)."""

    def __init__(self, name: str, weights: int, part: int, fields: str, value: int | Array) -> None:
        self.name, self.weights, self.part, self.value = name, weights, part, value
        self.fields: dict[str, tuple[int, int]] = {}
        self.bytes = 0
        words = fields.split()
        for field, size in zip(words[::2], map(int, words[1::2]), strict=True):
            self.fields[field] = (self.bytes, self.bytes + size)
            self.bytes += size


# By number. Last comes what is taken from a code to give v(u), or the table of v.
LAYOUTS = {
    2: Layout("Q4_0", 32, 32, "d 2 halves 16", 8),
    3: Layout("Q4_1", 32, 32, "d 2 m 2 halves 16", 0),
    6: Layout("Q5_0", 32, 32, "d 2 fifth 4 halves 16", 16),
    7: Layout("Q5_1", 32, 32, "d 2 m 2 fifth 4 halves 16", 0),
    8: Layout("Q8_0", 32, 32, "d 2 codes 32", 0),
    10: Layout("Q2_K", 256, 16, "multiples 16 pairs 64 d 2 m 2", 0),
    11: Layout("Q3_K", 256, 16, "third 32 pairs 64 multiples 12 d 2", 4),
    12: Layout("Q4_K", 256, 32, "d 2 m 2 multiples 12 halves 128", 0),
    13: Layout("Q5_K", 256, 32, "d 2 m 2 multiples 12 fifth 32 halves 128", 0),
    14: Layout("Q6_K", 256, 16, "halves 128 pairs 64 multiples 16 d 2", 32),
    20: Layout("IQ4_NL", 32, 32, "d 2 halves 16", CURVE),
    23: Layout("IQ4_XS", 256, 32, "d 2 multiples 6 halves 128", CURVE),
    39: Layout("MXFP4", 32, 32, "exponent 1 halves 16", TWICE_E2M1)}


def decode(layout: Layout | ggml_points.Layout, plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Values of a plane of blocks, (rows, bytes a row), in F32: (rows, columns)."""
    plane = np.ascontiguousarray(plane)
    rows, columns = len(plane), plane.shape[1] // layout.bytes * layout.weights
    count = rows * columns // layout.weights
    blocks = plane.reshape(count, layout.bytes)
    if isinstance(layout, ggml_points.Layout):
        return ggml_points.decode(layout, blocks).reshape(rows, columns)
    parts = layout.weights // layout.part
    field = {name: np.ascontiguousarray(blocks[:, start:end]) for name, (start, end) in layout.fields.items()}
    if "exponent" in field:
        d = np.ldexp(np.float32(1), field["exponent"].astype(np.int32) - 128)
    else:
        d = field["d"].view("<f2").astype(np.float32)
    s, t = multiples(layout.name, field.get("multiples"), (count, parts))
    u = codes(layout, field)
    v = (layout.value[u] if isinstance(layout.value, np.ndarray) else u - np.int8(layout.value)).astype(np.float32)
    # Products are exact. As integers, s · v would lose the sign of a zero.
    values = (d * s)[:, :, None] * v.reshape(count, parts, layout.part)
    if t is not None:
        values = values - (field["m"].view("<f2").astype(np.float32) * t)[:, :, None]
    return values.reshape(rows, columns)


def codes(layout: Layout, field: dict[str, Array]) -> Array:
    """The codes u of all blocks, (blocks, weights)."""
    if "codes" in field:
        return field["codes"].view(np.int8)
    if layout.weights == 32 or layout.name == "IQ4_XS":
        run = 32
    else:
        run = 128 if layout.name == "Q6_K" else 64
    u: Array = np.uint8(0)  # type: ignore[assignment]
    if "halves" in field:
        u = gather(field["halves"], run // 2, 4)
    if "pairs" in field:
        u = u | gather(field["pairs"], 32, 2) << (4 if layout.name == "Q6_K" else 0)
    if "third" in field:
        u = u | gather(field["third"], 32, 1) << 2
    if "fifth" in field:
        bits = field["fifth"]
        u = u | (gather(bits, 32, 1) if layout.weights == 256 else np.unpackbits(bits, axis=1, bitorder="little")) << 4
    return u.astype(np.int8)


def gather(field: Array, run: int, bits: int) -> Array:
    """Of each `run` bytes the lowest `bits` of every byte, then the next ones of every byte, and so on."""
    count, size = field.shape
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return (field.reshape(count, size // run, 1, run) >> shifts & ((1 << bits) - 1)).reshape(count, size * 8 // bits)


def multiples(name: str, field: Array | None, shape: tuple[int, int]) -> tuple[Array, Array | None]:
    """The multiples s of d and t of m, each (blocks, parts), in F32; t is None where there is no m."""
    if name in ("Q4_1", "Q5_1"):
        return np.ones(shape, np.float32), -np.ones(shape, np.float32)
    if field is None:
        return np.ones(shape, np.float32), None
    s: Array
    t: Array | None
    if name == "Q2_K":
        s, t = field & 15, field >> 4
    elif name == "Q6_K":
        s, t = field.view(np.int8), None
    elif name == "Q3_K":
        s, t = (gather(field[:, :8], 8, 4) | gather(field[:, 8:], 4, 2) << 4) - np.float32(32), None
    elif name == "IQ4_XS":
        low = np.stack([field[:, 2:] & 15, field[:, 2:] >> 4], 2).reshape(shape)
        high = np.stack([field[:, :2] >> shift & 3 for shift in (0, 2, 4, 6)], 2).reshape(shape)
        s, t = (low | high << 4) - np.float32(32), None
    else:
        first, second, both = field[:, :4], field[:, 4:8], field[:, 8:]
        s = np.hstack([first & 63, both & 15 | first >> 6 << 4])
        t = np.hstack([second & 63, both >> 4 | second >> 6 << 4])
    return s.astype(np.float32), None if t is None else t.astype(np.float32)
