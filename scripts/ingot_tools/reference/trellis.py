#!/usr/bin/env python3
"""Why trellis codes are as they are: error, decoding and encoding cost of what they could have been, as a page.

    trellis.py MODEL OUT [--cache FILE]      MODEL: a small MiniMax-M2 with text/calibration and text/heldout

Compiles the kernels of Sources/CIngotKernels/trellis.c with clang and measures on one core: on Gaussian weights, and on
experts of the model with the second moments of their inputs, codes being chosen one column after the other with what
each leaves made up for by those after it (LDLQ). Needs numpy, and for the experts what oracle.py needs. Takes minutes;
times are the least of some runs.
"""

import argparse
import ctypes
import itertools
import time

import numpy as np

from ingot_tools.reference import trellis_experts as experts
from ingot_tools.reference.trellis_kernels import Trellis, address, build, values_of

WEIGHTS = 228e9  # of MiniMax-M2
RNG = np.random.default_rng(7)
GAUSSIAN = RNG.standard_normal(256 * 192).astype(np.float32)
GAUSSIAN /= GAUSSIAN.std()

# Decoders of other books behind the same reading of windows, and rotations of blocks of 128 by 128.
EXTRA = r"""
static lanes_f32 halves_of(lanes_u32 x) {
  lanes_u16 bits = __builtin_convertvector(x, lanes_u16);
  lanes_f16 h;
  memcpy(&h, &bits, sizeof h);
  return __builtin_convertvector(h, lanes_f32);
}
void BODY(decode_otherwise)(int book, const float *table, const char *codes, size_t rows, size_t columns, float *out) {
  ingot_trellis t = {5, 12, 256};
  for (size_t row = 0; row < rows; row++) {
    const char *words = codes + trellis_start(&t, row) * columns * 4;
    trellis_place place = trellis_place_of(&t, row % 256);
    for (size_t column = 0; column < columns; column += 16) {
      lanes_u32 low = trellis_load(words + (place.first * columns + column) * 4) >> place.shift;
      if (place.shift + 12 > 32) low |= trellis_load(words + (place.second * columns + column) * 4) << (32 - place.shift);
      lanes_u32 state = low & 4095;
      lanes_f32 value;
      if (book == 0) {
        lanes_u32 x = state * 89226354u + 64248484u;
        x = (x & 0x8FFF8FFF) ^ 0x3B603B60;
        value = halves_of(x & 0xFFFF) + halves_of(x >> 16);
      } else {
        for (int i = 0; i < 16; i++) value[i] = table[state[i]];
      }
      store_lanes(out + row * columns + column, value * 0.5f * 0.25f);
    }
  }
}
void BODY(rotate)(size_t rows, size_t columns, float *w) {
  for (size_t top = 0; top < rows; top += 128)
    for (size_t step = 1; step < 128; step *= 2)
      for (size_t i = 0; i < 128; i++) {
        if (i & step) continue;
        float *a = w + (top + i) * columns, *b = a + step * columns;
        for (size_t j = 0; j < columns; j += 16) {
          lanes_f32 x = load_lanes(a + j), y = load_lanes(b + j);
          store_lanes(a + j, x + y);
          store_lanes(b + j, x - y);
        }
      }
  for (size_t row = 0; row < rows; row++)
    for (size_t first = 0; first < columns; first += 128) {
      float *a = w + row * columns + first;
      lanes_f32 x[8];
      for (int i = 0; i < 8; i++) x[i] = load_lanes(a + 16 * i);
#define MIX(n, low, high) \
  for (int i = 0; i < 8; i++) { \
    lanes_f32 p = __builtin_shufflevector(x[i], x[i], UNWRAPPED low), q = __builtin_shufflevector(x[i], x[i], UNWRAPPED high); \
    x[i] = p + q; \
  }
      MIX(1, (0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14), (1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15))
      MIX(2, (0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13), (2, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11, 14, 15, 14, 15))
      MIX(4, (0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11), (4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15))
      MIX(8, (0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7), (8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15))
      for (int step = 1; step < 8; step *= 2)
        for (int i = 0; i < 8; i++) {
          if (i & step) continue;
          lanes_f32 p = x[i], q = x[i + step];
          x[i] = p + q;
          x[i + step] = p - q;
        }
      for (int i = 0; i < 8; i++) store_lanes(a + 16 * i, x[i]);
    }
}
"""


def least(run, times=60):
    """Seconds of processor time, the least of some runs."""
    found = []
    for _ in range(times):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def gaussian_error(trellis, count=len(GAUSSIAN)):
    """Mean square error on weights of variance 1, under the best scale."""
    x, deviation = GAUSSIAN[:count], trellis.book.std() / 64
    y = trellis.path(x * deviation / 0.98)
    return float(((x - y * (x @ y) / (y @ y)) ** 2).mean())


def nanoseconds(trellis, columns=1, rows=768):
    """What a weight takes to encode."""
    weights = RNG.standard_normal((columns, rows)).astype(np.float32)
    scales = np.full(rows, 64 / trellis.book.std(), np.float32)

    def run():
        trellis.columns(weights.copy(), np.arange(columns), None, scales, np.ones(columns, np.float32))
    return least(run) / weights.size * 1e9


