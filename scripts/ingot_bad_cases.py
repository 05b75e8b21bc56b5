"""How a file that a reader of .ingot must refuse is told: as patches on a good one. Used by ingot_bad_vectors."""

import struct

from ingot.xxh3 import xxh3


class Bad:
    """Collects cases on one base."""

    def __init__(self, base, artifact):
        self.base, self.artifact, self.cases = base, artifact, []

    def add(self, name, says, edits=(), seal="", part=0, found="open", truncate=None, append=None, missing=None):
        """`seal`: d to make the directory's checksum right again, h the header's."""
        if missing is not None:
            self.cases.append({"name": name, "base": self.base, "missing": missing, "found": found, "says": says})
            return
        base = self.artifact.parts[part]
        if truncate is not None:
            base = base[:truncate]
        if append is not None:
            base += append
        data = bytearray(base)
        for at, content in edits:
            data[at:at + len(content)] = content
        if "d" in seal:
            start, length = struct.unpack_from("<2Q", data, 32)
            data[48:56] = struct.pack("<Q", xxh3(bytes(data[start:start + length])))
        if seal:
            data[120:128] = struct.pack("<Q", xxh3(bytes(data[:120])))
        assert len(data) == len(base), name
        case = {"name": name, "base": self.base, "found": found, "says": says}
        if part:
            case["part"] = part
        if truncate is not None:
            case["truncate"] = truncate
        if append is not None:
            case["append"] = append.hex()
        case["patches"] = patches(base, data)
        assert case["patches"] or truncate is not None or append, name
        assert name not in {other["name"] for other in self.cases}, name
        self.cases.append(case)


def patches(old, new):
    """Where `new` differs, stretches less than 8 bytes apart as one."""
    out, at = [], 0
    while at < len(new):
        if old[at:at + 4096] == new[at:at + 4096]:
            at += 4096
            continue
        if old[at] == new[at]:
            at += 1
            continue
        stop = last = at + 1
        while stop < len(new) and stop - last < 8:
            if old[stop] != new[stop]:
                last = stop + 1
            stop += 1
        out.append({"at": at, "bytes": bytes(new[at:last]).hex()})
        at = last
    return out


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def i32(value):
    return struct.pack("<i", value)


def u64(value):
    return struct.pack("<Q", value)


def extents(*shape):
    """Bytes 24 to 63 of a tensor's record: how many extents, Reserved, extents."""
    return struct.pack("<10I", len(shape), 0, *shape, *[0] * (8 - len(shape)))


def align(value):
    return -(-value // 64) * 64
