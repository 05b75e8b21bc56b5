"""formats/ingot/vectors: files that must be read, and files that must be refused. Needs nothing but Python."""

import copy
import hashlib
import json
import os
import pathlib
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "formats" / "ingot" / "vectors"


class Good(NamedTuple):
    """An artifact, what its tensors decode to and what its side files hold."""

    name: str
    parts: dict[str, bytearray]
    tensors: list[dict[str, Any]]
    files: dict[str, str]


class Bad(NamedTuple):
    """A damaged artifact: the file to open, who must find the fault and what the refusal must say."""

    name: str
    parts: dict[str, bytearray]
    opened: str
    found: str
    says: list[str]


def unpacked(frame: bytes) -> bytes:
    """The content of a zstd frame as scripts/tools make-ingot-vectors writes them: raw and run-length blocks only (RFC 8878)."""
    magic, descriptor, _size = struct.unpack_from("<IBQ", frame)
    assert (magic, descriptor) == (0xFD2FB528, 0b11100000)
    out, at, last = [], 13, False
    while not last:
        header = int.from_bytes(frame[at:at + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        assert kind in (0, 1)
        out.append(frame[at + 3:at + 3 + size] if kind == 0 else frame[at + 3:at + 4] * size)
        at += 3 + (size if kind == 0 else 1)
    return b"".join(out)


def apply(entry: dict[str, Any], content: bytearray) -> None:
    """What vectors.json does to the file of a base."""
    if "truncate" in entry:
        del content[entry["truncate"]:]
    content += bytes.fromhex(entry.get("append", ""))
    for patch in entry.get("patches", []):
        piece = bytes.fromhex(patch["bytes"])
        content[patch["at"]:patch["at"] + len(piece)] = piece


def read() -> tuple[list[Good], list[Bad]]:
    """All of them, in memory."""
    table = json.loads((FOLDER / "vectors.json").read_text())
    good: dict[str, Good] = {}
    for entry in table["good"]:
        if "base" in entry:
            base = copy.deepcopy(good[entry["base"]])
            apply(entry, next(iter(base.parts.values())))
            good[entry["name"]] = base._replace(name=entry["name"])
            continue
        parts = {}
        for file in entry["files"]:
            content = unpacked((FOLDER / file["stored"]).read_bytes())
            assert hashlib.sha256(content).hexdigest() == file["sha256"], file["stored"]
            parts[file["name"]] = bytearray(content)
        good[entry["name"]] = Good(entry["name"], parts, entry["tensors"], entry["sideFiles"])
    bad = []
    for entry in table["bad"]:
        # Files that are not changed are shared: only one part of each case is its own.
        parts = dict(good[entry["base"]].parts)
        names = list(parts)
        if "missing" in entry:
            del parts[names[entry["missing"]]]
        else:
            name = names[entry.get("part", 0)]
            parts[name] = bytearray(parts[name])
            apply(entry, parts[name])
        bad.append(Bad(entry["name"], parts, next(iter(parts)), entry["found"], entry["says"]))
    return list(good.values()), bad


def framed(content: bytes) -> bytes:
    """A zstd frame of one block that is not compressed."""
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, len(content)) + (len(content) << 3 | 1).to_bytes(3, "little") + content


def with_frame(tiny: Good, checksum: Callable[[bytes], int]) -> bytearray:
    """The vector `tiny` with config.json as a zstd frame in its place, which has room for the frame's 12 bytes more."""
    content = bytearray(tiny.parts["tiny.ingot"])
    encodings, kinds, tensors, files = struct.unpack_from("<4I", content, 128)
    at = 128 + 24 + 32 * encodings + 64 * kinds + 104 * tensors
    record = next(r for r in range(at, at + 48 * files, 48) if struct.unpack_from("<I", content, r + 4)[0] == len("config.json"))
    start, size = struct.unpack_from("<2Q", content, record + 16)
    frame = framed(bytes(content[start:start + size]))
    assert -(-(start + size) // 64) == -(-(start + len(frame)) // 64)
    content[start:start + len(frame)] = frame
    struct.pack_into("<H", content, record + 10, 1)
    struct.pack_into("<Q", content, record + 24, len(frame))
    struct.pack_into("<Q", content, record + 40, checksum(frame))
    length, = struct.unpack_from("<Q", content, 40)
    struct.pack_into("<Q", content, 48, checksum(bytes(content[128:128 + length])))
    struct.pack_into("<Q", content, 120, checksum(bytes(content[:120])))
    return content


def written(parts: dict[str, bytearray], folder: str) -> str:
    """Writes all parts; the path of the first."""
    for name, content in parts.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    return os.path.join(folder, next(iter(parts)))
