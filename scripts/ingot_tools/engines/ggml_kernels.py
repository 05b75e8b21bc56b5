"""The quantizers of GGML's blocks, ours and llama.cpp's, called from here.

Ours are compiled from Sources/CIngotKernels with the clang of the Swift toolchain ($CC names another) as a release build
compiles them; llama.cpp's are in the library that llama-cpp-python brings.
"""

import atexit
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np

from ingot_tools import REPOSITORY

ROOT = str(REPOSITORY)
SCALAR = 0

# Number in GGUF files, weights and bytes of a block.
TYPES = {
    "q4_0": (2, 32, 18), "q4_1": (3, 32, 20), "q5_0": (6, 32, 22), "q5_1": (7, 32, 24), "q8_0": (8, 32, 34),
    "q2_k": (10, 256, 84), "q3_k": (11, 256, 110), "q4_k": (12, 256, 144), "q5_k": (13, 256, 176),
    "q6_k": (14, 256, 210), "iq4_nl": (20, 32, 18), "iq4_xs": (23, 256, 136), "mxfp4": (39, 32, 17),
    "iq2_xxs": (16, 256, 66), "iq2_xs": (17, 256, 74), "iq2_s": (22, 256, 82), "iq3_xxs": (18, 256, 98),
    "iq3_s": (21, 256, 110), "iq1_s": (19, 256, 50), "iq1_m": (29, 256, 56),
}
# Codes number points of a lattice: llama.cpp makes all but IQ3_S with importance only.
LATTICES = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s")
ROUNDED = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4")


def address(array):
    return None if array is None else array.ctypes.data


def as_f32(array):
    return None if array is None else np.ascontiguousarray(array, np.float32)


def room(kind, count):
    _, weights, size = TYPES[kind]
    return np.zeros(count // weights * size, np.uint8)


class Ours:
    class Job(ctypes.Structure):
        _fields_ = [
            ("type", ctypes.c_int), ("weights", ctypes.c_void_p), ("importance", ctypes.c_void_p),
            ("rows", ctypes.c_size_t), ("columns", ctypes.c_size_t), ("search", ctypes.c_bool),
            ("blocks", ctypes.c_void_p)]

    def __init__(self):
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder)
        source = os.path.join(ROOT, "Sources", "CIngotKernels")
        files = [os.path.join(source, part, name) for part in ("", "vector")
                 for name in sorted(os.listdir(os.path.join(source, part))) if name.endswith(".c")]
        compiler = os.environ.get("CC") or shutil.which("clang")
        if not compiler and shutil.which("swift"):
            beside = os.path.join(os.path.dirname(os.path.realpath(shutil.which("swift") or "")), "clang")
            compiler = beside if os.path.exists(beside) else None
        if not compiler:
            sys.exit("no clang: $CC names one")
        library = os.path.join(folder, "kernels.so")
        subprocess.run(
            [compiler, "-O2", "-fPIC", "-shared", "-I", os.path.join(source, "include"), *files, "-o", library],
            check=True)
        self.library = ctypes.CDLL(library)
        self.best = self.library.ingot_isa_best()
        self.isa = ["scalar", "avx2", "avx512", "neon"][self.best]

    def quantize(self, kind, weights, importance=None, search=True, isa=None):
        """importance: by column, or by weight when it has the shape of `weights`."""
        weights, importance = as_f32(weights), as_f32(importance)
        rows, columns = weights.shape
        if importance is not None and importance.size == weights.size:
            rows, columns = 1, weights.size
        blocks = room(kind, weights.size)
        job = self.Job(
            TYPES[kind][0], address(weights), address(importance), rows, columns, search, address(blocks))
        self.library.ingot_quantize_ggml(self.best if isa is None else isa, ctypes.byref(job))
        return blocks

    def decode(self, kind, blocks):
        number, weights, size = TYPES[kind]
        count = blocks.size // size
        values = np.empty(count * weights, np.float32)
        self.library.ingot_decode_ggml(
            self.best, number, ctypes.c_void_p(address(blocks)), ctypes.c_void_p(address(values)),
            ctypes.c_size_t(count))
        return values


