#!/usr/bin/env python3
"""Published models through everything that ingot does with them.

    scripts/tools engines-real-table --ingot FILE [--model NAME] [--context 256] [--only PATTERN] [--work FOLDER] [--write]

Called by scripts/tools test-engines --real. scripts/tools real-models fetches the models: SmolLM2-135M-Instruct in Q4_1 and
Gemma 3 270M in Q4_K_M, both with an embedding in Q8_0. Each is inspected, checked and tokenized; it is converted and
quantized anew, and every artifact is measured against it by `ingot verify` on held-out text, and run by the engine
that it is for, whose logits are compared with `ingot logits` of the same artifact. Exit code 1 when anything is not as
it should be. --write puts the results into docs/results when all is. --only takes rows of names like a pattern.
"""

import argparse
import fnmatch
import json
import os
import platform
import re
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file

from ingot_tools import REPOSITORY
from ingot_tools.engines import compare, llama_tokens
from ingot_tools.engines.real_rows import CALIBRATION, HELD_OUT, MODELS

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = str(REPOSITORY)
KLD, SAME_TOP = 1e-4, 0.98
# Where llama.cpp's own tokens differ from those of the tokenizer.json that its cut into words stands for.
DIFFERENT = 0.01


class Failure(Exception):
    """Why something is not right."""


def tokenizer(folder):
    """text → token ids, by what ingot wrote: tokenizer.json or tokenizer.model."""
    path = os.path.join(folder, "tokenizer.json")
    if os.path.exists(path):
        from tokenizers import Tokenizer

        ours = Tokenizer.from_file(path)
        return lambda text: ours.encode(text, add_special_tokens=False).ids
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model")).EncodeAsIds


class Real:
    """The command, the model, and a folder for all artifacts."""

    def __init__(self, ingot, work, about, context):
        self.command, self.work, self.about = ingot, work, about
        self.context = context or about.context
        fetch = [os.path.join(ROOT, "scripts", "real-models"), about.name]
        found = subprocess.run(fetch, capture_output=True, text=True)
        if found.returncode:
            raise SystemExit(found.stderr.strip())
        self.model = found.stdout.strip()
        self.engines = set()

    def path(self, name):
        return os.path.join(self.work, name)

    def ingot(self, *arguments):
        done = subprocess.run([self.command, *arguments], capture_output=True, text=True)
        if done.returncode:
            message = done.stderr.strip().removeprefix("error: ").replace(self.model, os.path.basename(self.model))
            raise Failure(f"ingot {arguments[0]}: {message}")
        return done.stdout

    def engine(self, script, jobs, *arguments):
        """Answers of one of our scripts, for all jobs in one process."""
        file = self.path("jobs.json")
        with open(file, "w") as f:
            json.dump(jobs, f)
        words = [file if argument == "JOBS" else argument for argument in arguments]
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run([sys.executable, os.path.join(HERE, script), *words],
                              capture_output=True, text=True, env=os.environ | offline)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if len(answers) != len(jobs):
            raise SystemExit(f"{script}: {done.stderr[-1000:]}")
        return answers

    def tokenized(self):
        """How many texts of the tokenizer's tests come out different, and of how many. Cuts a context of each held-out
        text too."""
        import llama_cpp

        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(silent, None)
        model = llama_cpp.llama_model_load_from_file(self.model.encode(), parameters)
        vocabulary = llama_cpp.llama_model_get_vocab(model)
        with open(os.path.join(ROOT, "Tests", "Fixtures", "tokenizer", "vectors.json"), encoding="utf-8") as f:
            texts = json.load(f)["texts"]
        ours = tokenizer(self.path("f16"))
        different = sum(ours(text) != llama_tokens.tokens(vocabulary, text, False, True) for text in texts)
        self.ids = []
        for name in HELD_OUT:
            with open(os.path.join(ROOT, name), encoding="utf-8", newline="") as f:
                # With a begin token where the model asks for one: without it Gemma predicts nothing well.
                ids = llama_tokens.tokens(vocabulary, f.read(), True, False)
            self.ids.append(ids[:self.context])
        llama_cpp.llama_model_free(model)
        for runner, count in self.about.contexts.items():
            with open(self.path(f"ids-{runner}.json"), "w") as f:
                json.dump(self.ids[:count], f)
        return different, len(texts)

    def make(self, row):
        """The artifact; nothing for what another tool makes."""
        if row.maker:
            job = {"setting": row.maker[1], "output": self.path(row.file)}
            answer = self.engine("foreign.py", [job], row.maker[0], "JOBS", "--dense", "none", "--gguf", self.model)[0]
            if "error" in answer:
                raise Failure(answer["error"])
        elif row.arguments:
            if row.rules:
                with open(self.path("recipe.yaml"), "w") as f:
                    f.write(f"name: trial\nrules:\n{row.rules}")
            files = {"RECIPE": self.path("recipe.yaml"), "CALIB": self.path("calib")}
            verb, *arguments = [files.get(argument, argument) for argument in row.arguments]
            self.ingot(verb, self.model, *arguments, "-o", self.path(row.file))
        return self.path(row.file) if row.file else self.model

    def verified(self, artifact, chunks=None):
        texts = [argument for name in HELD_OUT for argument in ("--text", os.path.join(ROOT, name))]
        return json.loads(self.ingot("verify", artifact, "--against", self.model, *texts, "--context",
                                     str(self.context), "--chunks", str(chunks or self.about.chunks), "--json"))

    def agreement(self, artifact, runner, answer, logits):
        """KL divergence of an engine's logits to ours."""
        if "error" in answer:
            raise Failure(answer["error"])
        self.engines.add(answer["engine"])
        self.ingot("logits", artifact, "--tokens", self.path(f"ids-{runner}.json"), "-o", self.path("own"), "--force")
        figures = compare.divergence(load_file(self.path("own"))["logits"], np.load(logits)["logits"])
        if not (figures["kld"] <= KLD and figures["sameTop"] >= SAME_TOP):
            raise Failure(f"engine's KLD {figures['kld']:.1e}, same top {figures['sameTop']:.3f}")
        return f"{figures['kld']:.0e}"


