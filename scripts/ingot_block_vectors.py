"""GGML blocks made from codes, multiples and scales, bit by bit as SPEC.md places them. Used by make-ingot-vectors."""

import struct

import numpy as np

CURVE = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
TWICE_E2M1 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

# Name: number, weights of a block and of a part, bytes; limits of a code, of s and of t; what is taken from s.
TYPES = {
    "Q4_0": (2, 32, 32, 18, 16, 0, 0, 0), "Q4_1": (3, 32, 32, 20, 16, 0, 0, 0), "Q5_0": (6, 32, 32, 22, 32, 0, 0, 0),
    "Q5_1": (7, 32, 32, 24, 32, 0, 0, 0), "Q8_0": (8, 32, 32, 34, 256, 0, 0, 0), "Q2_K": (10, 256, 16, 84, 4, 16, 16, 0),
    "Q3_K": (11, 256, 16, 110, 8, 64, 0, 32), "Q4_K": (12, 256, 32, 144, 16, 64, 64, 0),
    "Q5_K": (13, 256, 32, 176, 32, 64, 64, 0), "Q6_K": (14, 256, 16, 210, 64, 256, 0, 128),
    "IQ4_NL": (20, 32, 32, 18, 16, 0, 0, 0), "IQ4_XS": (23, 256, 32, 136, 16, 64, 0, 32), "MXFP4": (39, 32, 32, 17, 16, 0, 0, 0)}


def value_of(name, u):
    """v(u)."""
    if name in ("IQ4_NL", "IQ4_XS"):
        return CURVE[u]
    if name == "MXFP4":
        return TWICE_E2M1[u]
    if name == "Q8_0":
        return u - 256 if u >= 128 else u
    return u - {"Q4_0": 8, "Q5_0": 16, "Q3_K": 4, "Q6_K": 32}.get(name, 0)


