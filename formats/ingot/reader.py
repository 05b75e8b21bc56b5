#!/usr/bin/env python3
"""Reads .ingot artifacts, in the order of SPEC.md beside it: checksums, header, directory, planes, values.

    reader.py FILE...                    what the file holds
    reader.py FILE... --digests          SHA-256 of each tensor's values, as F32 little endian
    reader.py FILE --tensor NAME         values of one tensor
    reader.py FILE --dump FOLDER         side files, and every tensor as .npy

Any part of an artifact in parts stands for the whole. Every checksum of what is read is held against the
bytes. Needs numpy and the files beside it (xxh3.py, ggml_blocks.py, ggml_points.py, trellis_codes.py), but for one thing: side files may
be stored as zstd frames, and to get at their content (--dump) this takes Python 3.14, the package `zstandard`
or the command `zstd`. The provenance is stored plain.
"""

import argparse
import hashlib
import os
import re
import struct
import subprocess
import sys

import numpy as np

import ggml_blocks
import ggml_points
import trellis_codes
from xxh3 import xxh3


class FormatError(Exception):
    """What is wrong with a file: where, what was needed, what stands there."""

    def __init__(self, path, expected, found, tensor=None, byte=None):
        place = (f": tensor {tensor!r}" if tensor is not None else "") + (f": byte {byte}" if byte is not None else "")
        super().__init__(f"{path}{place}: expected {expected}, found {found}")


# ---- Header ------------------------------------------------------------------------------------------------------

MAGIC = b"\x89INGOT\r\n"


class Part:
    """One file: its bytes, mapped, and the fields of its header."""

    def __init__(self, path):
        self.path, self.size = path, os.path.getsize(path)
        self.data = np.memmap(path, np.uint8, "r") if self.size else np.zeros(0, np.uint8)

        def check(holds, byte, expected, found):
            if not holds:
                raise FormatError(path, expected, found, byte=byte)

        head = self.data[:128].tobytes()
        check(len(head) == 128, 0, "an .ingot header of 128 bytes", f"a file of {self.size} bytes")
        (magic, major, _minor, flags, self.index, self.count, length, self.at, self.bytes, self.sum, _unused,
         reserved, checksum) = struct.unpack("<8s2H3I5Q56sQ", head)
        check(magic == MAGIC, 0, "the magic bytes of .ingot", magic.hex(" "))
        check(major == 1, 8, "format version 1", major)
        check(checksum == xxh3(head[:120]), 120, f"header checksum {checksum:#018x}", f"{xxh3(head[:120]):#018x}")
        check(flags == 0, 12, "no flags", f"{flags:#x}")
        check(not any(reserved), 64, "zeros in the reserved bytes", "others")
        check(self.index < self.count <= 99_999, 16, "part < parts ≤ 99999", f"part {self.index} of {self.count}")
        check(length == self.size, 24, f"a file of {length} bytes", f"{self.size} bytes")
        if self.index == 0:
            check(self.at == 128 and self.bytes <= min(1 << 30, self.size - 128), 32,
                  "a directory at byte 128 that ends in the file", f"byte {self.at}, {self.bytes} bytes")
        else:
            check(self.at == self.bytes == 0, 32, "no directory in this part", f"byte {self.at}, {self.bytes} bytes")


def open_parts(path):
    """All parts of the artifact that `path` is, or is a part of."""
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
        if (part.index, part.count, part.sum) != (index, first.count, first.sum):
            raise FormatError(name, f"part {index + 1} of {first.count} of this artifact",
                              f"part {part.index + 1} of {part.count}, perhaps of another", byte=16)
        parts.append(part)
    return parts


# ---- Directory ---------------------------------------------------------------------------------------------------