class Theirs:
    def __init__(self):
        package = os.path.dirname(importlib.util.find_spec("llama_cpp").origin)  # type: ignore[arg-type, union-attr]
        folder = os.path.join(package, "lib")
        name = next(n for n in sorted(os.listdir(folder)) if n.startswith(("libggml-base.so", "libggml-base.dylib")))
        library = ctypes.CDLL(os.path.join(folder, name))
        self.chunk = library.ggml_quantize_chunk
        self.chunk.restype = ctypes.c_size_t
        self.chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
        self.library = library

    def decode(self, kind, blocks, count):
        """Values of blocks of any type, by the reference decoder."""
        decoder = getattr(self.library, f"dequantize_row_{kind}")
        decoder.restype, decoder.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        values, blocks = np.zeros(count, np.float32), np.ascontiguousarray(blocks)
        decoder(address(blocks), address(values), count)
        return values

    def quantize(self, kind, weights, importance=None):
        weights, importance = as_f32(weights), as_f32(importance)
        if importance is None and kind in LATTICES:
            importance = np.ones(weights.shape[1], np.float32)
        blocks = room(kind, weights.size)
        self.chunk(TYPES[kind][0], address(weights), address(blocks), 0, *weights.shape, address(importance))
        return blocks


def mean_square(weights, width):
    squares = (weights.reshape(-1, width).astype(np.float64) ** 2).mean(1)
    return np.repeat(squares, width).reshape(weights.shape)


def own_weights(kind, weights, importance=None):
    """What llama.cpp's quantizer itself weighs squared errors by, derived from a weight's size."""
    columns = weights.shape[1]
    if importance is None:
        if kind in ("q4_k", "q5_k"):
            return np.sqrt(mean_square(weights, 32)) + np.abs(weights)
        if kind in ("q3_k", "q6_k", "iq4_nl", "iq4_xs"):
            return weights.astype(np.float64) ** 2
        return None
    spread = {
        "q4_0": (1, columns), "q4_1": (1, columns), "q5_0": (1, columns), "q5_1": (1, columns), "q2_k": (1, 256),
        "q3_k": (2, 256), "q4_k": (2, 256), "q5_k": (2, 256), "iq4_nl": (2, 32), "iq4_xs": (2, 256)}.get(kind)
    if spread is None:
        return None
    factor, width = spread
    return importance * np.sqrt(factor * mean_square(weights, width) + weights.astype(np.float64) ** 2)


def tensors(folder, command):
    """Matrices of a model in F32, by role: one of each kind a layer, decoded by `command` (our tool)."""
    from safetensors import safe_open

    with tempfile.TemporaryDirectory() as work:
        target = os.path.join(work, "dense")
        subprocess.run(
            [command, "convert", folder, "--decode", "f32", "--format", "safetensors", "-o", target],
            check=True, stdout=subprocess.DEVNULL)
        for name in sorted(os.listdir(target)):
            if not name.endswith(".safetensors"):
                continue
            with safe_open(os.path.join(target, name), "pt") as file:
                for key in file.keys():
                    value = file.get_tensor(key)
                    if value.ndim == 2 and "gate.weight" not in key and value.shape[1] % 256 == 0:
                        yield key, value.float().numpy()


def made_up(seed=1):
    """Random matrices with tails of all kinds."""
    random = np.random.default_rng(seed)
    shape = (64, 1024)
    yield "normal", random.standard_normal(shape).astype(np.float32) * 0.02
    for freedom in (2, 3, 5):
        yield f"student {freedom}", (random.standard_t(freedom, shape) * 0.02).astype(np.float32)
    yield "uniform", random.uniform(-1, 1, shape).astype(np.float32)
    yield "far from 0", (1 + 0.1 * random.standard_normal(shape)).astype(np.float32)
    loud = random.standard_normal(shape) * np.where(random.random(shape[1]) < 1 / 64, 20, 1)
    yield "loud columns", loud.astype(np.float32)
    sparse = random.standard_normal(shape) * (random.random(shape) < 0.1)
    yield "nine of ten 0", sparse.astype(np.float32)
    yield "rows from 1e-6 to 1e3", (random.standard_normal(shape) * 10 ** np.linspace(-6, 3, shape[0])[:, None]).astype(
        np.float32)
