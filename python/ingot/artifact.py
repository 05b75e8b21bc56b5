"""An opened artifact: its directory, and the tensors and side files that it lists."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from . import records
from .encodings import Encoding
from .errors import FormatError
from .header import open_parts
from .records import SideFile, Tensor
from .xxh3 import xxh3

if TYPE_CHECKING:
    import torch

KIND = re.compile(rb"([a-z][a-z0-9_]{0,62})\0+")
TEMPLATE = re.compile(r"additional_chat_templates/([^/]+\.jinja)")


class Artifact(Mapping[str, Tensor]):
    """An artifact: a mapping of names to `Tensor`, in the order of its directory. `files` has its side files by name.

        artifact = ingot.Artifact("model.ingot")        # any part of one in parts
        artifact["model.norm.weight"].values()

    Header and directory are checked when it is opened; a tensor's bytes stay in the file, mapped, until they are asked
    for. Raises `FormatError` for a damaged file or a part that is missing, OSError for one that cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.parts = open_parts(os.fspath(path))
        main = self.parts[0]
        self.path, self._base = main.path, main.directory_at
        directory = self._directory = main.data[self._base:self._base + main.directory_bytes].tobytes()
        found = xxh3(directory)
        if found != main.directory_sum:
            raise FormatError(self.path, f"directory checksum {main.directory_sum:#018x}", f"{found:#018x}", byte=self._base)
        size = main.directory_bytes
        self._require(size >= 24, 0, "a directory of at least 24 bytes", size)
        encodings, kinds, tensors, files, names = struct.unpack_from("<4IQ", directory)
        self._names_at = 24 + 32 * encodings + 64 * kinds + 104 * tensors + 48 * files
        self._require(max(encodings, kinds) <= 65_536 and self._names_at + names == size, 0,
                      f"{encodings} encodings, {kinds} kinds, {tensors} tensors, {files} files and {names} bytes of names to "
                      f"fill the directory of {size} bytes", f"{self._names_at} bytes of records")
        self.encodings = [self._encoding(index) for index in range(encodings)]
        self.kinds: list[str] = []
        for index in range(kinds):
            self.kinds.append(self._kind(24 + 32 * encodings + 64 * index))
        self._seen: set[str] = set()
        self._frames = self._unfolded = 0  # Bytes of zstd frames so far, stored and of content.
        at = 24 + 32 * encodings + 64 * kinds
        self.tensors = {tensor.name: tensor for tensor in (self._tensor(at + 104 * i) for i in range(tensors))}
        at += 104 * tensors
        self.files = {file.name: file for file in (self._file(at + 48 * i) for i in range(files))}
        self._check_overlaps(128 + size)
        if "config.json" not in self.files:
            raise FormatError(self.path, "config.json among the side files", "none")

    # ---- Use -----------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        return f"<ingot.Artifact {self.path!r}: {len(self)} tensors>"

    def select(self, pattern: str = "*") -> list[Tensor]:
        """The tensors whose names match a pattern as file names do: `*`, `?` and `[…]`."""
        return [tensor for name, tensor in self.tensors.items() if fnmatch.fnmatchcase(name, pattern)]

    def config(self) -> dict[str, Any]:
        """The object in config.json. Raises `FormatError` if there is none in it."""
        return self._object(self.files["config.json"])

    def provenance(self) -> dict[str, Any]:
        """How the artifact was made: tool, recipe and source. Empty where it does not say; `FormatError` if it is no object."""
        for file in self.files.values():
            if file.is_provenance:
                return self._object(file)
        return {}

    def to_numpy(self, pattern: str = "*", verify: bool = True) -> dict[str, npt.NDArray[Any]]:
        """`Tensor.to_numpy` of every tensor whose name matches, by name."""
        return {tensor.name: tensor.to_numpy(verify) for tensor in self.select(pattern)}

    def to_torch(self, pattern: str = "*", dtype: torch.dtype | None = None, verify: bool = True) -> dict[str, torch.Tensor]:
        """`Tensor.to_torch` of every tensor whose name matches, by name."""
        return {tensor.name: tensor.to_torch(dtype, verify) for tensor in self.select(pattern)}

    def to_safetensors(self, path: str | os.PathLike[str], pattern: str = "*", dtype: str = "F32", overwrite: bool = False,
                       verify: bool = True) -> None:
        """Writes every tensor whose name matches to a SafeTensors file: dense ones byte for byte, encodings as `dtype`.

        `dtype` is F32, BF16 or F16, rounded to nearest. One tensor is in memory at a time. The file gets its name when
        it is whole. Raises FileExistsError unless `overwrite`, ValueError for another `dtype`, and `FormatError` for a
        damaged tensor; nothing is left then.
        """
        from . import safetensors
        safetensors.write(os.fspath(path), self.select(pattern), dtype, overwrite, verify)

    def check(self) -> None:
        """Reads everything once. Raises `FormatError` at the first checksum that differs."""
        for tensor in self.tensors.values():
            for index in range(len(tensor.places)):
                tensor.plane(index)
        for file in self.files.values():
            file.content()

    # ---- Reading the directory -----------------------------------------------------------------------------------

    def _require(self, holds: bool, at: int, expected: object, found: object, tensor: str | None = None) -> None:
        if not holds:
            raise FormatError(self.path, expected, found, tensor, self._base + at)

    def _encoding(self, index: int) -> Encoding:
        at = 24 + 32 * index
        try:
            return Encoding(self._directory[at:at + 32])
        except (ValueError, IndexError, KeyError):
            raise FormatError(self.path, "an encoding of this version", f"record {index}, which is none",
                              byte=self._base + at) from None

    def _kind(self, at: int) -> str:
        record = self._directory[at:at + 64]
        match = KIND.fullmatch(record)
        self._require(match is not None, at, "a kind of tensor: 1 to 63 of a-z, 0-9 and _, a letter first, then zeros",
                      record.split(b"\0")[0] or "an empty one")
        kind = record.rstrip(b"\0").decode()
        self._require(not self.kinds or self.kinds[-1] < kind, at, "kinds in rising order, each once",
                      f"{kind!r} after {self.kinds[-1:]}")
        return kind

    def _name(self, at: int) -> str:
        start, length = struct.unpack_from("<2I", self._directory, at)
        inside = self._names_at + start + length <= len(self._directory)
        self._require(inside, at, "a name within the directory", f"bytes {start}..<{start + length}")
        text = self._directory[self._names_at + start:self._names_at + start + length]
        try:
            name = text.decode("utf-8")
        except UnicodeDecodeError:
            name = ""
        self._require(bool(name), at, "a name in UTF-8", text[:40] or "an empty one")
        self._require(name not in self._seen, at, "names that occur once", "a second one", name)
        self._seen.add(name)
        return name

    def _tensor(self, at: int) -> Tensor:
        name = self._name(at)

        def check(holds: bool, field: int, expected: object, found: object) -> None:
            self._require(holds, at + field, expected, found, name)

        fields = struct.unpack_from("<2H2i3I8I2Q3Q", self._directory, at + 8)
        return records.tensor(name, fields, self.kinds, self.encodings, self.parts, check)

    def _file(self, at: int) -> SideFile:
        name = self._name(at)

        def check(holds: bool, field: int, expected: object, found: object) -> None:
            self._require(holds, at + field, expected, found, name)

        kind, codec, reserved, start, stored, size, checksum = struct.unpack_from("<2HI4Q", self._directory, at + 8)
        check(kind <= 1 and codec <= 1, 8, "a kind and codec of this version", f"{kind} and {codec}")
        check(reserved == 0, 12, "zero in the reserved bytes", reserved)
        template = TEMPLATE.fullmatch(name)
        plain = template[1] if template else name
        check(not re.search(r"[/\\\0]|^\.", plain) and len(plain.encode()) <= 255, 0, "the plain name of a file", repr(name))
        check(start + stored <= self.parts[0].size, 16, "a place within part 1", f"byte {start}, length {stored}")
        if codec:
            self._frames, self._unfolded = self._frames + stored, self._unfolded + size
        limit = min(1 << 30, (1 << 20) + 256 * self._frames)
        check(self._unfolded <= limit if codec else size == stored, 32, f"content that {stored} stored bytes may hold",
              f"{size} bytes")
        return SideFile(name, kind == 1, codec == 1, start, stored, size, checksum, self.parts[0])

    def _check_overlaps(self, directory_end: int) -> None:
        """Refuses things that lie on each other; those without bytes lie nowhere."""
        things = [(t.part, t.start, t.nbytes, t.name) for t in self.tensors.values() if t.nbytes]
        things += [(0, f.start, f.stored, f.name) for f in self.files.values() if f.stored]
        part, end = 0, directory_end
        for other, start, length, name in sorted(things, key=lambda thing: thing[:2]):
            if other != part:
                part, end = other, 128
            if start < end:
                raise FormatError(self.path, f"a place after byte {end} of part {part + 1}, where the one before ends",
                                  "an overlap", name, start)
            end = start + length

    def _object(self, file: SideFile) -> dict[str, Any]:
        try:
            content = json.loads(file.content())
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise FormatError(self.path, "a JSON object", "none", file.name, file.start)
        return content
