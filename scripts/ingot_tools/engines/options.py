#!/usr/bin/env python3
"""Other tools' own options: what they write with each, and whether Ingot reads the same weights out of it.

    scripts/tools engines-options --ingot FILE [--short] [--only PATTERN] [--work FOLDER]

For every case another tool (or its packer) makes an artifact. `ingot` must read it to the values that the tool itself
decodes: bit for bit where the tool gives them in a type of its own (values of ours are rounded to it), or to the same
logits, within 1e-5 of the largest one, where the tool writes a decoded model. Cases that a reader has no numbers for
must be refused with the words that stand beside them.

Called by scripts/tools test-engines. Prints a line for each tool with counts, and every case that fails; exit code 1 when one does.
"""

import argparse
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from ingot_tools import REPOSITORY

FIXTURES = os.path.join(REPOSITORY, "Tests", "Fixtures")
PEERS = ["llama", "mlx", "compressed_tensors", "gptq"]
TOLERANCE = 1e-5


class Failure(Exception):
    """Why a case fails, in a line."""


LAYERS, EXPERTS = 2, 4


class Bench:
    """What a peer's cases are made and judged with. dense: half of the embedded model's layers and experts in BF16 as
    SafeTensors."""

    def __init__(self, ingot, work):
        self.ingot, self.work = ingot, work
        self.model = os.path.realpath(os.path.join(FIXTURES, "m2-nano"))
        self.text = os.path.realpath(os.path.join(FIXTURES, "text", "prose.txt"))
        self.dense = self.path("dense")
        self.run("convert", self.model, "--decode", "bf16", "--format", "safetensors", "-o", self.dense)
        self.halve()

    def halve(self):
        """Leaves out layers and experts: some of the tools' searches take seconds for a million weights."""
        from safetensors.torch import save_file

        from ingot_tools.reference import oracle

        tensors = {}
        for name, value in oracle.read_tensors(self.dense).items():
            layer, expert = ([int(part) for part in name.split(at)[1].split(".")[:1]] if at in name else [0]
                             for at in (".layers.", ".experts."))
            if layer[0] < LAYERS and expert[0] < EXPERTS:
                is_router = name.endswith((".gate.weight", "e_score_correction_bias"))
                tensors[name] = value[:EXPERTS].clone() if is_router else value
        for name in os.listdir(self.dense):
            if ".safetensors" in name:
                os.remove(os.path.join(self.dense, name))
        save_file(tensors, os.path.join(self.dense, "model.safetensors"), metadata={"format": "pt"})
        path = os.path.join(self.dense, "config.json")
        with open(path) as f:
            config = json.load(f)
        config |= {"num_hidden_layers": LAYERS, "num_local_experts": EXPERTS, "attn_type_list": [1] * LAYERS}
        with open(path, "w") as f:
            json.dump(config, f, indent=2)

    def path(self, name):
        return os.path.join(self.work, name)

    def fresh(self, name):
        path = self.path(name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)
        return path

    def run(self, *arguments):
        outcome = subprocess.run([self.ingot, *map(str, arguments)], capture_output=True, text=True)
        if outcome.returncode:
            said = (outcome.stderr.strip() or outcome.stdout.strip()).splitlines()
            raise Failure(f"ingot {arguments[0]} exits {outcome.returncode}: {' '.join(said)[:400]}")
        return outcome.stdout

    def logits(self, artifact):
        from safetensors.numpy import load_file

        ids = self.path("ids.json")
        if not os.path.exists(ids):
            with open(ids, "w") as f:
                json.dump([[(7 * i + 13 * j) % 2040 for i in range(24)] for j in range(3)], f)
        output = self.fresh("logits.safetensors")
        self.run("logits", artifact, "--tokens", ids, "-o", output)
        return load_file(output)["logits"]

    def same_logits(self, artifact, decoded):
        """The logits of an artifact are those of the model that the tool decoded."""
        import numpy as np

        ours, theirs = self.logits(artifact), self.logits(decoded)
        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        if not error <= TOLERANCE:
            raise Failure(f"logits differ by {error:.3g} of the largest")

    def same_values(self, artifact, expected):
        """Tensors that Ingot reads are the tool's, rounded to the type of the tool's. expected: name → torch tensor."""
        import torch

        from ingot_tools.reference import oracle

        read = self.fresh("read")
        self.run("convert", artifact, "--decode", "f32", "--format", "safetensors", "-o", read)
        found = oracle.read_tensors(read)
        wrong = [n for n, value in expected.items() if n not in found or not torch.equal(found[n].to(value.dtype), value)]
        if wrong or not expected:
            raise Failure(f"{len(wrong)} of {len(expected)} tensors have other values, such as {wrong[:2]}")

    def refused(self, artifact, words):
        """The artifact is refused, and the error has these words."""
        outcome = subprocess.run([self.ingot, "check", artifact], capture_output=True, text=True)
        said = outcome.stdout + outcome.stderr
        if outcome.returncode != 1 or words not in said:
            raise Failure(f"not refused with '{words}': exit code {outcome.returncode}, {said.strip()[:300]}")


