"""GGML blocks of numbered points and of few values, made from their fields as SPEC.md places them. Used by make-ingot-vectors."""

import os
import struct

import numpy as np

# Name: number, weights of a block, bytes.
TYPES = {
    "IQ2_XXS": (16, 256, 66), "IQ2_XS": (17, 256, 74), "IQ3_XXS": (18, 256, 98), "IQ1_S": (19, 256, 50), "IQ3_S": (21, 256, 110),
    "IQ2_S": (22, 256, 82), "IQ1_M": (29, 256, 56), "TQ1_0": (34, 256, 54), "TQ2_0": (35, 256, 66), "NVFP4": (40, 64, 36),
    "Q1_0": (41, 128, 18), "Q2_0": (42, 64, 18)}
TWICE_E2M1 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
IQ3_XXS = (4, 12, 20, 28, 36, 44, 52, 62)
POINTS = {}
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, "formats", "ingot", "ggml_points.txt")) as file:
    for line in file:
        kind, text = line.split()
        POINTS[kind] = [int(text[at + 2:at + 4] + text[at:at + 2], 16) for at in range(0, len(text), 4)]
POINTS["IQ1_M"] = POINTS["IQ1_S"]


def entries(name, number):
    point = POINTS[name][number]
    if name.startswith("IQ3"):
        codes = [point >> 3 * k & 7 for k in range(4)]
        return [IQ3_XXS[code] if name == "IQ3_XXS" else 2 * code + 1 for code in codes]
    codes = [point >> 2 * k & 3 for k in range(8)]
    return [(8, 25, 43)[code] if name.startswith("IQ2") else code - 1 for code in codes]


def half(bits):
    return np.float32(struct.unpack("<e", struct.pack("<H", bits))[0])


