#!/usr/bin/env python3
"""Trains a tiny model for each kind of block, and compares quantizers at 3 bits on text it has not seen.

    train_blocks.py INGOT OUT [--only PATTERN ...] [--steps 300] [--threads 2] [--write]

A model is a case of family_cases.py with the sizes of --scale, in the class of transformers, trained on
the bytes of calibration/text/calibration, which takes about a minute. It is calibrated on the same text, quantized by
rtn, mse and gptq to 3 bits in groups of 32, embedding and head kept, and each result is verified on calibration/text/held-out.
--write puts the table into docs/results/blocks.md. OUT keeps the models; one that is there is not trained
again.
"""

import argparse
import fnmatch
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers

from ingot_tools import REPOSITORY
from ingot_tools.reference import family_storage as storage
from ingot_tools.reference.families import build, saved, write_json, write_weights, written_config
from ingot_tools.reference.family_base import Case
from ingot_tools.reference.family_cases import all_cases

ROOT = REPOSITORY
TEXT = ROOT / "calibration" / "text"
# Names of kinds of blocks, and a case that has one.
BLOCKS = {
    "grouped-query attention, experts": "qwen3_moe-norm",
    "latent attention, shared experts": "deepseek_v3-plain",
    "gated DeltaNet": "qwen3_next-norm",
    "lightning attention": "minimax-plain",
    "latent attention, token indexer": "deepseek_v32-plain",
    "token indexer, shared choice": "glm_moe_dsa-shared",
    "block indexer, clamped activation": "minimax_m3-plain",
    "sinks, experts with biases, clamped": "gpt_oss-plain",
    "GeGLU, norms around blocks": "gemma3-text",
    "gated shared expert": "qwen2_moe-norm",
    "LayerNorm, sparsemixer": "phimoe-plain",
    "chunks, input-scaled experts": "llama4-maverick",
    "heads of two sizes, experts with norms": "gemma4-moe",
    "shared keys and values, inputs by layer": "gemma4-shared",
}
QUANTIZERS = ("rtn", "mse", "gptq")
CONTEXT = 128
BATCH = 8


def text_bytes(folder: str) -> torch.Tensor:
    """All bytes of the texts of a folder."""
    joined = b"".join(file.read_bytes() for file in sorted((TEXT / folder).glob("*.txt")))
    return torch.tensor(list(joined))


def byte_tokenizer() -> dict[str, Any]:
    """A tokenizer.json whose tokens are the 256 bytes, by the usual letters for them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    for number, byte in enumerate(byte for byte in range(256) if byte not in letters):
        letters[byte] = chr(256 + number)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {letters[byte]: byte for byte in range(256)}, "merges": []}}


def batch(text: torch.Tensor, rng: torch.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    starts = torch.randint(len(text) - CONTEXT - 1, (count,), generator=rng)
    windows = torch.stack([text[at:at + CONTEXT + 1] for at in starts.tolist()])
    return windows[:, :-1], windows[:, 1:]


def loss_of(model: Any, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(ids, use_cache=False).logits.float().flatten(0, 1), targets.flatten())


def train(model: Any, steps: int) -> float:
    """Bits for a byte of the held-out text."""
    text, unseen = text_bytes("calibration"), text_bytes("held-out")
    rng = torch.Generator().manual_seed(5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 20) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.02)
        loss = loss_of(model, *batch(text, rng, BATCH))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return float(loss_of(model, *batch(unseen, torch.Generator().manual_seed(6), 16))) / math.log(2)


def of_bytes(case: Case) -> Case:
    """The case with a vocabulary of bytes, whose numbers of special tokens fit."""
    sizes = {key: 256 for key in ("vocab_size", "vocab_size_per_layer_input") if key in case.config}
    return replace(case, config=case.config | sizes, code="", shape=replace(case.shape, vocabulary=256))


def make(case: Case, steps: int, folder: Path) -> dict[str, Any]:
    """Trains a model and writes it as the case's family is released."""
    torch.manual_seed(3)
    model = build(case)
    bits = train(model, steps)
    with tempfile.TemporaryDirectory() as scratch:
        tensors, config = saved(model, Path(scratch))
    stored = storage.rounded(tensors, "bfloat16", case.keep_float32)
    folder.mkdir(parents=True)
    write_json(case.wrap(written_config(case, config, tensors) | {"dtype": "bfloat16"}), folder / "config.json")
    write_weights(storage.LAYOUTS[case.layout](case.reorder(stored)), 0, folder)
    write_json(byte_tokenizer(), folder / "tokenizer.json")
    found = {"steps": steps, "bits": bits, "parameters": sum(p.numel() for p in model.parameters())}
    write_json(found, folder / "training.json")
    return found


