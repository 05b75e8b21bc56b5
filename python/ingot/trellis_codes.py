"""Trellis codes, by SPEC.md's section of that name."""

from typing import Any

import numpy as np
import numpy.typing as npt


def words_of(rows: int, halves: int) -> int:
    """Words of a column of so many rows."""
    return -(-rows // 64) * halves


def decode(halves: int, window: int, words: npt.NDArray[Any], scales: npt.NDArray[np.float32],
           columns: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Words (words of a column, columns), scales of rows and of columns in F32 → values (rows, columns)."""
    rows = len(scales)
    states = np.zeros((rows, len(columns)), np.uint64)
    for first in range(0, rows, 256):
        count = min(256, rows - first)
        ring = words[first // 64 * halves:first // 64 * halves + words_of(count, halves)].astype(np.uint64)
        bits = 32 * len(ring)
        start = ((np.arange(count) + 1) * halves // 2 - window) % bits
        low, high, shift = ring[start // 32], ring[(start // 32 + 1) % len(ring)], (start % 32).astype(np.uint64)[:, None]
        states[first:first + count] = ((low | high << np.uint64(32)) >> shift) & np.uint64((1 << window) - 1)
    product = states * np.uint64(0x83DCD12D)
    value = np.full(product.shape, -510, np.int32)
    for byte in range(4):
        value += (product >> np.uint64(8 * byte) & np.uint64(255)).astype(np.int32)
    return value.astype(np.float32) * scales[:, None] * columns[None]
