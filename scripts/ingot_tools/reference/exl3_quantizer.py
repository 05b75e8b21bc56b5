#!/usr/bin/env python3
"""EXL3's own quantizer on the CPU, for small MiniMax-M2 checkpoints: written from what exllamav3 does, to compare with.

    exl3_quantizer.py MODEL FOLDER --bits K [--head-bits 6] [--text FILE...] [--contexts N] [--threads N]

What is as in exllamav3 1.4.1 (conversion/convert_model.py, modules/quant/exl3_lib/quantize.py): layers in order, each calibrated
on what the quantized layers before it give; every expert calibrated on all tokens; Hessians with 0.025 of their mean diagonal
added, under random signs and Hadamard matrices; scales of outputs and inputs by root mean squares; a scale for the matrix by
trial on tiles of a wrapped diagonal and on extreme ones; LDLQ from the last sixteen inputs to the first; padding to multiples
of 128; `mul1`.

What is not: paths are found by this project's search (Viterbi over all states, costs in 16 bits; exllamav3's has costs in F16);
the trial of scales begins from three values around the usual one instead of ten; bits are the same in all layers; everything
is in F32, where exllamav3's forward pass has F16; calibration is MODEL/text/calibration instead of its own texts.
"""
import argparse
import concurrent.futures
import ctypes
import glob
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import torch

from ingot_tools import REPOSITORY
from ingot_tools.reference import exl3_reader, oracle

KERNELS = REPOSITORY / "Sources" / "CIngotKernels"
SCALE = 1.24371088
BLOCK = 128


class Tiles(ctypes.Structure):
    _fields_ = [("bits", ctypes.c_uint), ("codebook", ctypes.c_int)]


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