def run(ingot: str, *arguments: str | Path) -> str:
    done = subprocess.run([ingot, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"ingot {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def compare(ingot: str, folder: Path, threads: int) -> dict[str, Any]:
    """Mean KL divergence and its standard error by quantizer."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        cut = ("--context", str(CONTEXT), "--threads", str(threads))
        calibration = sorted((TEXT / "calibration").glob("*.txt"))
        run(ingot, "calibrate", folder, "--text", *calibration, *cut, "--chunks", "16", "-o", place / "x.calib")
        for quantizer in QUANTIZERS:
            recipe = place / f"{quantizer}.yaml"
            # What lies outside blocks stays: in models so small the embedding's loss would hide that of the blocks.
            recipe.write_text(f"name: {quantizer}\nsummary: 3 bits\nrules:\n"
                              "  - {parts: [embedding, head], encoding: keep}\n"
                              f"  - {{encoding: int3 g32 zero f16, quantizer: {'rtn' if quantizer == 'rtn' else 'mse'}}}\n")
            output = place / f"{quantizer}.ingot"
            use = ("--importance", place / "x.calib") if quantizer == "gptq" else ()
            run(ingot, "quantize", folder, "--recipe", recipe, *use, "-o", output, "--threads", str(threads))
            unseen = sorted((TEXT / "held-out").glob("*.txt"))
            report = json.loads(run(ingot, "verify", output, "--against", folder, "--text", *unseen, *cut,
                                    "--chunks", "8", "--json"))
            found[quantizer] = report["klDivergence"]
    return found


def cell(divergence: dict[str, Any]) -> str:
    error = divergence["mean"]["standardError"] if isinstance(divergence["mean"], dict) else divergence.get("standardError")
    mean = divergence["mean"]["value"] if isinstance(divergence["mean"], dict) else divergence["mean"]
    return f"{mean:.4f}" + (f" ± {error:.1g}" if error else "")


def mean_of(divergence: dict[str, Any]) -> float:
    return float(divergence["mean"]["value"] if isinstance(divergence["mean"], dict) else divergence["mean"])


def table(rows: list[tuple[str, str, dict[str, Any], dict[str, Any]]]) -> str:
    lines = ["| block | case | parameters | steps | bits per byte | rtn | mse | gptq | gptq / mse |",
             "|---|---|---|---|---|---|---|---|---|"]
    for block, name, training, found in rows:
        share = mean_of(found["gptq"]) / mean_of(found["mse"])
        cells = " | ".join(cell(found[quantizer]) for quantizer in QUANTIZERS)
        lines.append(f"| {block} | {name} | {training['parameters']:,} | {training['steps']} | "
                     f"{training['bits']:.2f} | {cells} | {share:.2f} |")
    return "\n".join(lines)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("ingot", metavar="INGOT", help="program")
    p.add_argument("out", metavar="OUT", type=Path, help="folder for models")
    p.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="cases by name, * and ? allowed")
    p.add_argument("--steps", type=int, default=300, help="of training, 1,024 bytes each (default: 300)")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--scale", type=float, default=2.0, help="of the sizes in family_cases_*.py (default: 2)")
    p.add_argument("--write", action="store_true", help="put the table into docs/results/blocks.md")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    cases = {case.name: case for case in all_cases(0, a.scale)}
    rows = []
    for block, name in BLOCKS.items():
        if not any(fnmatch.fnmatch(name, pattern) for pattern in a.only):
            continue
        folder = a.out / name
        known = folder / "training.json"
        training = json.loads(known.read_text()) if known.exists() else make(of_bytes(cases[name]), a.steps, folder)
        rows.append((block, name, training, compare(a.ingot, folder, a.threads)))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    print("\n" + table(rows))
    if a.write:
        path = ROOT / "docs" / "results" / "blocks.md"
        head, rest = path.read_text().split("<!-- table -->\n")
        tail = rest.split("<!-- /table -->")[1]
        made = (f"torch {torch.__version__}, transformers {transformers.__version__}; "
                f"{platform.system()} {os.uname().machine}")
        path.write_text(f"{head}<!-- table -->\n{table(rows)}\n\n{made}\n<!-- /table -->{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
