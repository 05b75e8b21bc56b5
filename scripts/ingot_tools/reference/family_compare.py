"""Compares the output of `ingot logits` with golden.safetensors, for families.py --compare."""

import fnmatch
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

GOLDEN = "golden.safetensors"
CONFIGS = ("config.json", "config.legacy.json")


def case_folders(paths: list[Path], only: list[str]) -> Iterator[Path]:
    """Folders with golden logits among the paths and right below them."""
    for path in paths:
        for folder in [path, *sorted(path.iterdir())] if path.is_dir() else []:
            if (folder / GOLDEN).is_file() and any(fnmatch.fnmatch(folder.name, o) for o in only):
                yield folder


def with_config(folder: Path, config: str, view: Path) -> Path:
    """A copy of the folder with one of the two configs as its config.json; Ingot follows no links out of it."""
    view.mkdir()
    for file in folder.iterdir():
        if file.name not in (*CONFIGS, GOLDEN):
            shutil.copyfile(file, view / file.name)
    shutil.copyfile(folder / config, view / "config.json")
    return view


def logits_of(ingot: str, model: Path, ids: np.ndarray, scratch: Path) -> np.ndarray | str:
    """The logits that the program computes, or the first line of its error."""
    tokens, output = scratch / "ids.json", scratch / "logits.safetensors"
    tokens.write_text(json.dumps(ids.tolist()))
    command = [ingot, "logits", str(model), "--tokens", str(tokens), "--output", str(output), "--force"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return f"exit {run.returncode}: {(run.stderr.strip().splitlines() or ['no message'])[0]}"
    return load_file(output)["logits"]


def judged(ours: np.ndarray, golden: np.ndarray) -> tuple[float, float, float]:
    """(relative error over all logits, that of the worst token, share of equal top tokens)."""
    error, reference = ours.astype(np.float64) - golden, golden.astype(np.float64)
    tokens = np.linalg.norm(error, axis=-1) / np.linalg.norm(reference, axis=-1)
    same = (ours.argmax(-1) == golden.argmax(-1)).mean()
    return float(np.linalg.norm(error) / np.linalg.norm(reference)), float(tokens.max()), float(same)


def compare(ingot: str, paths: list[Path], only: list[str], tolerance: float) -> int:
    """Prints a line per case and config; returns 1 if any differs or fails, or if there is no case."""
    bad = count = 0
    print(f"{'case':24} {'config':7} {'error':>9} {'worst':>9} {'same top':>8}")
    for folder in case_folders(paths, only):
        golden = load_file(folder / GOLDEN)
        for config in CONFIGS:
            if not (folder / config).exists():
                continue
            count += 1
            label = f"{folder.name:24} {'legacy' if 'legacy' in config else '-':7}"
            with tempfile.TemporaryDirectory() as scratch:
                model = folder if config == "config.json" else with_config(folder, config, Path(scratch) / "view")
                ours = logits_of(ingot, model, golden["ids"], Path(scratch))
            if isinstance(ours, str) or ours.shape != golden["logits"].shape:
                bad += 1
                print(label, ours if isinstance(ours, str) else f"shape {ours.shape}", flush=True)
                continue
            error, worst, same = judged(ours, golden["logits"])
            # Written so that a NaN counts as off.
            off = not (error <= tolerance and worst <= tolerance and same == 1)
            bad += off
            print(f"{label} {error:9.2e} {worst:9.2e} {same:8.4f}{'  OFF' if off else ''}", flush=True)
    print(f"{count - bad} of {count} within {tolerance:g}")
    return int(bad > 0 or count == 0)
