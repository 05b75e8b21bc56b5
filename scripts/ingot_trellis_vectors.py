"""Tensors in trellis codes for make-ingot-vectors, and files with broken ones: bit by bit, unlike the reader."""

import struct

import numpy as np

from ingot_bad_cases import u32, u64
from ingot_vector_tensors import Source, Tensor, matrix


def trellis(name, shape, halves, window, **place):
    rows, columns = matrix(shape)
    source = Source(name)
    count = -(-rows // 64) * halves
    words = [source.integers(columns, 1 << 32) for _ in range(count)]
    row_bytes, row_scales = source.floats("F32", rows if columns else 0, -12, -4)
    column_bytes, column_scales = source.floats("F16", columns if rows else 0, -3, 3)
    values = np.zeros((rows, columns), np.float32)
    for row in range(rows):
        first = row // 256 * 256
        ring = words[first // 64 * halves:(first + 256) // 64 * halves]
        end = (row - first + 1) * halves // 2
        for column in range(columns):
            state = 0
            for place_in_state in range(window):
                bit = (end - window + place_in_state) % (32 * len(ring))
                state |= (ring[bit // 32][column] >> bit % 32 & 1) << place_in_state
            product = state * 0x83DCD12D % (1 << 32)
            value = sum(product.to_bytes(4, "little")) - 510
            values[row, column] = np.float32(np.float32(value) * row_scales[row]) * column_scales[column]
    planes = [b"".join(struct.pack(f"<{columns}I", *line) for line in words), row_bytes, column_bytes]
    digits = f"{halves // 2}{'.5' if halves % 2 else ''}"
    return Tensor(name, "unknown", shape, bytes([5, halves, window]), planes, values,
                  encoding=f"trellis-{digits}{'' if window == 12 else f' w{window}'}", **place)


def every_trellis():
    """Every number of bits, states of every width, and rows that fill rings and that do not."""
    place = dict(layer=0)
    tensors = []
    for halves in range(3, 9):
        for rows, columns in ((1, 1), (64, 3), (70, 17), (256, 2), (300, 5)):
            tensors.append(trellis(f"trellis.{halves}.{rows}x{columns}", [rows, columns], halves, 12, **place))
        for window in (8, 9, 16):
            tensors.append(trellis(f"trellis.{halves}.w{window}", [130, 4], halves, window, **place))
    for window in (10, 11, 13, 14, 15):
        tensors.append(trellis(f"trellis.5.w{window}", [65, 3], 5, window, **place))
    tensors.append(trellis("trellis.stack", [2, 3, 33, 7], 4, 12, **place))
    tensors.append(trellis("trellis.vector", [9], 5, 12, **place))
    tensors.append(trellis("trellis.scalar", [], 5, 12, **place))
    tensors.append(trellis("trellis.empty", [0, 8], 6, 12, **place))
    tensors.append(trellis("trellis.none", [8, 0], 6, 12, **place))
    return tensors


def bad_trellis(bad):
    """Records and shapes that are none."""
    artifact = bad.artifact
    records = list(dict.fromkeys(tensor.record for tensor in artifact.tensors))
    index = records.index(bytes([5, 5, 12]).ljust(32, b"\0"))
    at = artifact.encoding_at[index]
    for title, field, content in (
            ("a bit a weight", 1, b"\2"), ("4½ bits a weight", 1, b"\x09"), ("states of 7 bits", 2, b"\7"),
            ("states of 17 bits", 2, b"\x11"), ("a byte after them", 3, b"\1"), ("a group", 8, u32(16)),
            ("last byte", 31, b"\1")):
        bad.add(f"trellis: {title}", [f"byte {at}", "encoding", f"record {index}"], [(at + field, content)], "d")
    tensor = artifact.tensor_at["trellis.5.70x17"]
    bad.add("trellis: a row more than 128", ["trellis.5.70x17", "bytes", f"byte {tensor + 72}"], [(tensor + 32, u32(129))], "d")
    bad.add("trellis: a step of rows less", ["trellis.5.70x17", "bytes", f"byte {tensor + 72}"], [(tensor + 32, u32(64))], "d")
    empty = artifact.tensor_at["trellis.empty"]
    bad.add("trellis: bytes without rows", ["trellis.empty", "bytes", f"byte {empty + 72}"], [(empty + 72, u64(64))], "d")
