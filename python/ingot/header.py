"""The files of an artifact and the header of 128 bytes that each begins with: *Header* in SPEC.md."""

import os
import re
import struct

import numpy as np
import numpy.typing as npt

from .errors import FormatError
from .xxh3 import xxh3

MAGIC = b"\x89INGOT\r\n"


class Part:
    """One file: its bytes, mapped, and the fields of its header.

    `data` is (bytes of the file), read only. Raises `FormatError` for a header that is not one of version 1.
    """

    def __init__(self, path: str) -> None:
        self.path, self.size = path, os.path.getsize(path)
        self.data: npt.NDArray[np.uint8] = np.asarray(np.memmap(path, np.uint8, "r") if self.size else np.zeros(0, np.uint8))
        head = self.data[:128].tobytes()
        self._check(len(head) == 128, 0, "an .ingot header of 128 bytes", f"a file of {self.size} bytes")
        fields = struct.unpack("<8s2H3I5Q56sQ", head)
        magic, major, _minor, flags, index, count, length, at, size, directory_sum, _unused, reserved, checksum = fields
        self.index: int = index
        self.count: int = count
        self.directory_at: int = at
        self.directory_bytes: int = size
        self.directory_sum: int = directory_sum
        self._check(magic == MAGIC, 0, "the magic bytes of .ingot", magic.hex(" "))
        self._check(major == 1, 8, "format version 1", major)
        self._check(checksum == xxh3(head[:120]), 120, f"header checksum {checksum:#018x}", f"{xxh3(head[:120]):#018x}")
        self._check(flags == 0, 12, "no flags", f"{flags:#x}")
        self._check(not any(reserved), 64, "zeros in the reserved bytes", "others")
        self._check(index < count <= 99_999, 16, "part < parts ≤ 99999", f"part {index} of {count}")
        self._check(length == self.size, 24, f"a file of {length} bytes", f"{self.size} bytes")
        if index == 0:
            self._check(at == 128 and size <= min(1 << 30, self.size - 128), 32,
                        "a directory at byte 128 that ends in the file", f"byte {at}, {size} bytes")
        else:
            self._check(at == size == 0, 32, "no directory in this part", f"byte {at}, {size} bytes")

    def _check(self, holds: bool, byte: int, expected: object, found: object) -> None:
        if not holds:
            raise FormatError(self.path, expected, found, byte=byte)


def open_parts(path: str) -> list[Part]:
    """All parts of the artifact that `path` is, or is a part of; `FormatError` where one is missing or another's."""
    first = Part(path)
    if first.count == 1:
        return [first]
    suffix = f"-of-{first.count:05}.ingot"
    stem = re.fullmatch(r"(.*-)\d{5}", path[:-len(suffix)], re.DOTALL) if path.endswith(suffix) else None
    if stem is None:
        raise FormatError(path, f"a name that ends in -NNNNN{suffix}", "another name")
    parts = []
    for index in range(first.count):
        name = f"{stem[1]}{index + 1:05}{suffix}"
        if not os.path.isfile(name):
            raise FormatError(name, "a file that can be opened", "none")
        part = Part(name)
        if (part.index, part.count, part.directory_sum) != (index, first.count, first.directory_sum):
            raise FormatError(name, f"part {index + 1} of {first.count} of this artifact",
                              f"part {part.index + 1} of {part.count}, perhaps of another", byte=16)
        parts.append(part)
    return parts