TYPES = ("F64 F32 F16 BF16 F8_E4M3 F8_E5M2 F8_E8M0 F6_E2M3 F6_E3M2 F4 I64 I32 I16 I8 U64 U32 U16 U8 BOOL C64").split()
BITS = dict(zip(TYPES, (64, 32, 16, 16, 8, 8, 8, 6, 6, 4, 64, 32, 16, 8, 64, 32, 16, 8, 8, 64)))
KIND = re.compile(rb"([a-z][a-z0-9_]{0,62})\0+")
SCALES = ("F32", "BF16", "F16")


class Encoding:
    """One record of 32 bytes."""

    def __init__(self, record):
        kind, first, second, self.bits, offset, _, group, rows, columns, _ = struct.unpack("<5B3s3I12s", record)
        self.kind = {0: "dense", 1: "block scaled", 2: "affine", 3: "GGML blocks", 4: "micro-scaled", 5: "trellis"}.get(kind)
        assert self.kind
        self.group, self.block = group, (rows, columns)
        if kind == 0:
            self.type = TYPES[first]
            used = bytes([0, first])
            self.name = self.type
        elif kind == 1:
            self.type, self.scale = TYPES[first], TYPES[second]
            assert self.type in ("F8_E4M3", "F8_E5M2") and self.scale in SCALES
            assert 1 <= rows <= 1 << 20 and 1 <= columns <= 1 << 20
            used = struct.pack("<3B9x2I", 1, first, second, rows, columns)
            self.name = f"{self.type} {rows}x{columns} {self.scale}"
        elif kind == 3:
            self.layout = ggml_blocks.LAYOUTS.get(first) or ggml_points.LAYOUTS[first]
            self.name = self.layout.name
            used = bytes([3, first])
        elif kind == 4:
            self.type, self.scale, self.whole = TYPES[first], TYPES[second], offset
            assert self.type in ("F4", "F8_E4M3") and self.scale in ("F8_E8M0", "F8_E4M3") and group in (16, 32)
            assert offset <= 2 and not (self.whole and self.scale == "F8_E8M0")
            used = struct.pack("<5B3xI", 4, first, second, 0, offset, group)
            self.name = f"{self.type} g{group} {self.scale}{('', ' global', ' factor')[offset]}"
        elif kind == 5:
            self.halves, self.window = first, second
            assert 3 <= first <= 8 and 8 <= second <= 16
            used = bytes([5, first, second])
            self.name = f"trellis-{first // 2}{'.5' if first % 2 else ''}{'' if second == 12 else f' w{second}'}"
        else:
            self.scale, self.offset = TYPES[second], ("sym", "zero", "bias")[offset]
            assert self.scale in SCALES and self.bits in (2, 3, 4, 5, 6, 8)
            assert group == 0 or group in range(16, 129, 16)
            used = struct.pack("<5B3xI", 2, 0, second, self.bits, offset, group)
            self.name = f"int{self.bits} {f'g{group}' if group else 'row'} {self.offset} {self.scale}"
        # What a kind has no use for, and what is Reserved, is zero.
        assert record == used.ljust(32, b"\0")

    def planes(self, rows, columns):
        """Bytes a row and rows of each plane; fails for values that do not end on a byte."""
        if self.kind == "dense":
            assert columns * BITS[self.type] % 8 == 0
            return [(columns * BITS[self.type] // 8, rows)]
        if self.kind == "block scaled":
            r, c = self.block
            return [(columns, rows), (-(-columns // c) * BITS[self.scale] // 8, -(-rows // r))]
        if self.kind == "GGML blocks":
            assert columns % self.layout.weights == 0
            return [(columns // self.layout.weights * self.layout.bytes, rows)]
        if self.kind == "trellis":
            return [(4 * columns * self.halves, -(-rows // 64)), (4 * min(columns, 1), rows), (2 * columns, min(rows, 1))]
        groups = -(-columns // (self.group or max(columns, 1)))
        if self.kind == "micro-scaled":
            planes = [(-(-columns * BITS[self.type] // 8), rows), (groups, rows)]
            return planes + ([(4 * min(groups, 1), min(rows, 1))] if self.whole else [])
        codes, scales = (-(-columns * self.bits // 8), rows), (groups * BITS[self.scale] // 8, rows)
        return [codes, scales] + {
            "sym": [], "zero": [(-(-groups * self.bits // 8), rows)], "bias": [scales]}[self.offset]


class Artifact:
    """An opened artifact: `tensors` and `files` by name. Payload is read when asked for."""

    def __init__(self, path):
        self.parts = open_parts(path)
        main = self.parts[0]
        self.path, self.base = main.path, main.at
        self.directory = main.data[main.at:main.at + main.bytes].tobytes()
        found = xxh3(self.directory)
        if found != main.sum:
            raise FormatError(self.path, f"directory checksum {main.sum:#018x}", f"{found:#018x}", byte=main.at)
        self.require(main.bytes >= 24, 0, "a directory of at least 24 bytes", main.bytes)
        encodings, kinds, tensors, files, names = struct.unpack_from("<4IQ", self.directory)
        self.names_at = 24 + 32 * encodings + 64 * kinds + 104 * tensors + 48 * files
        self.require(max(encodings, kinds) <= 65_536 and self.names_at + names == main.bytes, 0,
                     f"{encodings} encodings, {kinds} kinds, {tensors} tensors, {files} files and {names} bytes of names to fill the "
                     f"directory of {main.bytes} bytes", f"{self.names_at} bytes of records")
        self.encodings = []
        for at in range(24, 24 + 32 * encodings, 32):
            try:
                self.encodings.append(Encoding(self.directory[at:at + 32]))
            except (AssertionError, IndexError, KeyError):
                self.require(False, at, "an encoding of this version", f"record {len(self.encodings)}, which is none")
        self.kinds = []
        for at in range(24 + 32 * encodings, 24 + 32 * encodings + 64 * kinds, 64):
            kind = KIND.fullmatch(self.directory[at:at + 64])
            self.require(kind, at, "a kind of tensor: 1 to 63 of a-z, 0-9 and _, a letter first, then zeros",
                         self.directory[at:at + 64].split(b"\0")[0] or "an empty one")
            kind = kind[1].decode()
            self.require(not self.kinds or self.kinds[-1] < kind, at, "kinds in rising order, each once",
                         f"{kind!r} after {self.kinds[-1:]}")
            self.kinds.append(kind)
        self.seen, at = set(), 24 + 32 * encodings + 64 * kinds
        self.frames, self.unfolded = 0, 0  # bytes of zstd frames so far, stored and unfolded
        self.tensors = dict(self.tensor(at + 104 * i) for i in range(tensors))
        self.files = dict(self.file(at + 104 * tensors + 48 * i) for i in range(files))
        self.check_overlaps(main.at + main.bytes)
        if "config.json" not in self.files:
            raise FormatError(self.path, "config.json among the side files", "none")

    def require(self, holds, at, expected, found, tensor=None):
        if not holds:
            raise FormatError(self.path, expected, found, tensor, self.base + at)

    def name(self, at):
        start, length = struct.unpack_from("<2I", self.directory, at)
        inside = self.names_at + start + length <= len(self.directory)
        self.require(inside, at, "a name within the directory", f"bytes {start}..<{start + length}")
        text = self.directory[self.names_at + start:self.names_at + start + length]
        try:
            name = text.decode("utf-8")
        except UnicodeDecodeError:
            name = ""
        self.require(name, at, "a name in UTF-8", text[:40] or "an empty one")
        self.require(name not in self.seen, at, "names that occur once", "a second one", name)
        self.seen.add(name)
        return name

    def tensor(self, at):
        name = self.name(at)

        def check(holds, field, expected, found):
            self.require(holds, at + field, expected, found, name)

        (kind, encoding, layer, expert, part, rank, reserved, *rest) = struct.unpack_from(
            "<2H2i3I8I2Q3Q", self.directory, at + 8)
        shape, (start, length), sums = rest[:8], rest[8:10], rest[10:]
        check(kind < len(self.kinds), 8, f"one of {len(self.kinds)} kinds", kind)
        check(encoding < len(self.encodings), 10, f"one of {len(self.encodings)} encodings", encoding)
        check(layer >= -1 and expert >= -1, 12, "a layer and an expert from -1 on", f"{layer} and {expert}")
        check(part < len(self.parts), 20, f"one of {len(self.parts)} parts", part)
        check(rank <= 8, 24, "at most 8 extents", rank)
        check(reserved == 0, 28, "zero in the reserved bytes", reserved)
        for field, size in enumerate((start, length)):
            check(size < 1 << 63, 64 + 8 * field, "a size below 2^63", size)
        for axis in range(8):
            check(axis < rank or shape[axis] == 0, 32 + 4 * axis, "zero for extents past the last", shape[axis])
        scheme, shape, size = self.encodings[encoding], tuple(shape[:rank]), self.parts[part].size
        rows, columns = int(np.prod(shape[:-1], dtype=object)), shape[-1] if rank else 1
        try:
            planes = scheme.planes(rows, columns)
            assert rows * columns < 1 << 63 and sum(width * height for width, height in planes) < (1 << 63) - 192
        except AssertionError:
            check(False, 32, f"a shape that fits {scheme.name}", list(shape))
        places, end = [], 0
        for width, height in planes:
            places.append((-(-end // 64) * 64, width, height))
            end = places[-1][0] + width * height
        check(length == end, 72, f"{end} bytes for {scheme.name} {list(shape)}", length)
        check(start % 64 == 0 and start + length <= size, 64,
              f"a place within the {size} bytes of part {part + 1}, aligned to 64", f"byte {start}, length {length}")
        check(not any(sums[len(planes):]), 96, "zero for checksums past the last plane", "another")
        return name, argparse.Namespace(
            name=name, kind=self.kinds[kind], layer=layer, expert=expert, shape=shape, rows=rows, columns=columns,
            encoding=scheme, part=part, start=start, length=length, planes=places, sums=sums)

    def file(self, at):
        name = self.name(at)

        def check(holds, field, expected, found):
            self.require(holds, at + field, expected, found, name)

        kind, codec, reserved, start, stored, raw, checksum = struct.unpack_from("<2HI4Q", self.directory, at + 8)
        check(kind <= 1 and codec <= 1, 8, "a kind and codec of this version", f"{kind} and {codec}")
        check(reserved == 0, 12, "zero in the reserved bytes", reserved)
        template = re.fullmatch(r"additional_chat_templates/([^/]+\.jinja)", name)
        plain = template[1] if template else name
        check(not re.search(r"[/\\\0]|^\.", plain) and len(plain.encode()) <= 255, 0, "the plain name of a file", repr(name))
        size = self.parts[0].size
        check(start + stored <= size, 16, "a place within part 1", f"byte {start}, length {stored}")
        if codec:
            self.frames, self.unfolded = self.frames + stored, self.unfolded + raw
        limit = min(1 << 30, (1 << 20) + 256 * self.frames)
        check(self.unfolded <= limit if codec else raw == stored, 32, f"content that {stored} stored bytes may hold", f"{raw} bytes")
        return name, argparse.Namespace(
            name=name, kind=kind, codec=codec, start=start, length=stored, raw=raw, sum=checksum, part=0)

    def check_overlaps(self, directory_end):
        things = [t for t in [*self.tensors.values(), *self.files.values()] if t.length]
        part, end = 0, directory_end
        for thing in sorted(things, key=lambda t: (t.part, t.start)):
            if thing.part != part:
                part, end = thing.part, 128
            if thing.start < end:
                raise FormatError(self.path, f"a place after byte {end} of part {part + 1}, where the one before ends",
                                  "an overlap", thing.name, thing.start)
            end = thing.start + thing.length

    # ---- Planes --------------------------------------------------------------------------------------------------

    def plane(self, tensor, index):
        """The bytes of a plane, (rows, bytes a row), its checksum held against them."""
        offset, width, height = tensor.planes[index]
        part, start = self.parts[tensor.part], tensor.start + offset
        content = part.data[start:start + width * height]
        found = xxh3(content.data)
        if found != tensor.sums[index]:
            raise FormatError(part.path, f"checksum {tensor.sums[index]:#018x} of plane {index + 1}", f"{found:#018x}",
                              tensor.name, start)
        return content.reshape(height, width)

    def values(self, tensor):
        """All values in F32, in the tensor's shape; None for types that are no numbers of at most 32 bits."""
        scheme, rows, columns = tensor.encoding, tensor.rows, tensor.columns
        planes = [self.plane(tensor, index) for index in range(len(tensor.planes))]
        if scheme.kind == "dense":
            values = None if scheme.type == "F8_E8M0" else floats(scheme.type, planes[0])
        elif scheme.kind == "GGML blocks":
            values = ggml_blocks.decode(scheme.layout, planes[0])
        elif scheme.kind == "trellis":
            words = planes[0].reshape(-1).copy().view("<u4").reshape(trellis_codes.words_of(rows, scheme.halves), columns)
            scales = floats("F32", planes[1]).reshape(-1), floats("F16", planes[2]).reshape(-1)
            values = trellis_codes.decode(scheme.halves, scheme.window, words, *scales)
        elif scheme.kind == "block scaled":
            scales = floats(scheme.scale, planes[1])
            scales = scales.repeat(scheme.block[0], 0)[:rows] if rows else scales
            values = floats(scheme.type, planes[0]) * spread(scales, scheme.block[1], columns)
        elif scheme.kind == "micro-scaled":
            scales = POWERS[planes[1]] if scheme.scale == "F8_E8M0" else floats(scheme.scale, planes[1])
            if scheme.whole and scales.size:
                number = planes[2].copy().view("<f4")
                scales = scales / number if scheme.whole == 1 else scales * number
            codes = floats("F8_E4M3", planes[0]) if scheme.type == "F8_E4M3" else E2M1[unpack(planes[0], 4, columns)]
            values = codes * spread(scales, scheme.group, columns)
        else:
            group = scheme.group or max(columns, 1)
            scales = floats(scheme.scale, planes[1])
            s, u = spread(scales, group, columns), unpack(planes[0], scheme.bits, columns)
            if scheme.offset == "sym":
                values = s * (u - (1 << scheme.bits - 1)).astype(np.float32)
            elif scheme.offset == "zero":
                z = spread(unpack(planes[2], scheme.bits, scales.shape[1]), group, columns)
                values = s * (u - z).astype(np.float32)
            else:
                values = s * u.astype(np.float32) + spread(floats(scheme.scale, planes[2]), group, columns)
        return None if values is None else values.reshape(tensor.shape)

    def digest(self, tensor):
        values = self.values(tensor)
        return None if values is None else hashlib.sha256(values.astype("<f4", copy=False).tobytes()).hexdigest()

    # ---- Side files ----------------------------------------------------------------------------------------------

    def content(self, file):
        stored = self.parts[0].data[file.start:file.start + file.length].tobytes()
        if xxh3(stored) != file.sum:
            raise FormatError(self.path, f"checksum {file.sum:#018x} of this side file", f"{xxh3(stored):#018x}",
                              file.name, file.start)
        content = unzstd(stored, file.raw) if file.codec else stored
        if content is None or len(content) != file.raw:
            raise FormatError(self.path, f"a zstd frame of {file.raw} bytes", "a broken one", file.name, file.start)
        return content


def float8(mantissa, bias, infinities):
    """The 256 values of an 8-bit float. E4M3 has no infinities: only its last code of each sign is NaN."""
    codes = np.arange(128)
    exponent, fraction = codes >> mantissa, codes & (1 << mantissa) - 1
    values = np.where(exponent > 0, np.ldexp(1 + fraction / (1 << mantissa), exponent - bias),
                      np.ldexp(fraction / (1 << mantissa), 1 - bias))
    if infinities:
        values[exponent == 31] = [np.inf, np.nan, np.nan, np.nan]
    else:
        values[127] = np.nan
    return np.concatenate([values, -values]).astype(np.float32)


POWERS = np.append(np.ldexp(1.0, np.arange(-127, 128)), np.nan).astype(np.float32)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
FLOAT8 = {"F8_E4M3": float8(3, 7, False), "F8_E5M2": float8(2, 15, True)}


def floats(kind, plane):
    """Dense values of a plane in F32, (rows, columns); None for other types."""
    plane = np.ascontiguousarray(plane)
    if kind in FLOAT8:
        return FLOAT8[kind][plane]
    if kind == "BF16":
        return (plane.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return plane.view({"F32": "<f4", "F16": "<f2"}[kind]).astype(np.float32) if kind in ("F32", "F16") else None


def unpack(plane, bits, columns):
    """Codes out of each row's stream of bits: (rows, columns)."""
    stream = np.unpackbits(np.ascontiguousarray(plane), axis=1, bitorder="little")[:, :columns * bits]
    return stream.reshape(len(plane), columns, bits).astype(np.int32) @ (1 << np.arange(bits, dtype=np.int32))


def spread(groups, width, columns):
    """(rows, groups) → (rows, columns): what each column's group has."""
    return groups[:, np.arange(columns) // width]


def unzstd(frame, size):
    """The content of a zstd frame of at most `size` bytes; None when it is broken."""
    try:
        from compression.zstd import ZstdDecompressor
        return ZstdDecompressor().decompress(frame, max_length=size + 1)
    except ImportError:
        pass
    try:
        import zstandard
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except ImportError:
        run = subprocess.Popen(["zstd", "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return run.communicate(frame)[0]
    except Exception:
        return None


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("files", nargs="+")
    arguments.add_argument("--digests", action="store_true", help="SHA-256 of each tensor's values")
    arguments.add_argument("--tensor", metavar="NAME", help="print the values of one tensor")
    arguments.add_argument("--dump", metavar="FOLDER", help="write side files and tensors as .npy")
    options = arguments.parse_args()
    failed = False
    for path in options.files:
        try:
            show(Artifact(path), options)
        except (FormatError, OSError) as error:
            print(error, file=sys.stderr)
            failed = True
    return failed


def show(artifact, options):
    with np.errstate(all="ignore"):
        for tensor in artifact.tensors.values():
            if options.digests:
                print(artifact.digest(tensor) or "no-values-in-f32", tensor.name)
            elif options.dump:
                values = artifact.values(tensor)
                os.makedirs(options.dump, exist_ok=True)
                if values is not None:
                    np.save(os.path.join(options.dump, tensor.name.replace("/", "_") + ".npy"), values)
            elif options.tensor is None:
                place = f"part {tensor.part + 1} byte {tensor.start}"
                print(f"{tensor.name}  {tensor.kind}  {list(tensor.shape)}  {tensor.encoding.name}  {place}")
        if options.tensor is not None:
            if options.tensor not in artifact.tensors:
                raise FormatError(artifact.path, f"a tensor {options.tensor!r}", "none of this name")
            print(artifact.values(artifact.tensors[options.tensor]))
    for file in artifact.files.values():
        content = artifact.content(file) if options.dump else None
        if options.dump:
            with open(os.path.join(options.dump, file.name), "wb") as out:
                out.write(content)
        elif not options.digests and options.tensor is None:
            print(f"{file.name}  {'provenance' if file.kind else 'side file'}  {file.raw} bytes")


if __name__ == "__main__":
    sys.exit(main())
