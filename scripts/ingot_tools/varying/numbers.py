"""Types of stored values, written from their descriptions: F32 arrays to bytes and back."""

import numpy as np

SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U8": 1, "I8": 1, "I32": 4, "U32": 4,
         "I64": 8}


def _small_floats(exponent_bits, mantissa_bits, bias, greatest):
    """Values of the codes without a sign, in order, up to the greatest one that is finite."""
    values = []
    for code in range(1 << (exponent_bits + mantissa_bits)):
        exponent, mantissa = code >> mantissa_bits, code & ((1 << mantissa_bits) - 1)
        fraction = mantissa / (1 << mantissa_bits)
        value = fraction * 2.0 ** (1 - bias) if exponent == 0 else (1 + fraction) * 2.0 ** (exponent - bias)
        values.append(value)
        if value == greatest:
            break
    return np.array(values, np.float32)


E4M3 = _small_floats(4, 3, 7, 448)
E5M2 = _small_floats(5, 2, 15, 57344)
E2M1 = _small_floats(2, 1, 1, 6)


def nearest(values, table):
    """Codes of the values of a table that are nearest, the sign in the bit above."""
    values = np.asarray(values, np.float32)
    middles = (table[1:].astype(np.float64) + table[:-1]) / 2
    codes = np.searchsorted(middles, np.abs(values)).astype(np.uint8)
    sign = np.uint8(1 << (len(table) - 1).bit_length())
    return np.where(np.signbit(values) & (codes > 0), codes | sign, codes).astype(np.uint8)


def of_codes(codes, table):
    """Values of such codes."""
    sign = 1 << (len(table) - 1).bit_length()
    magnitude = table[np.minimum(codes & (sign - 1), len(table) - 1)]
    return np.where(codes & sign, -magnitude, magnitude).astype(np.float32)


def bf16(values):
    """BF16 nearest to F32 values, ties to even, as U16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def encoded(values, dtype):
    """A tensor's (dtype, shape, bytes)."""
    values = np.asarray(values)
    shape = list(values.shape)
    if dtype == "BF16":
        data = bf16(values)
    elif dtype == "F8_E8M0" or dtype == "U8" and values.dtype == np.float32:
        data = (np.round(np.log2(values)) + 127).astype(np.uint8)
    elif dtype == "F8_E4M3" and values.dtype == np.float32:
        data = nearest(values, E4M3)
    elif dtype == "F8_E5M2" and values.dtype == np.float32:
        data = nearest(values, E5M2)
    elif dtype in ("F8_E4M3", "F8_E5M2"):
        data = values
    else:
        data = values.astype({"F32": np.float32, "F16": np.float16, "U8": np.uint8, "I8": np.int8, "I32": np.int32,
                              "U32": np.uint32, "I64": np.int64}[dtype])
    return dtype, shape, np.ascontiguousarray(data).tobytes()


def decoded(stored):
    """F32 values of a stored tensor."""
    dtype, shape, data = stored
    if dtype == "BF16":
        values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    elif dtype == "F16":
        values = np.frombuffer(data, np.float16).astype(np.float32)
    elif dtype == "F32":
        values = np.frombuffer(data, np.float32)
    elif dtype in ("F8_E4M3", "F8_E5M2"):
        values = of_codes(np.frombuffer(data, np.uint8), E4M3 if dtype == "F8_E4M3" else E5M2)
    else:
        raise ValueError(dtype)
    return values.reshape(shape)


def lossless(values):
    """Types that hold all of the values."""
    with np.errstate(over="ignore"):
        exact = {"BF16": decoded(encoded(values, "BF16")), "F16": decoded(encoded(values, "F16"))}
    return ["F32"] + [dtype for dtype, again in exact.items() if np.array_equal(again, values)]


def short_scales(values):
    """Positive values rounded up to seven bits of mantissa and above what F16 has as subnormal, which F16, BF16 and F32 hold
    alike."""
    values = np.maximum(np.asarray(values, np.float32), np.float32(2.0 ** -13))
    step = np.exp2(np.floor(np.log2(values)) - 6).astype(np.float32)
    return (np.ceil(values / step) * step).astype(np.float32)


def powers(values):
    """Positive values rounded up to powers of two."""
    return np.exp2(np.ceil(np.log2(np.maximum(np.asarray(values, np.float32), np.float32(2.0 ** -40))))).astype(np.float32)


def packed(codes, bits):
    """Rows of codes as LSB-first streams of 32-bit words: (rows, words)."""
    codes = np.asarray(codes, np.uint32)
    stream = ((codes[..., None] >> np.arange(bits, dtype=np.uint32)) & 1).reshape(codes.shape[0], -1)
    spare = -stream.shape[1] % 32
    stream = np.pad(stream, ((0, 0), (0, spare))).reshape(codes.shape[0], -1, 32)
    return (stream << np.arange(32, dtype=np.uint32)).sum(-1, dtype=np.uint64).astype(np.uint32)