def rows_of(real, rows, say):
    """Cells of every row, printed as they come; what failed."""
    failed, made = [], []
    for row in rows:
        try:
            made.append((row, real.make(row)))
        except Failure as problem:
            made.append((row, problem))
    answers = {}
    for runner in dict.fromkeys(row.engine for row in rows if row.engine):
        some = [(row, artifact) for row, artifact in made
                if row.engine == runner and not isinstance(artifact, Failure)]
        jobs = [{"artifact": artifact, "ids": real.path(f"ids-{runner}.json"), "output": real.path(f"{i}-{runner}.npz")}
                for i, (_, artifact) in enumerate(some)]
        decode = ["--decode"] if runner == "llama" else []
        for (row, _), job, answer in zip(some, jobs, real.engine(f"run_{runner}.py", jobs, "JOBS", *decode)):
            answers[row.name] = answer, job["output"]
    for row, artifact in made:
        try:
            if isinstance(artifact, Failure):
                raise artifact
            about = json.loads(real.ingot("inspect", artifact, "--json"))
            real.ingot("check", artifact)
            agrees = real.agreement(artifact, row.engine, *answers[row.name]) if row.engine else "–"
            size = [f"{about['bytes']:,}", f"{8 * about['bytes'] / about['parameters']['total']:.2f}"]
            if row.file:
                v = real.verified(artifact)
                kld = v["klDivergence"]
                size += [f"{kld['mean']:.3g} ± {kld['standardError']:.1g}", f"{100 * v['sameTop']:.1f} %",
                         f"{v['perplexity']['ratio']:.4f}"]
            else:
                size += ["–", "–", "–"]
            say(f"| {row.name} | {row.container} | {' | '.join(size)} | {row.runs_in()} | {agrees} |")
        except Failure as problem:
            failed.append(f"{row.name}: {problem}")
            say(f"| {row.name} | {row.container} | NO | | | | | | |")
    return failed


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", required=True)
    p.add_argument("--model", choices=[about.name for about in MODELS], action="append")
    p.add_argument("--context", type=int)
    p.add_argument("--only", default="*")
    p.add_argument("--work")
    p.add_argument("--write", action="store_true")
    a = p.parse_args()
    failed = []
    for about in MODELS:
        if not a.model or about.name in a.model:
            failed += table(about, a)
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    return 1 if failed else 0


def table(about, a):
    """Everything of one model; what failed."""
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    rows = [row for row in about.rows if not row.file or fnmatch.fnmatch(row.name, a.only)]
    failed = []
    with tempfile.TemporaryDirectory(dir=a.work) as work:
        real = Real(os.path.abspath(a.ingot), work, about, a.context)
        real.ingot("convert", real.model, "--decode", "f16", "--format", "safetensors", "-o", real.path("f16"))
        different, count = real.tokenized()
        if any("CALIB" in row.arguments for row in rows):
            texts = [os.path.join(ROOT, name) for name in CALIBRATION]
            real.ingot("calibrate", real.model, *[x for text in texts for x in ("--text", text)], "--context",
                       str(real.context), "--chunks", str(about.chunks), "-o", real.path("calib"))
        say("| artifact | container | bytes | bits per weight | KLD | same top | perplexity | run by | engine's KLD |")
        say("|---" * 9 + "|")
        failed += rows_of(real, rows, say)
        say(f"\nTokens of {count:,} texts by the tokenizer that ingot writes: {count - different:,} are "
            "llama.cpp's.")
        if different > DIFFERENT * count:
            failed.append(f"tokens: {different} of {count} texts differ")
        failed += own_tokens(real, say)
        version = real.ingot("--version").strip()
        engines = ", ".join(sorted({part for engine in real.engines for part in engine.split(", ")}))
        say(f"\ningot {version}; {engines}; {platform.system()} {platform.machine()}, "
            f"Python {platform.python_version()}")
    if a.write and not failed:
        record(about, lines)
    return [f"{about.name}: {line}" for line in failed]


def own_tokens(real, say):
    """Ingot's tokens of the held-out texts against llama.cpp's: the same perplexity only if they are the same."""
    own = real.verified(real.path("f16"), chunks=1)["perplexity"]["original"]
    logits = np.load(real.path("0-llama.npz"))["logits"]
    theirs = compare.perplexity(logits, real.ids[:len(logits)])
    say(f"\nPerplexity of the original: {own:.5f} by ingot verify, {theirs:.5f} by llama.cpp's tokens and logits.")
    return [] if abs(own / theirs - 1) <= 1e-4 else [f"perplexity of the original: {own} here, {theirs} there"]


def record(about, lines):
    """Puts what was printed between the marks of the model's page."""
    path = os.path.join(ROOT, "docs", "results", about.page)
    if not os.path.exists(path):
        with open(path, "w") as f:
            f.write(f"# A published model: {about.name}\n\n<!-- table -->\n<!-- /table -->\n")
    with open(path) as f:
        text = f.read()
    begin, end = "<!-- table -->\n", "<!-- /table -->"
    pattern = re.compile(f"(?<={begin}).*(?={end})", re.DOTALL)
    with open(path, "w") as f:
        f.write(pattern.sub(lambda _: "\n".join(lines) + "\n", text))


if __name__ == "__main__":
    sys.exit(main())