def peer(name, a):
    """Runs the cases of one tool in this process; prints a line of JSON for each."""
    module = __import__(f"peer_{name}")
    # Tools print much on standard output: only our lines are to stand there.
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work = os.path.join(a.work, name)
    os.makedirs(work, exist_ok=True)
    bench = Bench(a.ingot, work)
    for title, case, is_short in module.cases(bench):
        if a.short and not is_short or a.only and not any(fnmatch.fnmatch(f"{name} {title}", p) for p in a.only):
            continue
        try:
            answer = {"title": title, "kind": case() or "read"}
        except Failure as problem:
            answer = {"title": title, "error": str(problem)}
        except Exception as problem:
            answer = {"title": title, "error": f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"}
        print(json.dumps(answer), file=out, flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", required=True)
    p.add_argument("--short", action="store_true", help="a handful of cases of each tool")
    p.add_argument("--only", action="append", help="cases by a shell pattern such as 'mlx affine 4*'; may be repeated")
    p.add_argument("--work", metavar="FOLDER")
    p.add_argument("--list", action="store_true", help="also print the cases that pass")
    p.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    a = p.parse_args()
    a.ingot = os.path.abspath(a.ingot)
    if a.peer:
        return peer(a.peer, a)
    a.work = a.work or tempfile.mkdtemp(prefix="ingot-options-")
    os.makedirs(a.work, exist_ok=True)
    begin = time.monotonic()

    def run(name):
        command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--work", a.work, "--peer", name]
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        answers = []
        with open(os.path.join(a.work, name + ".log"), "w") as log, subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | offline) as outcome:
            for line in outcome.stdout or ():
                answers.append(json.loads(line))
                if "error" in answers[-1]:
                    print(f"FAILED {name} {answers[-1]['title']}: {answers[-1]['error']}", file=sys.stderr, flush=True)
        if outcome.returncode:
            with open(log.name) as f:
                last = (f.read().strip().splitlines() or ["nothing said"])[-1]
            answers.append({"title": "all", "error": f"ends with {outcome.returncode}: {last[:300]}"})
        return name, answers

    failed = 0
    print("\nOptions of other tools, read by ingot to the values that the tools decode\n")
    print("| tool | cases | read | refused, with the reason | failed |\n|---|---|---|---|---|")
    lines = []
    with ThreadPoolExecutor(2) as pool:
        asked = [n for n in PEERS if not a.only or any(fnmatch.fnmatch(n, pattern.split()[0]) for pattern in a.only)]
        for name, answers in pool.map(run, asked):
            kinds = [answer.get("kind", "failed") for answer in answers]
            print(f"| {name.replace('_', '-')} | {len(kinds)} | {kinds.count('read')} | {kinds.count('refused')} | "
                  f"{kinds.count('failed')} |", flush=True)
            failed += kinds.count("failed")
            for answer in answers:
                if "error" in answer:
                    lines.append(f"FAILED {name} {answer['title']}: {answer['error']}")
                elif a.list:
                    lines.append(f"{answer['kind']} {name} {answer['title']}")
    print("\n".join(["", *lines, f"{time.monotonic() - begin:.0f} s"]))
    shutil.rmtree(a.work, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
