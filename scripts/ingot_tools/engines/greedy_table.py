#!/usr/bin/env python3
"""Whether greedy decoding chooses the tokens that llama.cpp in F32 and transformers choose, for 100 tokens on every family.

    scripts/tools engines-greedy-table --ingot FILE [--tokens 100] [--only PATTERN] [--real] [--work FOLDER] [--write]

Called by scripts/tools test-engines --part greedy. For each case of Tests/Fixtures/families the engine continues the first tokens of the
case's contexts by --tokens, one at a time. `ingot logits` of the same artifact then says, behind each prefix, which token is the
most likely: by induction, where that is the engine's token every time, greedy decoding gives the same text. (That `generate` goes by
these logits token by token is what Tests/InferenceTests/GenerationTests.swift holds it to.) Where it is another one, the two are a
tie if their logits differ by at most 1e-4 of the largest magnitude; else the case fails. --real does the same with the published
models of scripts/tools real-models, and there compares what `ingot generate` itself says.

--write puts the table into docs/results/families.md when nothing failed.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from ingot_tools import REPOSITORY, tool
from ingot_tools.engines import family_cells
from ingot_tools.engines import family_columns as about
from ingot_tools.engines.family_cells import Bench, Failure

PROMPT, TIE = 12, 1e-4
PAGE = os.path.join(REPOSITORY, "docs", "results", "families.md")

# Where an engine parts from transformers as well, whose tokens are the ones here.
PARTS = {("llama", "minimax_m3-mxfp8"): "llama.cpp parts from transformers, too, where keys are chosen (minimax_m3-mxfp8)"}


class Greedy:
    """A case that an engine continues."""

    def __init__(self, bench, case, engine, tokens):
        self.bench, self.case, self.engine, self.tokens = bench, case, engine, tokens
        # Tokens that differ and by how much, or what went wrong.
        self.found: Any = None
        self.name = f"greedy-{engine}-{case}"

    def path(self, ending):
        return self.bench.path(self.name + ending)

    def prepare(self):
        source = os.path.join(family_cells.FIXTURES, self.case)
        window = family_cells.config_of(self.case).get("sliding_window")
        if self.engine == "llama":
            if window and self.case.split("-")[0] not in about.WINDOWED:
                raise Failure("llama.cpp has no window in the family")
            self.artifact = self.path(".gguf")
            self.bench.ingot("convert", source, "--decode", "f32", "--format", "gguf", "-o", self.artifact)
        else:
            self.artifact = source
        ids = load_file(os.path.join(source, "golden.safetensors"))["ids"]
        with open(self.path(".ids.json"), "w") as f:
            json.dump(ids[:, :PROMPT].tolist(), f)

    def job(self):
        if self.engine == "transformers":
            return {"case": self.case, "ids": self.path(".ids.json"), "output": self.path(".npz"), "greedy": self.tokens}
        return {"run": self.engine, "artifact": self.artifact, "ids": self.path(".ids.json"), "output": self.path(".npz"),
                "greedy": self.tokens, "prompt": PROMPT}

    def judge(self, answer):
        if "error" in answer:
            raise Failure(answer["error"])
        with open(self.path(".ids.json")) as f:
            prompts = np.array(json.load(f))
        theirs = np.load(self.path(".npz"))["generated"]
        self.count = theirs.size
        return compare(self.bench, self.artifact, prompts, theirs, self.path(""))


def compare(bench, artifact, prompts, theirs, path):
    """(tokens that are not ours, the largest difference of such a pair's logits over the largest logit)."""
    with open(path + ".all.json", "w") as f:
        json.dump(np.concatenate([prompts, theirs], axis=1).tolist(), f)
    bench.ingot("logits", artifact, "--tokens", path + ".all.json", "-o", path + ".own", "--force")
    logits = load_file(path + ".own")["logits"]
    logits = logits.reshape(len(prompts), -1, logits.shape[-1])[:, prompts.shape[1] - 1:-1]
    ours = logits.argmax(-1)
    gap = logits.max(-1) - np.take_along_axis(logits, theirs[..., None], -1)[..., 0]
    other = ours != theirs
    worst = float((gap[other] / np.abs(logits).max()).max()) if other.any() else 0.0
    if worst > TIE:
        at = np.argwhere(other & (gap / np.abs(logits).max() > TIE))[0]
        raise Failure(f"token {at[1]} behind prompt {at[0]}: {ours[tuple(at)]} here, {theirs[tuple(at)]} there, logits {worst:.1e} apart")
    return int(other.sum()), worst


def engine(bench, name, cells):
    """Answers of one engine's process."""
    file = bench.path(f"greedy-jobs-{name}.json")
    with open(file, "w") as f:
        json.dump([cell.job() for cell in cells], f)
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    program = "run_reference.py" if name == "transformers" else "family_engine.py"
    done = subprocess.run([sys.executable, os.path.join(family_cells.HERE, program), file],
                          capture_output=True, text=True, env=os.environ | offline)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(answers) != len(cells):
        raise SystemExit(f"{name}: {done.stderr[-1000:]}")
    return answers


def run(cells, bench):
    with ThreadPoolExecutor(bench.threads) as pool:
        list(pool.map(lambda cell: attempt(cell, cell.prepare), cells))
        groups = {name: [c for c in cells if c.engine == name and c.found is None] for name in ("transformers", "llama")}
        groups = {name: some for name, some in groups.items() if some}
        answers = pool.map(lambda name: engine(bench, name, groups[name]), groups)
        pairs = [pair for some, given in zip(groups.values(), answers) for pair in zip(some, given)]
        list(pool.map(lambda pair: attempt(pair[0], lambda: pair[0].judge(pair[1])), pairs))


def attempt(cell, step):
    try:
        cell.found = step()
    except Failure as problem:
        cell.found = problem


REAL = ["The history of the steam engine begins", "def fibonacci(n):", "Once upon a time there was a", "The capital of France is",
        "Water boils at", "In 1905, Albert Einstein", "To bake bread you need", "Dear Sir or Madam,"]


def real(bench, tokens):
    """Lines about published models: what `ingot generate` says against llama.cpp that decodes to F32."""
    from ingot_tools.engines import run_llama

    for name in ("smollm2", "gemma3-270m"):
        path = subprocess.run([*tool("real-models"), name], check=True,
                              capture_output=True, text=True).stdout.strip()
        opened = run_llama.open_artifact(path, 64 + tokens, bench.threads, True)
        import llama_cpp

        reader = llama_cpp.Llama(path, vocab_only=True, verbose=False)
        equal, parted = 0, []
        for number, prompt in enumerate(REAL):
            said = subprocess.run([bench.command, "generate", path, "--raw", "--prompt", prompt, "-n", str(tokens), "--temperature", "0",
                                   "--json", "--threads", str(bench.threads)], check=True, capture_output=True, text=True)
            ours = np.array(json.loads(said.stdout)["tokens"])
            ids = np.array([reader.tokenize(prompt.encode(), special=False)])
            theirs = np.asarray(opened.generate(ids, len(ours)))
            if (ours == theirs[0]).all():
                equal += 1
                continue
            at = int(np.argmax(ours != theirs[0]))
            # Up to where they part, and there: a tie, or an exception.
            compare(bench, path, ids, theirs[:, :at + 1], bench.path(f"real-{name}-{number}"))
            parted.append(at)
        opened.close()
        yield f"{name}: {equal} of {len(REAL)} answers of {tokens} tokens are llama.cpp's in F32" + (
            f"; others part at a tie, behind {', '.join(map(str, parted))} tokens" if parted else "")


def record(lines):
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    begin, end = "<!-- greedy -->\n", "<!-- /greedy -->"
    before, _, rest = text.partition(begin)
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(before + begin + "\n".join(lines).strip("\n") + "\n" + rest[rest.index(end):])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", required=True)
    p.add_argument("--tokens", type=int, default=100)
    p.add_argument("--only", default="*")
    p.add_argument("--real", action="store_true")
    p.add_argument("--work")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--write", action="store_true")
    a = p.parse_args()
    begin, lines, failed = time.monotonic(), [], []
    cases = sorted(name for name in os.listdir(family_cells.FIXTURES)
                   if os.path.exists(os.path.join(family_cells.FIXTURES, name, "golden.safetensors")) and fnmatch.fnmatch(name, a.only))

    def say(text):
        print(text, flush=True)
        lines.append(text)

    with tempfile.TemporaryDirectory(dir=a.work) as work:
        bench = Bench(os.path.abspath(a.ingot), work, a.threads)
        gguf = next(column for column in about.OWN if column.container == "gguf")
        cells = [Greedy(bench, case, "transformers", a.tokens) for case in cases]
        cells += [Greedy(bench, case, "llama", a.tokens) for case in cases if gguf.holds(case)]
        run(cells, bench)
        say("| family | pairs of a case and an engine | tokens | other token at a tie | not compared |\n|---|---|---|---|---|")
        for family in sorted({case.split("-")[0] for case in cases}):
            own = [cell for cell in cells if cell.case.split("-")[0] == family]
            right = [cell for cell in own if not isinstance(cell.found, Failure)]
            notes = []
            for cell in own:
                if not isinstance(cell.found, Failure):
                    continue
                words = str(cell.found)
                expected, reason = about.GAPS.get(("gguf", cell.case), ("", "")) if cell.engine == "llama" else ("", "")
                other = next((c for c in own if c.case == cell.case and c.engine == "transformers"), cell)
                if (cell.engine, cell.case) in PARTS and not isinstance(other.found, Failure):
                    notes.append(PARTS[cell.engine, cell.case])
                elif reason and (expected in words or expected == "KLD" or expected == "relative error"):
                    notes.append(reason)
                elif "has no window" in words:
                    notes.append(words)
                else:
                    notes.append("FAILED")
                    failed.append(f"{cell.case}, {cell.engine}: {words}")
            ties = sum(cell.found[0] for cell in right)
            say(f"| {family} | {len(right)} | {sum(cell.count for cell in right):,} | {ties} | {'; '.join(dict.fromkeys(notes))} |")
        right = [cell for cell in cells if not isinstance(cell.found, Failure)]
        say(f"\n{len(right)} pairs of a case and an engine, {sum(cell.count for cell in right):,} tokens: "
            f"{sum(cell.found[0] for cell in right)} are other ones, all at a tie (logits at most "
            f"{max([cell.found[1] for cell in right], default=0):.1e} of the largest apart).")
        if a.real:
            for line in real(bench, a.tokens):
                say(line)
    print(f"{time.monotonic() - begin:.0f} s")
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    if a.write and not failed:
        record(lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
