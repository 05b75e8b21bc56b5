#!/usr/bin/env python3
"""Every family's fixture in every container, loaded by the engine that it is for.

    scripts/engines/family_table.py --ingot FILE [--only PATTERN] [--work FOLDER]

Called by scripts/test-engines. For each case of Tests/Fixtures/families Ingot makes an artifact, the engine runs it on the
case's own token ids, and its logits are compared with `ingot logits` of the same artifact: mean KL divergence in nats and the
share of equal top tokens. Dense artifacts are compared with transformers' golden logits too. Exit code 1 when a cell fails that
GAPS does not explain.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "..", "Tests", "Fixtures", "families")
KLD, SAME_TOP, RELATIVE = 1e-4, 0.98, 1e-5

# Column, container, arguments or rules of a recipe, runner.
COLUMNS = [
    ("gguf f32", "gguf", ["convert", "--decode", "f32"], ["run_llama.py", "--decode"]),
    ("gguf q8_0", "gguf", ["quantize", "--recipe", "q8_0"], ["run_llama.py", "--decode"]),
    ("mlx f32", "mlx", ["convert", "--decode", "f32"], ["run_mlx.py"]),
    ("mlx int4 g32", "mlx", "  - {parts: [attention, experts, mlp], encoding: int4 g32 bias bf16}\n", ["run_mlx.py"]),
    ("safetensors f32", "safetensors", ["convert", "--decode", "f32"], ["run_transformers.py"]),
]

# What an engine's class of a family does not do: the artifact is refused, or is right for other engines only.
GAPS = {
    ("gguf", "qwen3_moe-raw"): "llama.cpp always normalizes the router's weights",
    ("gguf", "qwen3_moe-step"): "llama.cpp has no dense layers in qwen3moe",
    ("gguf", "qwen3-mixed-yarn"): "llama.cpp has no attention biases in qwen3",
    ("mlx", "qwen3-mixed-yarn"): "mlx-lm has no attention biases in qwen3",
    ("mlx", "qwen3_moe-step"): "mlx-lm has no attention biases in qwen3_moe",
    ("mlx", "qwen2-window"): "mlx-lm has no window in qwen2",
    ("mlx", "mistral-window"): "mlx-lm has no window in all layers",
    ("mlx", "mixtral-window"): "mlx-lm takes head_dim from the hidden size in mixtral",
}


def divergence(ours, theirs):
    """Mean KL divergence in nats, share of equal top tokens."""
    def log_softmax(x):
        x = x.astype(np.float64)
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    p, q = log_softmax(ours), log_softmax(theirs)
    return float((np.exp(p) * (p - q)).sum(-1).mean()), float(np.mean(ours.argmax(-1) == theirs.argmax(-1)))


class Failure(Exception):
    """A cell that is not right, and why."""


class Cells:
    """All cells of one column."""

    def __init__(self, ingot, work, column):
        self.ingot, self.work = ingot, work
        self.name, self.container, self.how, self.runner = column
        self.found = {}

    def path(self, case, ending=""):
        return os.path.join(self.work, f"{self.name.replace(' ', '-')}-{case}{ending}")

    def command(self, *arguments):
        done = subprocess.run([self.ingot, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise Failure(done.stderr.strip().removeprefix("error: "))

    def make(self, case):
        """Makes the artifact and the ids; returns its path and the golden logits."""
        source = os.path.join(FIXTURES, case)
        golden = load_file(os.path.join(source, "golden.safetensors"))
        ids, logits = golden["ids"], golden["logits"]
        with open(os.path.join(source, "config.json")) as f:
            window = json.load(f).get("sliding_window")
        if self.container == "gguf" and window:
            # Longer contexts than the window are not announced there.
            ids, logits = ids[:, :window], logits[:, :window]
        with open(self.path(case, ".ids.json"), "w") as f:
            json.dump(ids.tolist(), f)
        artifact = self.path(case, ".gguf" if self.container == "gguf" else "")
        how = self.how
        if isinstance(how, str):
            recipe = self.path(case, ".yaml")
            with open(recipe, "w") as f:
                f.write(f"name: trial\nrules:\n{how}")
            how = ["quantize", "--recipe", recipe, "--format", self.container]
        elif how[0] == "convert":
            how = [*how, "--format", self.container]
        self.command(how[0], source, *how[1:], "-o", artifact)
        return artifact, logits

    def run(self, cases):
        made = {}
        for case in cases:
            try:
                made[case] = self.make(case)
            except Failure as problem:
                self.found[case] = problem
        jobs = [{"artifact": artifact, "ids": self.path(case, ".ids.json"), "output": self.path(case, ".npz")}
                for case, (artifact, _) in made.items()]
        list_of_jobs = self.path("jobs", ".json")
        with open(list_of_jobs, "w") as f:
            json.dump(jobs, f)
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, self.runner[0]), list_of_jobs, *self.runner[1:]],
            capture_output=True, text=True, cwd=HERE)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if len(answers) != len(jobs):
            raise SystemExit(f"{self.runner[0]}: {done.stderr[-1000:]}")
        for (case, (artifact, golden)), answer in zip(made.items(), answers):
            try:
                self.found[case] = self.judged(case, artifact, golden, answer)
            except Failure as problem:
                self.found[case] = problem

    def judged(self, case, artifact, golden, answer):
        if "error" in answer:
            raise Failure(answer["error"])
        theirs = np.load(self.path(case, ".npz"))["logits"]
        self.command("logits", artifact, "--tokens", self.path(case, ".ids.json"), "-o", self.path(case, ".own"))
        ours = load_file(self.path(case, ".own"))["logits"].reshape(theirs.shape)
        kld, top = divergence(ours, theirs)
        if not (kld <= KLD and top >= SAME_TOP):
            raise Failure(f"KLD {kld:.1e}, same top {top:.3f}")
        if self.name.endswith("f32"):
            error = np.linalg.norm(ours - golden.reshape(ours.shape)) / np.linalg.norm(golden)
            if not error <= RELATIVE:
                raise Failure(f"relative error {error:.1e} to transformers")
        return f"{kld:.0e}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", required=True)
    p.add_argument("--only", default="*")
    p.add_argument("--work")
    a = p.parse_args()
    cases = sorted(name for name in os.listdir(FIXTURES) if fnmatch.fnmatch(name, a.only)
                   and os.path.exists(os.path.join(FIXTURES, name, "golden.safetensors")))
    with tempfile.TemporaryDirectory(dir=a.work) as work:
        columns = [Cells(os.path.abspath(a.ingot), work, column) for column in COLUMNS]
        for column in columns:
            column.run(cases)
    print("\nFamilies: KL divergence of an engine's logits to ours, of the same artifact\n")
    print("| case | " + " | ".join(column.name for column in columns) + " |")
    print("|---" * (1 + len(columns)) + "|")
    notes, failed = [], []
    for case in cases:
        cells = []
        for column in columns:
            found = column.found[case]
            reason = GAPS.get((column.container, case))
            if not isinstance(found, Failure):
                cells.append(found)
            elif reason:
                if reason not in notes:
                    notes.append(reason)
                cells.append(f"({notes.index(reason) + 1})")
            elif "a tensor that" in str(found) or "columns that are a multiple" in str(found):
                cells.append("no fit")
            else:
                cells.append("NO")
                failed.append(f"{column.name}, {case}: {found}")
        print(f"| {case} | " + " | ".join(cells) + " |")
    print("\nno fit: rows of the case are not divisible by the encoding's groups")
    for number, reason in enumerate(notes):
        print(f"({number + 1}) {reason}")
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
