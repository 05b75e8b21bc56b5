#!/usr/bin/env python3
"""Reads checkpoints in EXL3's layout with numpy alone: an implementation of its own, next to which Ingot's is checked.

    exl3_reader.py list FOLDER            the quantized modules, with bits, codebook and scales' ranges
    exl3_reader.py decode FOLDER FILE     writes every quantized module's weight (outputs, inputs) as F32 to a SafeTensors file
    exl3_reader.py compare FOLDER OTHER   decodes FOLDER and compares it bit for bit with the checkpoint OTHER, which has the same
                                          weights in F32 (ingot convert FOLDER -o OTHER --decode f32)
    exl3_reader.py vectors                sums over decoded values, which Tests/KernelsTests/TileTests.swift has
    exl3_reader.py make MODEL FOLDER      a checkpoint in this layout with MODEL's shapes and random codes: 1 to 8 bits, the three
                                          codebooks, signs and scales in either form

A linear layer (inputs, outputs) is `trellis` I16 (inputs / 16, outputs / 16, 16 · bits), `suh` F16 (inputs), `svh` F16 (outputs) and
`mul1` or `mcg`, I32, whose presence names the codebook. Older ones have signs only, `su` and `sv`, a bit each in I16.
Source of the layout: turboderp-org/exllamav3, modules/quant/exl3.py and the kernels that it calls.
"""
import json
import pathlib
import re
import shutil
import sys

import numpy as np

BLOCK = 128
TYPES = {"F32": np.float32, "F16": np.float16, "I16": np.int16, "I32": np.int32, "U8": np.uint8, "BF16": np.uint16,
         "F8_E4M3": np.uint8, "I64": np.int64}
MUL1, MCG = 0x83DCD12D, 0xCBAC1FED


# ---- files -----------------------------------------------------------------------------------------------------------


def tensors_of(path):
    """Stored tensors of one SafeTensors file: name → (type's name, array)."""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    out = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        first, end = (8 + size + x for x in entry["data_offsets"])
        array = np.frombuffer(data[first:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
        out[name] = (entry["dtype"], array)
    return out


def checkpoint(folder):
    folder, out = pathlib.Path(folder), {}
    index = folder / "model.safetensors.index.json"
    files = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else ["model.safetensors"]
    for name in sorted(files):
        out.update(tensors_of(folder / name))
    return out


def write_tensors(path, tensors):
    header, position = {}, 0
    for name, (kind, array) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [position, position + array.nbytes]}
        position += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())


# ---- decoding --------------------------------------------------------------------------------------------------------


def codebook(name):
    """The F16 values of all states of 16 bits."""
    state = np.arange(65536, dtype=np.uint64)
    if name == "mul1":
        x = state * MUL1 & 0xFFFFFFFF
        total = sum(x >> shift & 255 for shift in (0, 8, 16, 24))
        half = lambda bits: np.float64(np.uint16(bits).view(np.float16))
        # A fused multiplication and addition: one rounding.
        return ((1024 + total).astype(np.float64) * half(0x1EEE) + half(0xC931)).astype(np.float16)
    x = state * MCG if name == "mcg" else state * 89226354 + 64248484
    x = ((x & 0x8FFF8FFF) ^ 0x3B603B60).astype(np.uint32)
    halves = [(x >> shift & 0xFFFF).astype(np.uint16).view(np.float16).astype(np.float64) for shift in (0, 16)]
    return (halves[0] + halves[1]).astype(np.float16)


