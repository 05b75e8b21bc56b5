"""The directory's records of tensors and side files: *Tensor record* and *File record* in SPEC.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import values, zstd
from .encodings import Encoding
from .errors import FormatError
from .header import Part
from .xxh3 import xxh3

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, repr=False)
class Tensor:
    """A tensor of an artifact. Nothing of it is read before one of its methods is called.

    `shape` has the extents, slowest first; `rows` × `columns` is the matrix that encodings work on: the last extent, and
    the product of the others. `layer` and `expert` are −1 for what no layer or expert owns. `nbytes` is what it takes in
    the file, from byte `start` of part `part` (from 0).
    """

    name: str
    kind: str
    layer: int
    expert: int
    shape: tuple[int, ...]
    rows: int
    columns: int
    encoding: Encoding
    part: int
    start: int
    nbytes: int
    places: tuple[tuple[int, int, int], ...]  # Of each plane: its place from `start`, bytes a row, rows.
    checksums: tuple[int, ...]
    source: Part

    def __repr__(self) -> str:
        return f"<ingot.Tensor {self.name!r} {list(self.shape)} {self.encoding.name}>"

    def plane(self, index: int, verify: bool = True) -> npt.NDArray[np.uint8]:
        """The bytes of a plane as they are in the file: (rows, bytes a row), read only.

        Raises `FormatError` if their checksum is not the directory's, unless `verify` is false.
        """
        offset, width, height = self.places[index]
        start = self.start + offset
        content = self.source.data[start:start + width * height]
        if verify:
            found = xxh3(content.data)
            if found != self.checksums[index]:
                raise FormatError(self.source.path, f"checksum {self.checksums[index]:#018x} of plane {index + 1}",
                                  f"{found:#018x}", self.name, start)
        return content.reshape(height, width)

    def planes(self, verify: bool = True) -> list[npt.NDArray[np.uint8]]:
        """All planes, in the order of *Planes* in SPEC.md."""
        return [self.plane(index, verify) for index in range(len(self.places))]

    def values(self, verify: bool = True) -> npt.NDArray[np.float32]:
        """All values as F32, in the tensor's shape.

        Raises `FormatError` for a damaged plane, and for dense types that F32 does not hold (F64, integers, booleans,
        complex numbers, F4, F6 and F8_E8M0): see `to_numpy` and `plane` for those.
        """
        if not self.encoding.is_decodable:
            raise FormatError(self.source.path, "a type that decodes to F32 (plane(0) has the stored bytes)",
                              self.encoding.name, self.name)
        return values.decode(self.encoding, self.rows, self.columns, self.planes(verify)).reshape(self.shape)

    def to_numpy(self, verify: bool = True) -> npt.NDArray[Any]:
        """The values in the tensor's shape: dense ones in their own type where numpy has it, all others as F32.

        Dense F64, F32, F16, integers, booleans and C64 stay what they are; BF16, FP8 and every quantized encoding become
        F32. Raises `FormatError` for a damaged plane, and for dense F8_E8M0, F6 and F4, which `plane(0)` has as bytes.
        """
        native = values.NATIVE.get(self.encoding.type) if self.encoding.kind == "dense" else None
        if native is None:
            return self.values(verify)
        return np.array(self.plane(0, verify).reshape(-1)).view(native).reshape(self.shape)

    def to_torch(self, dtype: torch.dtype | None = None, verify: bool = True) -> torch.Tensor:
        """A torch tensor of the tensor's shape, in memory of its own.

        Dense values keep their type (BF16 and FP8 too), encodings decode to F32; `dtype` converts floating-point values
        further. Raises ImportError without torch, and `FormatError` as `to_numpy` does.
        """
        from . import torch_tensors
        return torch_tensors.convert(self, dtype, verify)


@dataclass(frozen=True, eq=False, repr=False)
class SideFile:
    """A file of the checkpoint that the artifact carries; `is_provenance` marks the record of how it was made.

    `stored` bytes at byte `start` of part 1 hold `nbytes` of content.
    """

    name: str
    is_provenance: bool
    is_compressed: bool
    start: int
    stored: int
    nbytes: int
    checksum: int
    source: Part

    def __repr__(self) -> str:
        return f"<ingot.SideFile {self.name!r} {self.nbytes} bytes>"

    def content(self) -> bytes:
        """What the file holds. Raises `FormatError` if it is damaged, or compressed and nothing here unpacks zstd."""
        stored = self.source.data[self.start:self.start + self.stored].tobytes()
        found = xxh3(stored)
        if found != self.checksum:
            raise FormatError(self.source.path, f"checksum {self.checksum:#018x} of this side file", f"{found:#018x}",
                              self.name, self.start)
        if not self.is_compressed:
            return stored
        try:
            content = zstd.decompress(stored, self.nbytes)
        except zstd.Missing as missing:
            raise FormatError(self.source.path, f"something that unpacks zstd ({missing})", "none", self.name) from None
        if content is None or len(content) != self.nbytes:
            raise FormatError(self.source.path, f"a zstd frame of {self.nbytes} bytes", "a broken one", self.name, self.start)
        return content


# What a record's reader calls for each thing that must be so: (holds, byte in the record, expected, found).
Check = Callable[[bool, int, object, object], None]


def tensor(name: str, fields: tuple[int, ...], kinds: list[str], encodings: list[Encoding], parts: list[Part],
           check: Check) -> Tensor:
    """A tensor record whose name is read; `fields` are those from byte 8 on."""
    kind, encoding, layer, expert, part, rank, reserved, *rest = fields
    extents, (start, length), sums = rest[:8], rest[8:10], rest[10:]
    check(kind < len(kinds), 8, f"one of {len(kinds)} kinds", kind)
    check(encoding < len(encodings), 10, f"one of {len(encodings)} encodings", encoding)
    check(layer >= -1 and expert >= -1, 12, "a layer and an expert from -1 on", f"{layer} and {expert}")
    check(part < len(parts), 20, f"one of {len(parts)} parts", part)
    check(rank <= 8, 24, "at most 8 extents", rank)
    check(reserved == 0, 28, "zero in the reserved bytes", reserved)
    for field, size in enumerate((start, length)):
        check(size < 1 << 63, 64 + 8 * field, "a size below 2^63", size)
    for axis in range(8):
        check(axis < rank or extents[axis] == 0, 32 + 4 * axis, "zero for extents past the last", extents[axis])
    scheme, shape, size = encodings[encoding], tuple(extents[:rank]), parts[part].size
    rows, columns = int(np.prod(shape[:-1], dtype=object)), shape[-1] if rank else 1
    try:
        planes = scheme.planes(rows, columns)
    except ValueError:
        planes = []
    fits = rows * columns < 1 << 63 and sum(width * height for width, height in planes) < (1 << 63) - 192
    check(bool(planes) and fits, 32, f"a shape that fits {scheme.name}", list(shape))
    places, end = [], 0
    for width, height in planes:
        places.append((-(-end // 64) * 64, width, height))
        end = places[-1][0] + width * height
    check(length == end, 72, f"{end} bytes for {scheme.name} {list(shape)}", length)
    check(start % 64 == 0 and start + length <= size, 64,
          f"a place within the {size} bytes of part {part + 1}, aligned to 64", f"byte {start}, length {length}")
    check(not any(sums[len(planes):]), 96, "zero for checksums past the last plane", "another")
    return Tensor(name, kinds[kind], layer, expert, shape, rows, columns, scheme, part, start, length, tuple(places),
                  tuple(sums), parts[part])
