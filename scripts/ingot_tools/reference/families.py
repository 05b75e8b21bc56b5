#!/usr/bin/env python3
"""Tiny random checkpoints of model families by transformers, with golden logits; and a check of ours.

    families.py OUT [--only PATTERN ...] [--seed N] [--scale S] [--list]
    families.py --compare INGOT FOLDER ...

The first form writes OUT/<case>/ for every case of family_cases.py: config.json as transformers
writes it, config.legacy.json for the same model in the spelling of transformers 4, the weights, and
golden.safetensors: ids I64 (contexts, tokens) and logits F32 (contexts, tokens, vocabulary), computed
from the stored values in F32 with eager attention, one context at a time. The same seed gives the same
bytes of weights. Seed 0 uses the sizes written in family_cases_*.py; other seeds use other sizes.

Each case is checked while it is made: the number of rotated dimensions is the one in the config; the
window, rope scaling or router rule that the case is for changes the logits; transformers computes the
same logits from the legacy config, and from the folder where it can read it; no choice of experts, of
keys or of the top token is a near tie.

The second form runs `INGOT logits` on case folders, or on folders of case folders, once with each
config. It exits 1 if a relative error exceeds --tolerance or a top token differs.
"""

import argparse
import copy
import fnmatch
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from ingot_tools.reference import family_compare
from ingot_tools.reference import family_storage as storage
from ingot_tools.reference import family_weights as weights
from ingot_tools.reference.family_base import Case, Config, Tensors, seed_of
from ingot_tools.reference.family_cases import all_cases
from ingot_tools.reference.family_codes import CODES

GOLDEN = "golden.safetensors"
TRIES = 200
# The plain code paths of transformers, in F32 whatever the type in the file.
PLAIN: dict[str, Any] = {
    "dtype": torch.float32, "attn_implementation": "eager", "experts_implementation": "eager"}


def build(case: Case, values: dict[str, Any] | None = None) -> Any:
    """transformers' model of the case's config, some values of it replaced, in F32."""
    options = copy.deepcopy(case.config) | copy.deepcopy(values or {})
    config = transformers.AutoConfig.for_model(case.model_type, **options)
    return transformers.AutoModelForCausalLM.from_config(config, **PLAIN).eval()