def tile_order():
    """Input and output, within a tile, of each of its 256 weights in the order of their bits."""
    inputs, outputs = [], []
    for lane in range(32):
        for j in range(8):
            inputs.append(2 * (lane % 4) + (0, 1, 8, 9)[j % 4])
            outputs.append(lane // 4 + (8 if j >= 4 else 0))
    return np.array(inputs), np.array(outputs)


def bits_of(trellis):
    """The bits of all tiles as they are read: (tiles, 256 · bits)."""
    words = trellis.reshape(-1, trellis.shape[-1]).view(np.uint16)
    # Words of 32 bits are stored with their lower half first.
    words = words.reshape(words.shape[0], -1, 2)[:, :, ::-1].reshape(words.shape)
    return np.unpackbits(words.astype(">u2").view(np.uint8).reshape(words.shape[0], -1), axis=1)


def states(trellis):
    """(tiles, 256) states of 16 bits, each of which ends behind its weight's own bits."""
    bits = trellis.shape[-1] // 16
    stream = bits_of(trellis).astype(np.uint32)
    end = (np.arange(256) + 1) * bits
    out = np.zeros((stream.shape[0], 256), np.uint32)
    for back in range(16):
        out |= stream[:, (end - 1 - back) % stream.shape[1]] << back
    return out


def inner(trellis, name):
    """(inputs, outputs) of the states' values in F32."""
    down, across = trellis.shape[:2]
    values = codebook(name).astype(np.float32)[states(trellis)].reshape(down, across, 256)
    inputs, outputs = tile_order()
    out = np.zeros((down, 16, across, 16), np.float32)
    out[:, inputs, :, outputs] = values.transpose(2, 0, 1)
    return out.reshape(down * 16, across * 16)


def butterflies(x, axis):
    """Sums and differences of the pairs 1, 2, … 64 apart in each run of 128 along an axis; every sum is rounded to F32."""
    x = np.moveaxis(x, axis, 0)
    shape = x.shape
    apart = 1
    while apart < BLOCK:
        pairs = x.reshape(-1, 2, apart, *shape[1:])
        x = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(shape)
        apart *= 2
    return np.moveaxis(x, 0, axis)


def signs(packed):
    """±1 of bits, the lowest of each word first; a bit that is set means minus."""
    bits = np.unpackbits(packed.view(np.uint8), bitorder="little")
    return (1 - 2 * bits.astype(np.float32)).astype(np.float16)


def decode(trellis, suh, svh, name):
    """The weight (outputs, inputs) in F32: diag(suh) · H · values · H · diag(svh), transposed."""
    x = butterflies(butterflies(inner(trellis, name), 0), 1)
    x = x * np.float32(2.0**-7) * suh.astype(np.float32)[:, None]
    return np.ascontiguousarray((x * svh.astype(np.float32)[None, :]).T)


class Module:
    """A quantized module of a checkpoint."""

    def __init__(self, tensors, name):
        self.name = name
        get = lambda part: tensors.get(f"{name}.{part}", (None, None))[1]
        self.trellis = get("trellis")
        if self.trellis.dtype != np.int16 or self.trellis.ndim != 3 or self.trellis.shape[2] % 16:
            raise SystemExit(f"{name}.trellis: {self.trellis.dtype} {self.trellis.shape}")
        self.bits = self.trellis.shape[2] // 16
        self.codebook = "mul1" if get("mul1") is not None else "mcg" if get("mcg") is not None else "3inst"
        self.suh = get("suh") if get("suh") is not None else signs(get("su"))
        self.svh = get("svh") if get("svh") is not None else signs(get("sv"))
        shape = (self.trellis.shape[0] * 16, self.trellis.shape[1] * 16)
        if (len(self.suh), len(self.svh)) != shape or shape[0] % BLOCK or shape[1] % BLOCK:
            raise SystemExit(f"{name}: {shape} with scales of {len(self.suh)} and {len(self.svh)}")
        for part, constant in (("mul1", MUL1), ("mcg", MCG)):
            if get(part) is not None and int(get(part).reshape(-1)[0]) & 0xFFFFFFFF != constant:
                raise SystemExit(f"{name}.{part}: another multiplier")

    def weight(self):
        return decode(self.trellis, self.suh, self.svh, self.codebook)


def modules(tensors):
    return [Module(tensors, name[:-len(".trellis")]) for name in tensors if name.endswith(".trellis")]


# ---- commands --------------------------------------------------------------------------------------------------------


def compare(folder, other):
    expected = checkpoint(other)
    worst = 0
    for module in modules(checkpoint(folder)):
        kind, values = expected[module.name + ".weight"]
        # What its converter pads with zeros to a multiple of 128 is cut off.
        own = module.weight()[:values.shape[0], :values.shape[1]]
        if kind != "F32":
            raise SystemExit(f"{module.name}.weight: {kind}, where F32 is expected")
        different = int((own.view(np.uint32) != values.view(np.uint32)).sum())
        worst += different
        print(f"{module.name}: {module.bits} bits, {module.codebook}, {own.shape}: {different} of {own.size} differ")
    print("equal bit for bit" if worst == 0 else f"{worst} values differ")
    return worst != 0


def make(model, folder):
    """Random codes in the shapes of a model's two-dimensional layers, but for embedding and routers."""
    source, folder = pathlib.Path(model), pathlib.Path(folder)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    out, number = {}, 0
    for name, (kind, array) in checkpoint(source).items():
        if name.endswith(("_scale_inv", "_scale")):
            continue
        module = name.removesuffix(".weight")
        linear = array.ndim == 2 and re.search(r"_proj\.|\.w[123]\.|lm_head", name)
        if not linear:
            out[name] = (kind, array)
            continue
        rows, columns = (-(-n // BLOCK) * BLOCK for n in array.shape)
        bits, book = number % 8 + 1, ("mul1", "mcg", "3inst")[number % 3]
        out[module + ".trellis"] = ("I16", rng.integers(-32768, 32768, (columns // 16, rows // 16, 16 * bits), np.int16))
        if number % 5 == 4:
            out[module + ".su"] = ("I16", rng.integers(-32768, 32768, columns // 16, np.int16))
            out[module + ".sv"] = ("I16", rng.integers(-32768, 32768, rows // 16, np.int16))
        else:
            for part, count, size in (("suh", columns, 1.0), ("svh", rows, 0.02)):
                scale = rng.standard_normal(count) * 0.2 + rng.choice([-1, 1], count)
                out[f"{module}.{part}"] = ("F16", (scale * size).astype(np.float16))
        if book != "3inst":
            constant = np.array([MUL1 if book == "mul1" else MCG], np.uint32).view(np.int32).reshape(())
            out[f"{module}.{book}"] = ("I32", constant)
        number += 1
    write_tensors(folder / "model.safetensors", out)
    for path in source.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name != "model.safetensors.index.json":
            shutil.copy(path, folder / path.name)
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "exl3", "version": "1.4.1", "bits": 4.5, "head_bits": 6}
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def vectors():
    """For each codebook and 1 to 8 bits: Σ bits of value i · (2 i + 1) mod 2⁶⁴ of a matrix of 256 outputs and 128 inputs."""
    rows, columns = 256, 128
    for name in ("mul1", "mcg", "3inst"):
        for bits in range(1, 9):
            index = np.arange(rows * columns * bits // 8, dtype=np.uint64)
            codes = ((index * 2654435761 & 0xFFFFFFFF) >> 13 & 255).astype(np.uint8)
            trellis = codes.view(np.int16).reshape(columns // 16, rows // 16, 16 * bits)
            suh = ((np.arange(columns) * 7 % 13 - 6) / 4).astype(np.float16)
            svh = ((np.arange(rows) * 5 % 11 - 5) / 8).astype(np.float16)
            values = decode(trellis, suh, svh, name).reshape(-1) + np.float32(0)
            odd = 2 * np.arange(values.size, dtype=np.uint64) + 1
            total = int((values.view(np.uint32).astype(np.uint64) * odd).sum(dtype=np.uint64))
            print(f"{name} {bits} 0x{total:016X}")


def main():
    match sys.argv[1:]:
        case ["list", folder]:
            for m in modules(checkpoint(folder)):
                print(f"{m.name}: {m.bits} bits, {m.codebook}, {m.trellis.shape[0] * 16} inputs, "
                      f"{m.trellis.shape[1] * 16} outputs, |suh| {np.abs(m.suh).min():.3g}…{np.abs(m.suh).max():.3g}, "
                      f"|svh| {np.abs(m.svh).min():.3g}…{np.abs(m.svh).max():.3g}")
        case ["decode", folder, file]:
            write_tensors(file, {m.name + ".weight": ("F32", m.weight()) for m in modules(checkpoint(folder))})
        case ["compare", folder, other]:
            return compare(folder, other)
        case ["vectors"]:
            vectors()
        case ["make", model, folder]:
            make(model, folder)
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
