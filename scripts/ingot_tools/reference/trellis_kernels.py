"""The project's trellis kernels, compiled from its sources and called through ctypes; for trellis.py."""

import ctypes
import pathlib
import subprocess
import tempfile

import numpy as np

from ingot_tools import REPOSITORY

KERNELS = REPOSITORY / "Sources" / "CIngotKernels"
SCALAR, AVX2, AVX512, NEON = range(4)
UNIT = 64  # targets and books are so many times a value
MULTIPLIER = 0x83DCD12D


class Shape(ctypes.Structure):
    _fields_ = [("halves", ctypes.c_uint), ("window", ctypes.c_uint), ("ring", ctypes.c_size_t)]


class Job(ctypes.Structure):
    _fields_ = [("trellis", Shape), ("book", ctypes.c_void_p), ("rows", ctypes.c_size_t), ("columns", ctypes.c_size_t),
                ("row_scales", ctypes.c_void_p), ("inverses", ctypes.c_void_p), ("column_scales", ctypes.c_void_p),
                ("codes", ctypes.c_void_p)]


# One instruction set's bodies, as Sources/CIngotKernels/vector/*.c compile them.
BODIES = """#include <string.h>
#include "quantize.h"
#if {guard}
{include}
#define INGOT_SUFFIX {suffix}
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi"
{begin}
#include "vector/trellis.h"
{extra}
{end}
#endif
"""
BEGIN = '#pragma clang attribute push(__attribute__((target("{}"))), apply_to = function)'
AVX2_FEATURES = "avx2,fma,f16c,bmi,bmi2"
AVX512_FEATURES = AVX2_FEATURES + ",avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi"


def build(extra=""):
    """The trellis kernels as a library; `extra` is C source that is compiled with each instruction set's bodies."""
    folder = pathlib.Path(tempfile.mkdtemp())
    sources = [str(KERNELS / "trellis.c"), str(KERNELS / "isa.c")]
    x86 = dict(guard="defined(INGOT_X86)", end="#pragma clang attribute pop", extra=extra)
    for suffix, features, more in (("avx2", AVX2_FEATURES, ""), ("avx512", AVX512_FEATURES, "#define INGOT_VBMI 1"),
                                   ("neon", None, "")):
        fields = x86 | dict(begin=BEGIN.format(features), include="#include <immintrin.h>\n" + more) if features else dict(
            guard="defined(INGOT_ARM64)", begin="", end="", include="", extra=extra)
        path = folder / f"{suffix}.c"
        path.write_text(BODIES.format(suffix=suffix, **fields))
        sources.append(str(path))
    library = str(folder / "kernels.so")
    subprocess.run(["clang", "-O2", "-shared", "-fPIC", f"-I{KERNELS}/include", f"-I{KERNELS}", *sources, "-o", library, "-lm"],
                   check=True)
    lib = ctypes.CDLL(library)
    lib.ingot_trellis_scratch.restype = ctypes.c_size_t
    lib.best = lib.ingot_isa_best()  # type: ignore[attr-defined]
    return lib


def address(array):
    return ctypes.c_void_p(array.ctypes.data) if array is not None else None


def values_of(window, multiplier=MULTIPLIER):
    """Sums of bytes of each state's product, around 0: (2^window) whole numbers."""
    x = np.arange(1 << window, dtype=np.uint64) * multiplier & 0xFFFFFFFF
    return (sum(x >> shift & 255 for shift in (0, 8, 16, 24)).astype(np.int64) - 510).astype(np.int16)


def book_of(values):
    """What the search wants: values in units, by states with their latest bit in bit 0."""
    window = len(values).bit_length() - 1
    index = np.arange(1 << window)
    reverse = sum((index >> i & 1) << (window - 1 - i) for i in range(window))
    return np.ascontiguousarray(np.rint(np.asarray(values)[reverse] * UNIT).astype(np.int16))


class Trellis:
    """Paths of one shape over a book of any values."""

    def __init__(self, lib, halves, window, ring=256, values=None):
        self.lib, self.shape = lib, Shape(halves, window, ring)
        self.book = book_of(values_of(window) if values is None else values)
        self.scratch = np.zeros(lib.ingot_trellis_scratch(ctypes.byref(self.shape)) + 64, np.uint8)

    def path(self, targets):
        """Values nearest to a multiple of the ring's length of targets, in the book's measure."""
        ring = self.shape.ring
        wanted = np.clip(np.rint(targets * UNIT), -32767, 32767).astype(np.int16).reshape(-1, ring)
        states = np.zeros(wanted.shape, np.uint16)
        for line, state in zip(wanted, states):
            self.lib.ingot_trellis_ring(self.lib.best, ctypes.byref(self.shape), address(self.book), address(line),
                                        address(state), address(self.scratch))
        return (self.book[states] / UNIT).reshape(targets.shape)

    def columns(self, weights, order, factor, row_scales, column_scales):
        """Codes columns in order; `weights` (columns in order, rows) are changed. Gives values (columns, rows) and codes."""
        count, rows = weights.shape
        columns = len(column_scales)
        codes = np.zeros((-(-rows // 64) * self.shape.halves, columns), np.uint32)
        values, errors = np.zeros((columns, rows), np.float32), np.zeros((count, rows), np.float32)
        inverses = np.where(row_scales != 0, 1 / row_scales, 0).astype(np.float32)
        order = np.ascontiguousarray(order, np.uint32)
        job = Job(self.shape, address(self.book), rows, columns, address(row_scales), address(inverses),
                  address(column_scales), address(codes))
        self.lib.ingot_trellis_columns(
            self.lib.best, ctypes.byref(job), address(order), ctypes.c_size_t(count), address(weights), address(factor),
            ctypes.c_size_t(0 if factor is None else factor.shape[1]), address(values), address(errors), address(self.scratch))
        return values, codes