def logits_of(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """(contexts, tokens) to (contexts, tokens, vocabulary), a context at a time."""
    with torch.no_grad():
        return torch.stack([model(context[None]).logits[0].float() for context in ids])


def difference(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest relative difference of a token's logits."""
    error = (ours.double() - reference.double()).norm(dim=-1)
    return float((error / reference.double().norm(dim=-1)).max())


def nudged(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """A copy with weights changed by 1e-5 of their size, which decides near ties of a router differently."""
    other = copy.deepcopy(model)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1 + 1e-5 * torch.randn(parameter.shape, generator=rng))
    return other


def smallest_gap(model: torch.nn.Module, ids: torch.Tensor) -> float:
    """Smallest difference of the last chosen and the best other value in `scores.topk(k)`; 0 if they are equal.

    Changed weights do not show that: a score of ReLUs that are all 0 stays 0.
    """
    gaps: list[float] = [float("inf")]
    plain = torch.Tensor.topk

    def recorded(scores: torch.Tensor, k: int, dim: int = -1, **more: Any) -> Any:
        if dim == -1 and k < scores.shape[-1]:
            best = plain(scores, k + 1).values
            seen = best[..., k] > -1e30  # Else all others are in the future.
            gaps.extend((best[..., k - 1] - best[..., k])[seen].tolist())
        return plain(scores, k, dim, **more)

    with mock.patch.object(torch.Tensor, "topk", recorded):
        logits_of(model, ids)
    return min(gaps)


def choose_ids(model: torch.nn.Module, case: Case, seed: int) -> torch.Tensor:
    """Random contexts in which no choice of experts or of the top token is a near tie, nor rounding grows."""
    rng = np.random.Generator(np.random.PCG64(seed_of(seed, case.weight_key, "ids")))
    others = [nudged(model, i) for i in range(3)]
    exact = copy.deepcopy(model).double()
    chosen: list[torch.Tensor] = []
    for _ in range(TRIES):
        ids = torch.from_numpy(rng.integers(0, case.shape.vocabulary, (1, case.shape.tokens)))
        logits = logits_of(model, ids)
        best = logits.topk(2).values
        clear = (best[..., 0] - best[..., 1]).min() > 2e-3 * logits.std()
        if clear and all(difference(logits_of(other, ids), logits) < 1e-3 for other in others) \
                and difference(logits_of(exact, ids), logits) < case.rounding \
                and not (case.distinct and smallest_gap(model, ids) < 1e-5):
            chosen.append(ids[0])
        if len(chosen) == case.shape.contexts:
            return torch.stack(chosen)
    raise SystemExit(f"{case.name}: no {case.shape.contexts} contexts without near ties in {TRIES}")


def check_rope(case: Case, model: Any) -> None:
    """The reference rotates as many dimensions as the config says; llama3 and yarn have all three bands."""
    rotary = model.model.rotary_emb
    rope = model.config.rope_parameters
    kinds = {kind: value for kind, value in rope.items() if isinstance(value, dict)}
    for kind, parameters in (kinds or {"": rope}).items():
        frequencies = getattr(rotary, f"{kind}_inv_freq" if kind else "inv_freq")
        d = case.rotated(kind)
        assert 2 * int((frequencies != 0).sum()) == d, (case.name, kind, frequencies, d)
        if parameters["rope_type"] in ("llama3", "yarn"):
            factor = parameters["factor"]
            plain = parameters["rope_theta"] ** (-torch.arange(0, d, 2).double() / d)
            ratio = plain / frequencies.double()
            assert abs(ratio[0] - 1) < 1e-5 and abs(ratio[-1] - factor) < 1e-4, (case.name, ratio)
            # Kimi K2 and Llama 4 have a band of no width.
            ends = ("beta_fast", "beta_slow") if parameters["rope_type"] == "yarn" else (
                "low_freq_factor", "high_freq_factor")
            empty = parameters.get(ends[0], 32) == parameters.get(ends[1], 1)
            assert bool(((ratio > 1.01) & (ratio < factor * 0.99)).any()) != empty, (case.name, ratio)


def saved(model: Any, folder: Path) -> tuple[Tensors, Config]:
    """(tensors, config) as transformers writes them."""
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())


def loaded(tensors: Tensors, config: Config, folder: Path) -> Any:
    """Writes a folder and loads it with transformers in F32; missing or unexpected tensors are an error."""
    folder.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    load: Any = transformers.AutoModelForCausalLM.from_pretrained
    model, report = load(folder, output_loading_info=True, **PLAIN)
    assert not any(report.get(k) for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return model.eval()


def as_written(case: Case, folder: Path, extra: Tensors) -> Any:
    """The case folder, loaded by transformers' own class; it may ignore what is no part of the model."""
    load: Any = getattr(transformers, case.read_by).from_pretrained
    model, report = load(folder, output_loading_info=True, **PLAIN)
    # The files have only a few tensors of a vision tower.
    missing = [name for name in report["missing_keys"] if not re.search("vision|visual|projector", name)]
    assert not missing and not report.get("mismatched_keys"), report
    assert extra or not report.get("unexpected_keys"), report
    return model.eval()


def text_only(case: Case, config: Config) -> Config:
    """A config of the file, as one that transformers' text model is loaded with."""
    text = dict(config.get("text_config", config)) | {"model_type": case.model_type}
    text.pop("quantization_config", None)
    return text


def write_weights(tensors: Tensors, shard_bytes: int, folder: Path) -> None:
    """One file, or shards of at most so many bytes in the order of the names, and their index."""
    shards: list[list[str]] = [[]]
    room = shard_bytes
    for name in sorted(tensors):
        if shard_bytes and shards[-1] and room < tensors[name].nbytes:
            shards.append([])
            room = shard_bytes
        shards[-1].append(name)
        room -= tensors[name].nbytes
    if len(shards) == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    files = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for file, names in zip(files, shards, strict=True):
        save_file({name: tensors[name] for name in names}, folder / file, {"format": "pt"})
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
        "weight_map": {name: file for file, names in zip(files, shards, strict=True) for name in names},
    }
    write_json(index, folder / "model.safetensors.index.json")


def write_json(value: object, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def written_config(case: Case, config: Config, tensors: Tensors) -> Config:
    """The text model's config for the file, before it is wrapped."""
    out = config | {"dtype": case.dtype}
    if case.written_type:
        out["model_type"] = case.written_type
        out["architectures"] = [case.written_type.capitalize() + "ForCausalLM"]
    if case.architecture:
        out["architectures"] = [case.architecture]
    if case.code:
        out["quantization_config"] = CODES[case.code].config(tensors)
    return out


def check_dependence(case: Case, model: Any, ids: torch.Tensor, logits: torch.Tensor) -> None:
    """Other values of the config that the case is for, or none of a tensor that it needs, give other logits."""
    for changed in case.differs:
        other = build(case, changed)
        other.load_state_dict(model.state_dict())
        assert difference(logits_of(other, ids), logits) > 1e-3, (case.name, changed)
    for pattern in case.needs:
        other = copy.deepcopy(model)
        tensors = [t for name, t in other.state_dict(keep_vars=True).items() if re.search(pattern, name)]
        with torch.no_grad():
            for tensor in tensors:
                tensor.zero_()
        assert tensors and difference(logits_of(other, ids), logits) > 1e-3, (case.name, pattern)


def reference(case: Case, seed: int, scratch: Path) -> tuple[Any, Config, Tensors, Tensors, Tensors, Tensors]:
    """The model that golden logits are of: the stored values under plain names, in F32.

    Returns it, its config, tensors as transformers has them, those of other models beside it, what is stored, and its values.
    """
    model = build(case)
    check_rope(case, model)
    weights.randomize(model, case, seed)
    tensors, config = saved(model, scratch / "saved")
    extra = weights.extra_tensors(tensors, case, seed)
    stored = storage.rounded(tensors | extra, case.dtype, case.keep_float32)
    values = {name: tensor.float() for name, tensor in stored.items()}
    if case.code:
        stored, values = CODES[case.code].applied(stored)
    values = {name: values[name] for name in tensors}
    exact = loaded(values, config, scratch / "exact")
    check_rope(case, exact)
    return exact, config, tensors, extra, stored, values


def make(case: Case, seed: int, folder: Path, scratch: Path) -> None:
    """Writes one case into an empty folder."""
    exact, config, tensors, extra, stored, values = reference(case, seed, scratch)
    config = written_config(case, config, tensors)
    spellings = {"config.json": case.wrap(config), "config.legacy.json": case.wrap(case.legacy.rewritten(config))}
    for file, spelling in spellings.items():
        write_json(spelling, folder / file)
    write_weights(storage.LAYOUTS[case.layout](case.reorder(stored)), case.shard_bytes, folder)
    if not case.golden:
        return

    ids = choose_ids(exact, case, seed)
    logits = logits_of(exact, ids)
    check_dependence(case, exact, ids, logits)
    for file, spelling in spellings.items() if case.readable else ():
        other = loaded(values, text_only(case, spelling), scratch / "other")
        assert torch.equal(logits_of(other, ids), logits), f"{case.name}: {file} is another model"
    if case.read_by:
        off = difference(logits_of(as_written(case, folder, extra), ids), logits)
        # Where a tensor lies in memory may decide the last bit.
        assert off < 1e-6, (case.name, off)
    rounding = difference(logits_of(copy.deepcopy(exact).double(), ids), logits)
    save_arrays({"ids": ids.numpy().astype(np.int64), "logits": logits.numpy()}, folder / GOLDEN, metadata={
        "reference": f"transformers {transformers.__version__} {type(exact).__name__}, float32, "
                     f"torch {torch.__version__} CPU"})
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{case.name:22} {size:9,} bytes  rounding {rounding:.1e}", flush=True)


def main() -> int:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("paths", nargs="*", metavar="OUT", help="where to write; with --compare: case folders")
    p.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="cases by name, * and ? allowed")
    p.add_argument("--seed", type=int, default=0, help="other weights and other sizes (default: 0)")
    p.add_argument("--scale", type=float, default=1.0, help="multiplies hidden sizes, widths and vocabulary")
    p.add_argument("--list", action="store_true", help="name the cases and stop")
    p.add_argument("--compare", metavar="INGOT", help="program to run on the folders")
    p.add_argument("--tolerance", type=float, default=1e-5, help="of the relative error (default: 1e-5)")
    a = p.parse_args()

    if a.compare:
        return family_compare.compare(a.compare, [Path(path) for path in a.paths], a.only, a.tolerance)
    cases = [c for c in all_cases(a.seed, a.scale) if any(fnmatch.fnmatch(c.name, o) for o in a.only)]
    if a.list:
        for case in cases:
            print(f"{case.name:22} {case.model_type:18} {case.dtype:9} {case.code or '-':10} "
                  f"{case.layout or '-':15} {case.shape}")
        return 0
    if len(a.paths) != 1 or not cases:
        p.error("give one folder to write to, and patterns that some case has")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for case in cases:
        with tempfile.TemporaryDirectory() as scratch:
            # An existing folder stays unless its case passes all checks.
            made, folder = Path(scratch) / case.name, Path(a.paths[0]) / case.name
            made.mkdir()
            make(case, a.seed, made, Path(scratch))
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