class Search:
    """This project's search for the paths of tiles."""

    def __init__(self, threads):
        library = os.path.join(tempfile.mkdtemp(), "kernels.so")
        sources = glob.glob(f"{KERNELS}/*.c") + glob.glob(f"{KERNELS}/vector/*.c")
        subprocess.run(["clang", "-O2", "-shared", "-fPIC", f"-I{KERNELS}/include", f"-I{KERNELS}", *sources, "-o", library,
                        "-lm"], check=True)
        self.lib = ctypes.CDLL(library)
        self.lib.ingot_tiles_scratch.restype = ctypes.c_size_t
        self.isa = self.lib.ingot_isa_best()
        self.book = np.zeros(65536, np.int16)
        self.lib.ingot_tiles_book(2, address(self.book))
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)
        self.threads = threads

    def strip(self, weights, bits):
        """Values (16, outputs) of weights (16, outputs), and codes (outputs / 16, 16 · bits)."""
        tiles = Tiles(bits, 2)
        count = weights.shape[1] // 16
        parts = min(self.threads, count)
        borders = [count * i // parts * 16 for i in range(parts + 1)]

        def run(first, end):
            own = np.ascontiguousarray(weights[:, first:end], np.float32)
            values = np.empty_like(own)
            codes = np.empty(((end - first) // 16, 16 * bits), np.int16)
            scratch = np.empty(self.lib.ingot_tiles_scratch(ctypes.byref(tiles)), np.uint8)
            self.lib.ingot_tiles_strip(
                self.isa, ctypes.byref(tiles), address(self.book), address(own), ctypes.c_size_t(end - first),
                address(values), address(codes), address(scratch))
            return values, codes

        done = list(self.pool.map(run, borders[:-1], borders[1:]))
        return np.concatenate([d[0] for d in done], 1), np.concatenate([d[1] for d in done])


def hadamard():
    h = np.ones((1, 1))
    while len(h) < BLOCK:
        h = np.block([[h, h], [h, -h]])
    return (h / np.sqrt(BLOCK)).astype(np.float32)


H128 = hadamard()


def along_inputs(x):
    return np.einsum("ij,bjn->bin", H128, x.reshape(-1, BLOCK, x.shape[1]), optimize=True).reshape(x.shape)


def along_outputs(x):
    return (x.reshape(x.shape[0], -1, BLOCK) @ H128).reshape(x.shape)


def rotated(hessian, signs):
    return along_inputs(along_outputs(hessian * signs) * signs[:, None])


def block_ldl(hessian):
    """Unit lower triangular in blocks of 16, without its diagonal."""
    lower = np.linalg.cholesky(hessian.astype(np.float64))
    for first in range(0, len(lower), 16):
        own = slice(first, first + 16)
        lower[:, own] = lower[:, own] @ np.linalg.inv(lower[own, own])
        lower[own, own] = 0
    return lower.astype(np.float32)


def sampled(weights, width=3):
    """Tiles, (16, 16 · count), along a wrapped diagonal, and those of the largest and smallest root mean square."""
    down, across = weights.shape[0] // 16, weights.shape[1] // 16
    tiles = weights.reshape(down, 16, across, 16).transpose(0, 2, 1, 3)
    length = max(down, across)
    places = [(i % down, (i + w) % across) for i in range(length) for w in range(width)]
    order = np.argsort((tiles ** 2).mean((2, 3)).reshape(-1))
    extreme = min(max(8, length * width // 16), (len(order) + 1) // 2)
    places += [divmod(int(x), across) for x in np.concatenate([order[-extreme:], order[:extreme]])]
    return np.stack([tiles[p] for p in places])


def best_scale(search, weights, bits):
    tiles = sampled(weights)

    def error(some, scale):
        flat = (some * scale).transpose(1, 0, 2).reshape(16, -1)
        return float(((search.strip(flat, bits)[0] - flat) ** 2).mean()) / scale ** 2

    center = min((0.7, 0.9, 1.1), key=lambda scale: error(tiles[::3], scale))
    step = 0.075
    scales = [center + step * (i - 2) for i in range(5)]
    errors = [error(tiles, scale) for scale in scales]
    best = int(np.argmin(errors))
    shift = 0.0
    if 0 < best < 4:
        bend = errors[best - 1] - 2 * errors[best] + errors[best + 1]
        shift = max(-0.5, min(0.5, 0.5 * (errors[best - 1] - errors[best + 1]) / bend)) if bend > 0 else 0.0
    return scales[best] + shift * step


class Hessian:
    """Signs of the inputs and factor, shared by the layers that read the same input."""

    def __init__(self, matrix, rng):
        matrix = matrix + 0.025 * np.diag(matrix).mean() * np.eye(len(matrix), dtype=np.float32)
        self.signs = rng.choice([-1.0, 1.0], len(matrix)).astype(np.float32)
        self.factor = block_ldl(rotated(matrix, self.signs))


def quantize(search, weight, hessian, bits, rng):
    """Stored tensors of a weight (outputs, inputs), and what it decodes to."""
    rows, columns = weight.shape
    padded = -(-rows // BLOCK) * BLOCK
    w = np.zeros((columns, padded), np.float32)
    w[:, :rows] = weight.T
    sv = rng.choice([-1.0, 1.0], padded).astype(np.float32)
    rms = np.sqrt((w ** 2).mean(0))
    rms /= rms.mean()
    zeros = rms < 1e-30
    sv = sv * np.where(zeros, 0.1, rms).astype(np.float32)
    w = along_outputs(w / sv)
    sv[zeros] = 0
    rms = np.sqrt((w ** 2).mean(1))
    su = hessian.signs * np.where(rms < 1e-30, 0.1, rms).astype(np.float32) / -SCALE
    w = along_inputs(w / su[:, None])
    scale = best_scale(search, w, bits)
    w, su = w * scale, su / scale
    values = np.zeros_like(w)
    codes = np.zeros((columns // 16, padded // 16, 16 * bits), np.int16)
    for first in range(columns - 16, -1, -16):
        own = slice(first, first + 16)
        rest = slice(first + 16, columns)
        target = w[own] + hessian.factor[rest, own].T @ (w[rest] - values[rest])
        values[own], codes[first // 16] = search.strip(target, bits)
    suh, svh = su.astype(np.float16), sv.astype(np.float16)
    stored = {"trellis": ("I16", codes), "suh": ("F16", suh), "svh": ("F16", svh),
              "mul1": ("I32", np.array([exl3_reader.MUL1], np.uint32).view(np.int32).reshape(()))}
    return stored, exl3_reader.decode(codes, suh, svh, "mul1")[:rows]


def moment(x):
    return (x.T @ x).numpy() / len(x)


class Run:
    def __init__(self, args):
        self.args = args
        self.search = Search(args.threads)
        self.rng = np.random.default_rng(0)
        self.model = oracle.load(args.model)
        self.config = oracle.read_config(args.model)
        self.kept = exl3_reader.checkpoint(args.model)
        self.out = {}
        texts = args.text or sorted(glob.glob(f"{args.model}/text/calibration/*.txt"))
        self.ids = torch.cat([oracle.token_chunks(args.model, text, 512, args.contexts) for text in texts])

    def store(self, module, parameter, hessian, bits):
        """Quantizes a parameter in place."""
        stored, weight = quantize(self.search, parameter.detach().numpy(), hessian, bits, self.rng)
        parameter.data.copy_(torch.from_numpy(weight))
        for part, tensor in stored.items():
            self.out[f"{module}.{part}"] = tensor

    def layer(self, index, layer, states, forward):
        seen = {}
        hooks = [module.register_forward_pre_hook(
            lambda _, inputs, kwargs, name=name: seen.setdefault(name, []).append(
                (inputs[0] if inputs else kwargs["hidden_states"]).reshape(-1, (inputs[0] if inputs else kwargs[
                    "hidden_states"]).shape[-1])), with_kwargs=True)
            for name, module in (("attention", layer.self_attn), ("output", layer.self_attn.o_proj), ("mlp", layer.mlp))]
        for state in states:
            forward(layer, state)
        for hook in hooks:
            hook.remove()
        x = {name: torch.cat(parts) for name, parts in seen.items()}
        prefix, bits = f"model.layers.{index}", self.args.bits
        # What the experts give inside comes from the weights as they were.
        experts = layer.mlp.experts
        inner = []
        for e in range(experts.num_experts):
            gate, up = (x["mlp"] @ experts.gate_up_proj[e].T).chunk(2, -1)
            inner.append(moment(torch.nn.functional.silu(gate) * up))
        shared = Hessian(moment(x["attention"]), self.rng)
        for name in ("q_proj", "k_proj", "v_proj"):
            self.store(f"{prefix}.self_attn.{name}", getattr(layer.self_attn, name).weight, shared, bits)
        self.store(f"{prefix}.self_attn.o_proj", layer.self_attn.o_proj.weight, Hessian(moment(x["output"]), self.rng), bits)
        shared = Hessian(moment(x["mlp"]), self.rng)
        width = experts.gate_up_proj.shape[1] // 2
        for e in range(experts.num_experts):
            name = f"{prefix}.block_sparse_moe.experts.{e}"
            self.store(name + ".w1", experts.gate_up_proj[e, :width], shared, bits)
            self.store(name + ".w3", experts.gate_up_proj[e, width:], shared, bits)
            self.store(name + ".w2", experts.down_proj[e], Hessian(inner[e], self.rng), bits)
        print(f"layer {index}", flush=True)

    def run(self):
        body = self.model.model
        with torch.no_grad():
            states = [body.embed_tokens(chunk[None]) for chunk in self.ids]
            positions = torch.arange(self.ids.shape[1])[None]
            rotary = body.rotary_emb(states[0], position_ids=positions)
            n = self.ids.shape[1]
            mask = torch.full((n, n), float("-inf")).triu(1)[None, None]

            def forward(layer, state):
                return layer(state, attention_mask=mask, position_ids=positions, position_embeddings=rotary)

            for index, layer in enumerate(body.layers):
                self.layer(index, layer, states, forward)
                states = [forward(layer, state) for state in states]
            x = torch.cat([body.norm(state)[0] for state in states])
            if self.args.head_bits < 16:
                self.store("lm_head", self.model.lm_head.weight, Hessian(moment(x), self.rng), self.args.head_bits)
        self.write()

    def write(self):
        for name, tensor in self.kept.items():
            if not name.endswith("_scale_inv") and name.removesuffix(".weight") + ".trellis" not in self.out:
                self.out[name] = tensor
        folder, source = pathlib.Path(self.args.folder), pathlib.Path(self.args.model)
        folder.mkdir(parents=True)
        exl3_reader.write_tensors(folder / "model.safetensors", self.out)
        for path in source.iterdir():
            if path.is_file() and path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
                shutil.copy(path, folder / path.name)
        self.config["quantization_config"] = {
            "quant_method": "exl3", "version": "1.4.1", "bits": self.args.bits, "head_bits": self.args.head_bits,
            "codebook": "mul1", "out_scales": "always"}
        (folder / "config.json").write_text(json.dumps(self.config, indent=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--head-bits", type=int, default=6)
    parser.add_argument("--text", nargs="+", metavar="FILE", help="calibration text (default: MODEL/text/calibration)")
    parser.add_argument("--contexts", type=int, default=16, help="contexts of 512 tokens of each text")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    Run(args).run()


if __name__ == "__main__":
    main()