class Bits:
    """A block under construction; no bit is written twice."""

    def __init__(self, size):
        self.number, self.taken, self.size = 0, 0, size

    def put(self, byte, bit, width, value):
        at, value = 8 * byte + bit, value & (1 << width) - 1
        mask = ((1 << width) - 1) << at
        assert not self.taken & mask
        self.taken |= mask
        self.number |= value << at

    def bytes(self):
        assert self.taken == (1 << 8 * self.size) - 1, "bits that no field has"
        return self.number.to_bytes(self.size, "little")

    def halves(self, at, u, run):
        for c, code in enumerate(u):
            l = c % run
            self.put(at + c // run * run // 2 + l % (run // 2), 4 if l >= run // 2 else 0, 4, code)

    def pairs(self, at, u):
        for c, code in enumerate(u):
            self.put(at + c // 128 * 32 + c % 32, c % 128 // 32 * 2, 2, code)

    def single(self, at, u):
        for c, code in enumerate(u):
            self.put(at + c % 32, c // 32, 1, code)

    def word(self, at, u):
        for c, code in enumerate(u):
            self.put(at + c // 8, c % 8, 1, code)


def pack(name, d, m, s, t, u):
    """One block. `d`, `m`: bits of a binary16, or an exponent; `s` as stored, without what is taken from it."""
    out = Bits(TYPES[name][3])
    low, pair, third, fifth = [c & 15 for c in u], [c & 3 for c in u], [c >> 2 & 1 for c in u], [c >> 4 & 1 for c in u]
    if name in ("Q4_0", "IQ4_NL"):
        out.put(0, 0, 16, d)
        out.halves(2, low, 32)
    elif name == "Q4_1":
        out.put(0, 0, 16, d)
        out.put(2, 0, 16, m)
        out.halves(4, low, 32)
    elif name == "Q5_0":
        out.put(0, 0, 16, d)
        out.word(2, fifth)
        out.halves(6, low, 32)
    elif name == "Q5_1":
        out.put(0, 0, 16, d)
        out.put(2, 0, 16, m)
        out.word(4, fifth)
        out.halves(8, low, 32)
    elif name == "Q8_0":
        out.put(0, 0, 16, d)
        for c, code in enumerate(u):
            out.put(2 + c, 0, 8, code)
    elif name == "Q2_K":
        for j in range(16):
            out.put(j, 0, 4, s[j])
            out.put(j, 4, 4, t[j])
        out.pairs(16, pair)
        out.put(80, 0, 16, d)
        out.put(82, 0, 16, m)
    elif name == "Q3_K":
        out.single(0, third)
        out.pairs(32, pair)
        for j in range(16):
            out.put(96 + j % 8, j // 8 * 4, 4, s[j])
            out.put(104 + j % 4, j // 4 * 2, 2, s[j] >> 4)
        out.put(108, 0, 16, d)
    elif name in ("Q4_K", "Q5_K"):
        out.put(0, 0, 16, d)
        out.put(2, 0, 16, m)
        for j in range(4):
            out.put(4 + j, 0, 6, s[j])
            out.put(8 + j, 0, 6, t[j])
            out.put(12 + j, 0, 4, s[4 + j])
            out.put(4 + j, 6, 2, s[4 + j] >> 4)
            out.put(12 + j, 4, 4, t[4 + j])
            out.put(8 + j, 6, 2, t[4 + j] >> 4)
        if name == "Q5_K":
            out.single(16, fifth)
        out.halves(48 if name == "Q5_K" else 16, low, 64)
    elif name == "Q6_K":
        out.halves(0, low, 128)
        out.pairs(128, [c >> 4 for c in u])
        for j in range(16):
            out.put(192 + j, 0, 8, s[j] - 128)
        out.put(208, 0, 16, d)
    elif name == "IQ4_XS":
        out.put(0, 0, 16, d)
        for j in range(8):
            out.put(2 + 2 * j // 8, 2 * j % 8, 2, s[j] >> 4)
            out.put(4 + j // 2, j % 2 * 4, 4, s[j])
        out.halves(8, low, 32)
    elif name == "MXFP4":
        out.put(0, 0, 8, d)
        out.halves(1, low, 32)
    return out.bytes()


def half(bits):
    return struct.unpack("<e", struct.pack("<H", bits))[0]


def values(name, d, m, s, t, u):
    """What `pack` of the same stands for: all but the subtraction is exact in F32."""
    part, taken = TYPES[name][2], TYPES[name][7]
    d = 2.0 ** (d - 128) if name == "MXFP4" else half(d)
    out = []
    for c, code in enumerate(u):
        product = d * (s[c // part] - taken if s else 1) * value_of(name, code)
        with np.errstate(over="ignore"):
            value = np.float32(product)
        # MXFP4 alone reaches past the largest F32.
        assert float(value) == product or name == "MXFP4" and abs(product) >= 2.0 ** 128
        if m is not None:
            minimum = half(m) * (t[c // part] if t else -1)
            assert float(np.float32(minimum)) == minimum
            value = value - np.float32(minimum)
        out.append(value)
    return out


def has_minimum(name):
    return name in ("Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K")


def block(name, d, m, s, t, u):
    """(bytes, values) of one block."""
    m = m if has_minimum(name) else None
    return pack(name, d, m, s, t, u), values(name, d, m, s, t, u)


def drawn(name, integers):
    """A block of drawn fields; `integers(count, limit)` draws."""
    _, weights, part, _, codes, scales, minima, _ = TYPES[name]
    parts = weights // part

    def binary16():
        sign, exponent, fraction = (integers(1, limit)[0] for limit in (2, 12, 1024))
        return sign << 15 | exponent << 10 | fraction

    d, m = 118 + integers(1, 10)[0] if name == "MXFP4" else binary16(), binary16()
    return block(name, d, m, integers(parts, scales) if scales else [], integers(parts, minima) if minima else [],
                 integers(weights, codes))


def edges(name, integers):
    """Blocks at the edges: zero, subnormal, largest and negative scales; all codes and multiples the largest or zero."""
    _, weights, part, _, codes, scales, minima, _ = TYPES[name]
    parts = weights // part

    def filled(limit, count, how):
        if not limit:
            return []
        return integers(count, limit) if how == "drawn" else [limit - 1 if how == "most" else 0] * count

    # d and m, and how s, t and u are filled.
    if name == "MXFP4":
        cases = [(e, 0, "most", "drawn") for e in (0, 1, 2, 127, 128, 252, 255)] + [(130, 0, "most", "most")]
    else:
        cases = [
            (0x0000, 0x0000, "drawn", "drawn"), (0x8000, 0x8000, "drawn", "drawn"), (0x0001, 0x8001, "drawn", "drawn"),
            (0x83FF, 0x03FF, "drawn", "drawn"), (0x7BFF, 0xFBFF, "most", "most"), (0xFBFF, 0xFBFF, "most", "none"),
            (0x7BFF, 0x0001, "none", "most"), (0xBC01, 0x3C01, "none", "none"), (0x0400, 0x7BFF, "most", "drawn")]
    return [block(name, d, m, filled(scales, parts, multiples), filled(minima, parts, multiples), filled(codes, weights, us))
            for d, m, multiples, us in cases]