def stream(pairs):
    """Bytes of (number, width in bits), the first in the lowest bits."""
    number = at = 0
    for value, width in pairs:
        assert 0 <= value < 1 << width
        number |= value << at
        at += width
    assert at % 8 == 0
    return number.to_bytes(at // 8, "little")


def block(name, d, integers):
    """(bytes, values) of a block with the scale `d`, bits of a binary16, and drawn fields."""
    f32, weights = np.float32, TYPES[name][1]
    scale = half(d)

    def run(numbers, width):
        return stream([(number, width) for number in numbers])

    if name[:2] == "IQ":
        count = weights // len(entries(name, 0))
        numbers = integers(count, len(POINTS[name]))
        low, high = [number & 255 for number in numbers], [number >> 8 for number in numbers]
        parts = 16 if name in ("IQ2_XS", "IQ2_S", "IQ1_M") else 8
        multiples = integers(parts, 8 if name[:3] == "IQ1" else 16)
        shifts = integers(32 if name == "IQ1_M" else 8, 2)
        eights = integers(32, 128 if name in ("IQ2_XXS", "IQ2_XS", "IQ3_XXS") else 256)
        signs = [bits | bin(bits).count("1") % 2 << 7 if name in ("IQ2_XXS", "IQ2_XS", "IQ3_XXS") else bits for bits in eights]
        if name == "IQ2_XXS":
            data = b"".join(
                run(numbers[4 * p:4 * p + 4], 8) + stream([(s, 7) for s in eights[4 * p:4 * p + 4]] + [(multiples[p], 4)])
                for p in range(8))
        elif name == "IQ2_XS":
            data = stream([pair for k in range(32) for pair in ((numbers[k], 9), (eights[k], 7))]) + run(multiples, 4)
        elif name == "IQ2_S":
            data = run(low, 8) + run(eights, 8) + run(high, 2) + run(multiples, 4)
        elif name == "IQ3_XXS":
            data = run(numbers, 8) + b"".join(
                stream([(s, 7) for s in eights[4 * p:4 * p + 4]] + [(multiples[p], 4)]) for p in range(8))
        elif name == "IQ3_S":
            data = run(low, 8) + run(high, 1) + run(eights, 8) + run(multiples, 4)
        elif name == "IQ1_S":
            data = run(low, 8) + b"".join(
                stream([(h, 3) for h in high[4 * p:4 * p + 4]] + [(multiples[p], 3), (shifts[p], 1)]) for p in range(8))
        else:
            data = run(low, 8) + stream([pair for k in range(32) for pair in ((high[k], 3), (shifts[k], 1))]) + b"".join(
                stream([(m, 3) for m in multiples[4 * k:4 * k + 4]] + [(d >> 4 * k & 15, 4)]) for k in range(4))
        if name != "IQ1_M":
            data = struct.pack("<H", d) + data
        values = []
        for k, number in enumerate(numbers):
            m = multiples[k * parts // count]
            if name[:3] == "IQ1":
                a = scale * f32(2 * m + 1)
                shift = f32(-0.125 if shifts[k * len(shifts) // count] else 0.125)
                values += [a * (f32(entry) + shift) for entry in entries(name, number)]
                continue
            if name == "IQ3_S":
                a = scale * f32(2 * m + 1)
            else:
                a = scale * (f32(0.5) + f32(m)) * f32(0.5 if name == "IQ3_XXS" else 0.25)
            for j, entry in enumerate(entries(name, number)):
                w = k * len(entries(name, number)) + j
                value = a * f32(entry)
                values.append(-value if signs[w // 8] >> w % 8 & 1 else value)
    elif name == "TQ1_0":
        codes, places = integers(256, 3), [None] * 52
        # Byte b holds the digits of places[b], the first one counting most; the last bytes have four.
        for w in range(256):
            b = w % 32 if w < 160 else 32 + (w - 160) % 16 if w < 240 else 48 + (w - 240) % 4
            places[b] = (places[b] or []) + [w]
        data = b""
        for ws in places:
            digits = [codes[w] for w in ws] + [0] * (5 - len(ws))
            number = sum(digit * 3 ** (4 - k) for k, digit in enumerate(digits))
            data += bytes([(number * 256 + 242) // 243])
        data += struct.pack("<H", d)
        values = [scale * f32(code - 1) for code in codes]
    elif name == "TQ2_0":
        codes = integers(256, 4)
        data = bytes(sum(codes[128 * (b // 32) + 32 * n + b % 32] << 2 * n for n in range(4)) for b in range(64))
        data += struct.pack("<H", d)
        values = [scale * f32(code - 1) for code in codes]
    elif name == "NVFP4":
        scales, codes = [d & 255] + integers(3, 127), integers(64, 16)
        data = bytes(scales) + bytes(codes[b // 8 * 16 + b % 8] | codes[b // 8 * 16 + 8 + b % 8] << 4 for b in range(32))

        def e4m3(byte):
            exponent, fraction = byte >> 3 & 15, byte & 7
            if byte == 0x7F:
                return 0.0
            return fraction / 8 * 2.0 ** -6 if exponent == 0 else (1 + fraction / 8) * 2.0 ** (exponent - 7)
        values = [f32(e4m3(scales[w // 16]) / 2) * f32(TWICE_E2M1[code]) for w, code in enumerate(codes)]
    else:
        bits = 1 if name == "Q1_0" else 2
        codes = integers(weights, 1 << bits)
        data = struct.pack("<H", d) + run(codes, bits)
        values = [scale * f32(2 * code - 1 if bits == 1 else code - 1) for code in codes]
    assert len(data) == TYPES[name][2] and len(values) == weights
    return data, values


def drawn(name, integers):
    sign, exponent, fraction = (integers(1, limit)[0] for limit in (2, 12, 1024))
    return block(name, sign << 15 | exponent << 10 | fraction, integers)


def edges(name, integers):
    """Scales that are zero, subnormal, largest and negative; of NVFP4 also NaN, which is 0."""
    return [block(name, d, integers) for d in (0x0000, 0x8000, 0x0001, 0x83FF, 0x5BFF, 0xBC01, 0x007F, 0x00FF)]
