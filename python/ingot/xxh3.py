"""XXH3-64 with seed 0 and the default secret: the checksum of .ingot. Algorithm: xxHash's doc/xxhash_spec.md.

Computed in numpy, or by the package xxhash where that is installed, which is much faster.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Content = bytes | bytearray | memoryview
library: Callable[[Content], int] | None
try:
    from xxhash import xxh3_64_intdigest as library
except ImportError:
    library = None

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
PRIME32 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
PRIME64 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MASK = (1 << 64) - 1
LANES = PRIME32[2], PRIME64[0], PRIME64[1], PRIME64[2], PRIME64[3], PRIME32[1], PRIME64[4], PRIME32[0]
STRIPE_SECRETS = np.array([np.frombuffer(SECRET, "<u8", 8, 8 * stripe) for stripe in range(16)])
SCRAMBLE_SECRET = np.frombuffer(SECRET, "<u8", 8, len(SECRET) - 64)


def word(data: bytes | memoryview, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at:at + size], "little")


def fold(a: int, b: int) -> int:
    product = a * b
    return product & MASK ^ product >> 64


def avalanche(x: int) -> int:
    x = (x ^ x >> 37) * 0x165667919E3779F9 & MASK
    return x ^ x >> 32


def finish(x: int) -> int:
    x = (x ^ x >> 33) * PRIME64[1] & MASK
    x = (x ^ x >> 29) * PRIME64[2] & MASK
    return x ^ x >> 32


def stripes(data: memoryview, secrets: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """What each stripe of 64 bytes adds to the eight lanes: (stripes, 8)."""
    words = np.frombuffer(data, "<u8").reshape(-1, 8)
    keyed = words ^ secrets
    return words[:, [1, 0, 3, 2, 5, 4, 7, 6]] + (keyed & np.uint64(0xFFFFFFFF)) * (keyed >> np.uint64(32))


def xxh3(content: Content) -> int:
    """The checksum of bytes that lie without gaps."""
    return computed(content) if library is None else library(content)


def computed(content: Content) -> int:
    """The same, in numpy."""
    data = memoryview(content).cast("B")
    size = len(data)

    def secret(at: int, size: int = 8) -> int:
        return word(SECRET, at, size)

    def mix(at: int, secret_at: int) -> int:
        return fold(word(data, at) ^ secret(secret_at), word(data, at + 8) ^ secret(secret_at + 8))

    if size == 0:
        return finish(secret(56) ^ secret(64))
    if size <= 3:
        text = data[size - 1] | size << 8 | data[0] << 16 | data[size // 2] << 24
        return finish(text ^ secret(0, 4) ^ secret(4, 4))
    if size <= 8:
        x = (word(data, size - 4, 4) | word(data, 0, 4) << 32) ^ secret(8) ^ secret(16)
        x ^= (x << 49 | x >> 15) & MASK ^ (x << 24 | x >> 40) & MASK
        x = x * 0x9FB21C651E98DF25 & MASK
        x = (x ^ (x >> 35) + size) * 0x9FB21C651E98DF25 & MASK
        return x ^ x >> 28
    if size <= 16:
        low, high = word(data, 0) ^ secret(24) ^ secret(32), word(data, size - 8) ^ secret(40) ^ secret(48)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return avalanche(size + swapped + high + fold(low, high) & MASK)
    total = size * PRIME64[0]
    if size <= 128:
        for i in range((size - 1) // 32 + 1):
            total += mix(16 * i, 32 * i) + mix(size - 16 * i - 16, 32 * i + 16)
        return avalanche(total & MASK)
    if size <= 240:
        total = avalanche(total + sum(mix(16 * i, 16 * i) for i in range(8)) & MASK)
        total += sum(mix(16 * i, 16 * (i - 8) + 3) for i in range(8, size // 16))
        return avalanche(total + mix(size - 16, 119) & MASK)
    # Blocks of 16 stripes: what a block adds is summed at once, only the scrambling between blocks is in turn.
    lanes = np.array(LANES, np.uint64)
    blocks = (size - 1) // 1024
    for start in range(0, blocks, 4096):
        count = min(4096, blocks - start)
        added = stripes(data[1024 * start:1024 * (start + count)], np.tile(STRIPE_SECRETS, (count, 1)))
        for block in added.reshape(count, 16, 8).sum(axis=1, dtype=np.uint64):
            lanes += block
            lanes = (lanes ^ lanes >> np.uint64(47) ^ SCRAMBLE_SECRET) * np.uint64(PRIME32[0])
    rest = (size - 1 - 1024 * blocks) // 64
    lanes += stripes(data[1024 * blocks:1024 * blocks + 64 * rest], STRIPE_SECRETS[:rest]).sum(axis=0, dtype=np.uint64)
    lanes += stripes(data[size - 64:], np.frombuffer(SECRET, "<u8", 8, len(SECRET) - 71))[0]
    for i in range(4):
        total += fold(int(lanes[2 * i]) ^ secret(11 + 16 * i), int(lanes[2 * i + 1]) ^ secret(19 + 16 * i))
    return avalanche(total & MASK)