def decoding_rates(lib, rows=1536, columns=3072):
    """Weights a second on one core, in 1e9."""
    codes = RNG.integers(0, 1 << 32, (rows // 64 * 5, columns), dtype=np.uint32)
    out, row, column = (np.ones(n, np.float32) for n in (rows * columns, rows, columns))
    shape = Trellis(lib, 5, 12).shape
    table = np.ones(4096, np.float32)
    suffix = {1: "avx2", 2: "avx512", 3: "neon"}[lib.best]

    def plain():
        lib.ingot_decode_trellis(lib.best, ctypes.byref(shape), address(codes), ctypes.c_size_t(rows), ctypes.c_size_t(columns),
                                 address(row), address(column), address(out))

    def otherwise(book):
        getattr(lib, "decode_otherwise_" + suffix)(
            book, address(table), address(codes), ctypes.c_size_t(rows), ctypes.c_size_t(columns), address(out))

    def rotated():
        for first in range(0, rows, 128):  # while the rows are in the nearer caches
            at = out[first * columns:]
            lib.ingot_decode_trellis(lib.best, ctypes.byref(shape), address(codes), ctypes.c_size_t(128), ctypes.c_size_t(columns),
                                     address(row), address(column), address(at))
            getattr(lib, "rotate_" + suffix)(ctypes.c_size_t(128), ctypes.c_size_t(columns), address(at))

    runs = {"bytes": plain, "3inst": lambda: otherwise(0), "table": lambda: otherwise(1), "rotated": rotated}
    return suffix, {name: rows * columns / least(run, 40) / 1e9 for name, run in runs.items()}


def books(window):
    """Values of states, with the greatest magnitude at about 500."""
    index = np.arange(1 << window, dtype=np.uint64)
    x = (index * 89226354 + 64248484 & 0xFFFFFFFF & 0x8FFF8FFF ^ 0x3B603B60).astype(np.uint32)
    sums = x.view(np.float16).astype(np.float32).reshape(-1, 2).sum(1)
    quantiles = np.sort(RNG.standard_normal(1 << (window + 6))).reshape(-1, 64).mean(1)
    table = RNG.permutation(quantiles)
    return {"bytes": values_of(window), "3inst": sums * (500 / np.abs(sums).max()), "table": table * (500 / np.abs(table).max())}


def lattice_error():
    """The 2^16 shortest points of the lattice E8, each for eight weights of 2 bits: mean square error at the best scale."""
    points = []
    for parity in (0, 1):  # in halves: all even or all odd, the sum a multiple of 4
        entries = [v for v in range(-7, 8) if v % 2 == parity]
        found = np.zeros((1, 0), np.int8)
        for _ in range(8):
            found = np.concatenate([np.hstack([found, np.full((len(found), 1), v, np.int8)]) for v in entries])
            found = found[(found.astype(int) ** 2).sum(1) <= 48]
        points.append(found[found.astype(int).sum(1) % 4 == 0])
    points = np.concatenate(points).astype(np.float32) / 2
    points = points[np.argsort((points ** 2).sum(1), kind="stable")][:1 << 16]
    norms, x, best = (points ** 2).sum(1), GAUSSIAN[:8 * 512].reshape(-1, 8), 1.0
    for scale in (0.9, 0.95, 1.0, 1.05):
        near = points[np.argmin(norms - 2 * (x / scale) @ points.T, 1)] * scale
        best = min(best, float(((x - near * (x * near).sum() / (near ** 2).sum()) ** 2).mean()))
    return best


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def windows(lib):
    rows = []
    for window in (8, 9, 10, 11, 12, 13, 14):
        some = len(GAUSSIAN) if window < 13 else 256 * 32
        shapes = [Trellis(lib, halves, window) for halves in range(3, 9)]
        cost = nanoseconds(shapes[2])
        rows.append([window, *(f"{gaussian_error(t, some):.4f}" for t in shapes), f"{cost:.0f}", f"{cost * WEIGHTS / 3.6e12:.1f}"])
    limit = ["limit", *(f"{2.0 ** -halves:.4f}" for halves in range(3, 9)), "", ""]
    return table(["bits of a state", *(f"{h / 2} bits" for h in range(3, 9)), "ns per weight", "core-hours for 228e9"], rows + [limit])


def rings(lib):
    rows = []
    for ring in (64, 128, 256, 512, 1536):
        t = Trellis(lib, 5, 12, ring)
        error, stored = gaussian_error(t, 1536 * 32), (12 - 2.5) / ring
        rows.append([ring, f"{error:.4f}", f"{nanoseconds(t):.0f}", f"{stored:.3f}", f"{error * 4 ** stored:.4f}"])
    return table(["rows", "error of a ring", "ns per weight", "bits more of a stream that begins anew", "error, for as many bits"], rows)


def codebooks(lib, rates):
    error = {}
    for window, halves in itertools.product((10, 12), (4, 6, 8)):
        for name, values in books(window).items():
            error[name, window, halves] = gaussian_error(Trellis(lib, halves, window, values=values))
    names = {"bytes": "sum of the bytes of a product (this encoding)", "3inst": "sum of two halves of a product (3inst)",
             "table": "table of Gaussian values"}
    shapes = list(itertools.product((10, 12), (4, 6, 8)))
    rows = [[names[name], *(f"{error[name, *shape]:.4f}" for shape in shapes), f"{rates[name]:.2f}",
             f"{error[name, 12, 4] / rates[name]:.3f}"] for name in names]
    rows.append(["lattice E8, 2^16 points of 8 weights", f"{lattice_error():.4f}", "", "", "", "", "", "", ""])
    return table(["values", *(f"{w} bits of a state, {h // 2} per weight" for w, h in shapes), "1e9 weights/s decoded",
                  "error / rate, at 12 and 2"], rows)


def on_experts(lib, found, rates):
    def row(name, choice):
        start = time.process_time()
        e = experts.errors(found, choice)
        print(name, e, f"{time.process_time() - start:.1f} s", flush=True)
        return e
    rows = []
    for halves in (4, 6):
        t = Trellis(lib, halves, 10)
        for name, options, rate in (("rows' scales", dict(columns=False), "bytes"), ("rows' and columns' scales", {}, "bytes"),
                                    ("the same, and Hadamards of 128 on both sides", dict(columns=False, rotated=True), "rotated")):
            e = row(name, experts.Choice(t, **options))
            c, h = e["calibration"], e["heldout"]
            rows.append([halves / 2, name, f"{c[0]:.4f} · {c[1]:.4f}", f"{h[0]:.4f} · {h[1]:.4f}", f"{rates[rate]:.2f}",
                         f"{(c[0] + c[1]) / rates[rate] * 1000:.2f}"])
    scales = table(["bits", "scales", "calibration", "held-out", "1e9 weights/s decoded", "error / rate, ×1000"], rows)
    rows = []
    for ridge in (0, 0.01, 0.1):
        e = row(f"ridge {ridge}", experts.Choice(Trellis(lib, 4, 10), ridge=ridge))
        rows.append([f"ridge of {ridge}", *(f"{e[part][0]:.4f} · {e[part][1]:.4f}" for part in ("calibration", "heldout"))])
    ten, twelve = Trellis(lib, 4, 10), Trellis(lib, 4, 12)
    for name, choice in (("ridge of 0.03: what is done", experts.Choice(ten)),
                         ("scales by least squares afterwards", experts.Choice(ten, refit=True)),
                         ("that twice", experts.Choice(ten, refit=True, passes=2)),
                         ("that once, then each column anew", experts.Choice(ten, refit=True, sweeps=1)),
                         ("what is done, states of 12 bits", experts.Choice(twelve))):
        e = row(name, choice)
        rows.append([name, *(f"{e[part][0]:.4f} · {e[part][1]:.4f}" for part in ("calibration", "heldout"))])
    return scales, table(["2 bits, states of 10 bits", "calibration", "held-out"], rows)


PAGE = """# Trellis codes: what was compared

Written by `scripts/tools reference-trellis`, on {cores} ({suffix}, one core that others share; times are the least of some
runs). Errors of Gaussian weights are mean squares at a variance of 1. Errors of experts are of the outputs of 24 experts of
m2-mini, relative to their power, as "gate and up · down"; held-out text is other text than that whose moments chose the codes.

## Bits of a state, and bits per weight

{windows}
Default: 12 bits, and 9 where time counts (`w9`).

## Rings and streams

2.5 bits, states of 12. A ring takes no bits beyond its weights' own, but paths around where it closes are searched twice. A
stream that begins anew stores the bits before its first weight, or loses their freedom.

{rings}
So 256 rows: within a percent of a path over all outputs, of which the way back does not fit the nearer caches.

## Values of states

{books}
## Scales against rotations

States of 10 bits.

{scales}
Rotations cost more of the decoder's rate than they save in error, and with them no row can be decoded without 127 others.

## Passes

{passes}
The ridge adds its share of the mean of h c² (h the diagonal of the moments, c a column's scale) over c² to the diagonal, 0.03 where
nothing is said. Rotations have one in effect, their channels being all alike: that is a good part of what they gain on held-out text.
Least squares, a second pass or a sweep lower the error on what chose the codes by a few percent, on held-out text by nothing or
little, for three products of matrices or twice the time; states of 12 bits lower both by more.
"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", metavar="MODEL")
    p.add_argument("out", metavar="OUT")
    p.add_argument("--cache", metavar="FILE", help="where the experts' moments are kept")
    a = p.parse_args()
    lib = build(EXTRA)
    suffix, rates = decoding_rates(lib)
    print(rates, flush=True)
    with open("/proc/cpuinfo") as f:
        cores = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "an unknown processor")
    tables = dict(windows=windows(lib), rings=rings(lib), books=codebooks(lib, rates))
    print(*tables.values(), flush=True, sep="\n")
    tables["scales"], tables["passes"] = on_experts(lib, experts.experts(a.model, (0, 2, 4), 8, 6, a.cache), rates)
    with open(a.out, "w") as f:
        f.write(PAGE.format(cores=cores, suffix=suffix, **tables))


if __name__ == "__main__":
    main()
