"""Tensors of each encoding for make-ingot-vectors: planes as SPEC.md states them, and the values they stand for."""

import hashlib
import struct

import numpy as np

import ingot_block_vectors as blocks
import ingot_point_vectors as points

TYPES = {
    "F64": 0, "F32": 1, "F16": 2, "BF16": 3, "F8_E4M3": 4, "F8_E5M2": 5, "F8_E8M0": 6, "F6_E2M3": 7, "F6_E3M2": 8,
    "F4": 9, "I64": 10, "I32": 11, "I16": 12, "I8": 13, "U64": 14, "U32": 15, "U16": 16, "U8": 17, "BOOL": 18, "C64": 19}
WIDTH = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6,
    "F4": 4, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64}
OFFSETS = {"sym": 0, "zero": 1, "bias": 2}


def align(value, step):
    return -(-value // step) * step


# ---- Values -------------------------------------------------------------------------------------------------------


class Source:
    """Bytes that depend on a name only."""

    def __init__(self, name):
        self.name, self.used = name, 0

    def take(self, count):
        data = hashlib.shake_256(self.name.encode()).digest(self.used + count)[self.used:]
        self.used += count
        return data

    def integers(self, count, limit):
        return [value % limit for value in struct.unpack(f"<{count}I", self.take(4 * count))]

    def floats(self, kind, count, low=-6, high=3):
        """Bits of finite values with exponents low…high; returns (bytes, values in F32)."""
        bits = np.array(self.integers(count, 1 << 32), np.uint64)
        fraction, width, bias = {"F32": (23, 32, 127), "F16": (10, 16, 15), "BF16": (7, 16, 127)}[kind]
        exponents = np.array([bias + low + e for e in self.integers(count, high - low + 1)], np.uint64)
        word = (bits >> 31) << (width - 1) | exponents << fraction | bits & ((1 << fraction) - 1)
        return store(kind, word)


def store(kind, words):
    """Bit patterns as bytes, and as values in F32."""
    words = np.array(words, np.uint64)
    if kind == "F32":
        data = words.astype("<u4").tobytes()
        return data, np.frombuffer(data, "<f4")
    data = words.astype("<u2").tobytes()
    if kind == "F16":
        return data, np.frombuffer(data, "<f2").astype(np.float32)
    return data, np.frombuffer((words << 16).astype("<u4").tobytes(), "<f4")


def float8(kind, code):
    """The value of one code, by the definition of its format."""
    sign, rest = (-1.0 if code & 128 else 1.0), code & 127
    mantissa, bias = (3, 7) if kind == "F8_E4M3" else (2, 15)
    exponent, fraction = rest >> mantissa, rest & ((1 << mantissa) - 1)
    if kind == "F8_E4M3" and rest == 127 or kind == "F8_E5M2" and rest > 124:
        return float("nan")
    if kind == "F8_E5M2" and rest == 124:
        return sign * float("inf")
    if exponent == 0:
        return sign * fraction * 2.0 ** (1 - bias - mantissa)
    return sign * (1 + fraction / (1 << mantissa)) * 2.0 ** (exponent - bias)


def pack(codes, bits):
    """One row of codes as one stream of bits."""
    stream = sum(code << (bits * place) for place, code in enumerate(codes))
    return stream.to_bytes(-(-len(codes) * bits // 8), "little")


# ---- Tensors ------------------------------------------------------------------------------------------------------


class Tensor:
    def __init__(self, name, kind, shape, record, planes, values, layer=-1, expert=-1, encoding=""):
        self.name, self.kind, self.shape, self.layer, self.expert = name, kind, shape, layer, expert
        self.record, self.planes, self.encoding = record.ljust(32, b"\0"), planes, encoding
        # Types without values in F32 are held to their bytes.
        self.values = None if values is None else np.asarray(values, np.float32).astype("<f4").tobytes()

    def length(self):
        end = 0
        for plane in self.planes:
            end = align(end, 64) + len(plane)
        return end


def matrix(shape):
    return int(np.prod(shape[:-1], dtype=object)) if shape else 1, shape[-1] if shape else 1


def dense(name, tensor_kind, shape, kind, data=None, **place):
    count = int(np.prod(shape, dtype=object))
    source = Source(name)
    values = None
    if data is not None:
        data, values = data
    elif kind in ("F32", "F16", "BF16"):
        data, values = source.floats(kind, count)
    elif kind in ("F8_E4M3", "F8_E5M2"):
        finite = [code for code in range(256) if np.isfinite(float8(kind, code))]
        codes = [finite[index % len(finite)] for index in range(count)]
        data, values = bytes(codes), [float8(kind, code) for code in codes]
    else:
        data = source.take(count * WIDTH[kind] // 8)
        if kind == "BOOL":
            data = bytes(byte & 1 for byte in data)
    return Tensor(name, tensor_kind, shape, bytes([0, TYPES[kind]]), [data], values, encoding=kind, **place)


def block_scaled(name, tensor_kind, shape, code, scale, block, **place):
    rows, columns = matrix(shape)
    source = Source(name)
    finite = [value for value in range(256) if np.isfinite(float8(code, value))]
    codes = [finite[index] for index in source.integers(rows * columns, len(finite))]
    grid = -(-rows // block[0]), -(-columns // block[1])
    data, scales = source.floats(scale, grid[0] * grid[1], -12, 2)
    values = np.array([float8(code, value) for value in codes], np.float32).reshape(rows, columns)
    with np.errstate(all="ignore"):
        for row in range(rows):
            for column in range(columns):
                values[row, column] *= scales[row // block[0] * grid[1] + column // block[1]]
    return Tensor(
        name, tensor_kind, shape, struct.pack("<3B9x2I", 1, TYPES[code], TYPES[scale], *block), [bytes(codes), data], values,
        encoding=f"{code} {block[0]}x{block[1]} {scale}", **place)


def affine(name, tensor_kind, shape, bits, group, offset, scale, exponents=(-6, 3), **place):
    rows, columns = matrix(shape)
    width = group or columns
    groups = -(-columns // width)
    source = Source(name)
    u = np.array(source.integers(rows * columns, 1 << bits)).reshape(rows, columns)
    packed = b"".join(pack([int(code) for code in row], bits) for row in u)
    scale_bytes, s = source.floats(scale, rows * groups, *exponents)
    s = s.reshape(rows, groups)
    planes = [packed, scale_bytes]
    z = b = None
    if offset == "zero":
        z = np.array(source.integers(rows * groups, 1 << bits)).reshape(rows, groups)
        planes.append(b"".join(pack([int(code) for code in row], bits) for row in z))
    elif offset == "bias":
        bias_bytes, b = source.floats(scale, rows * groups, *exponents)
        b = b.reshape(rows, groups)
        planes.append(bias_bytes)
    values = np.zeros((rows, columns), np.float32)
    with np.errstate(all="ignore"):
        for row in range(rows):
            for column in range(columns):
                k = column // width
                if offset == "sym":
                    values[row, column] = s[row, k] * np.float32(int(u[row, column]) - (1 << (bits - 1)))
                elif offset == "zero":
                    values[row, column] = s[row, k] * np.float32(int(u[row, column]) - int(z[row, k]))
                else:
                    product = np.float32(s[row, k] * np.float32(u[row, column]))
                    values[row, column] = product + b[row, k]
    record = struct.pack("<5B3xI", 2, 0, TYPES[scale], bits, OFFSETS[offset], group or 0)
    name_ = f"int{bits} {f'g{group}' if group else 'row'} {offset} {scale}"
    return Tensor(name, tensor_kind, shape, record, planes, values, encoding=name_, **place)


def e2m1(code):
    """The value of a code of F4, by the definition of its format: sign, two bits of exponent, one of fraction."""
    exponent, fraction = code >> 1 & 3, code & 1
    magnitude = (1 + fraction / 2) * 2.0 ** (exponent - 1) if exponent else fraction / 2
    return -magnitude if code & 8 else magnitude


def micro_scaled(name, shape, code, group, scale, divisor=None, scales=None, factor=None, **place):
    """`divisor`, `factor`: the global scale; `scales`: their bytes, else drawn."""
    rows, columns = matrix(shape)
    groups = -(-columns // group)
    source = Source(name)
    finite = [value for value in range(256) if np.isfinite(float8("F8_E4M3", value))]
    if code == "F4":
        codes = [source.integers(columns, 16) for _ in range(rows)]
        packed = b"".join(pack(row, 4) for row in codes)
    else:
        codes = [[finite[index] for index in source.integers(columns, len(finite))] for _ in range(rows)]
        packed = b"".join(bytes(row) for row in codes)
    if scales is None:
        drawn = source.integers(rows * groups, 254)
        scales = bytes(finite[index] for index in drawn) if scale == "F8_E4M3" else bytes(112 + index % 20 for index in drawn)
    planes = [packed, scales]
    use = 1 if divisor is not None else 2 if factor is not None else 0
    number = np.float32((1, divisor, factor)[use])
    if use:
        planes.append(number.astype("<f4").tobytes() if rows and groups else b"")
    values = np.zeros((rows, columns), np.float32)
    with np.errstate(all="ignore"):
        for row in range(rows):
            for column in range(columns):
                byte = scales[row * groups + column // group]
                s = np.float32(2.0 ** (byte - 127) if scale == "F8_E8M0" else float8(scale, byte))
                s = (s, s / number, s * number)[use]
                u = codes[row][column]
                values[row, column] = np.float32(e2m1(u) if code == "F4" else float8(code, u)) * s
    record = struct.pack("<5B3xI", 4, TYPES[code], TYPES[scale], 0, use, group)
    name_ = f"{code} g{group} {scale}{('', ' global', ' factor')[use]}"
    return Tensor(name, "unknown", shape, record, planes, values, encoding=name_, **place)


def ggml(name, shape, kind, made=None, **place):
    """`made`: (bytes, values) of each block, else drawn."""
    maker = blocks if kind in blocks.TYPES else points
    number, weights, *_ = maker.TYPES[kind]
    count = int(np.prod(shape, dtype=object)) // weights
    if made is None:
        source = Source(name)
        made = [maker.drawn(kind, source.integers) for _ in range(count)]
    assert len(made) == count
    return Tensor(name, "unknown", shape, bytes([3, number]), [b"".join(data for data, _ in made)],
                  [value for _, values in made for value in values], encoding=kind, **place)
