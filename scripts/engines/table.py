#!/usr/bin/env python3
"""Artifacts of the embedded model in every container and encoding, loaded by the engines they are for.

Called by scripts/test-engines, which says what the options mean. For each row: Ingot makes an artifact (or
an engine's own tool does), the engine runs it on fixed text, and its logits are held against `ingot logits`
of the same artifact: KL divergence in nats, share of equal top tokens, and the tokens that the engine
generates greedily. Exit code 1 when any row fails.
"""

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

import compare
import rows as table

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = os.path.join(HERE, "..", "..", "Tests", "Fixtures")


class Failure(Exception):
    """What stops a row, in a line."""


class Session:
    def __init__(self, a):
        self.a = a
        self.work = a.work or tempfile.mkdtemp(prefix="ingot-engines-")
        os.makedirs(self.work, exist_ok=True)
        self.recipes = {r["name"] for r in json.loads(self.ingot("recipes", "--json"))}
        text = self.ingot("quantize", "--help", environment={"COLUMNS": "1000"})
        found = re.search(r"Format of the output: ([^.]*)\.", text)
        self.formats = set(re.split(r",\s*", " ".join(found[1].split()))) if found else set()
        self.ids = self.contexts(a.model, a.texts, a.context)
        with open(self.path("ids.json"), "w") as f:
            json.dump(self.ids.tolist(), f)

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, command, environment=None):
        outcome = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | (environment or {}))
        if outcome.returncode:
            lines = (outcome.stderr.strip() or outcome.stdout.strip()).splitlines()
            errors = [line for line in lines if line.startswith("error")] or lines[-1:]
            raise Failure(f"{os.path.basename(command[0])} exits {outcome.returncode}: {' '.join(errors)[:300]}")
        return outcome.stdout

    def ingot(self, *arguments, environment=None):
        return self.run([self.a.ingot, *arguments], environment)

    def python(self, script, *arguments):
        # Models come from folders only: nothing is to be asked of a network.
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        return self.run([sys.executable, os.path.join(HERE, script), *map(str, arguments)], offline)

    def contexts(self, model, texts, length):
        """Contexts of token ids: `count` of each text."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
        out = []
        for text, count in texts:
            with open(text, encoding="utf-8", newline="") as f:
                ids = tokenizer.encode(f.read(), add_special_tokens=False).ids
            if len(ids) < count * length:
                raise Failure(f"{text}: {len(ids)} tokens, {count * length} are needed")
            out += [ids[i * length:(i + 1) * length] for i in range(count)]
        return np.array(out)

    def reference(self, artifact, ids):
        """Logits of our own forward pass."""
        from safetensors.numpy import load_file

        with open(self.path("reference.json"), "w") as f:
            json.dump(ids.tolist(), f)
        out = self.path("reference.safetensors")
        self.ingot("logits", artifact, "--tokens", self.path("reference.json"), "-o", out, "--force")
        return load_file(out)["logits"]

    def engine(self, engine, artifact, ids="ids.json", greedy=True):
        """Logits, generated tokens, and what the engine says of itself."""
        out = self.path("engine.npz")
        generate = ["--greedy", self.a.greedy, "--prompt", self.a.prompt] if greedy else []
        text = self.python(
            engine.runner, artifact, "--ids", self.path(ids), *engine.options, *generate, "-o", out)
        data = np.load(out)
        return data["logits"], data["generated"] if greedy else None, json.loads(text.splitlines()[-1])

    def agree(self, engine, artifact, reference):
        """A row's figures: our forward pass of an artifact against an engine's."""
        logits, generated, about = self.engine(engine, artifact)
        figures = compare.divergence(reference, logits)
        whole = np.concatenate([self.ids[:, :self.a.prompt], generated], 1)
        equal, margin = compare.greedy(generated, self.reference(artifact, whole), self.a.prompt)
        ok = (figures["kld"] <= engine.kld and figures["sameTop"] >= engine.same_top
              and (equal == self.a.greedy or margin <= engine.tie))
        tokens = str(equal) if equal == self.a.greedy else f"{equal}, then margin {margin:.2g}"
        return ok, about, [f"{figures['kld']:.1e}", f"{100 * figures['sameTop']:.2f} %", tokens]


def our_artifact(session, row):
    if row.container not in session.formats:
        raise Failure(f"missing: format {row.container}")
    if row.recipe and row.recipe not in session.recipes:
        raise Failure(f"missing: recipe {row.recipe}")
    if row.rules:
        with open(session.path("recipe.yaml"), "w") as f:
            f.write(f"name: trial\nsummary: {row.encoding}\nrules:\n{row.rules}")
    artifact = session.path("artifact.gguf" if row.container == "gguf" else "artifact")
    remove(artifact)
    arguments = [session.path("recipe.yaml") if x == "RECIPE" else x for x in row.arguments]
    session.ingot(row.verb, session.a.model, *arguments, "-o", artifact)
    return artifact


def remove(path):
    shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)


def show(cells, widths):
    print("| " + " | ".join(str(c).ljust(w) for c, w in zip(cells, widths)) + " |", flush=True)


def header(names, widths):
    show(names, widths)
    print("|" + "|".join("-" * (w + 2) for w in widths) + "|", flush=True)


WIDTHS = [18, 16, 40, 32, 7, 8, 8, 16]


def ours(session, wanted):
    """The table of our artifacts; returns what failed."""
    failed = []
    print(f"\nArtifacts that ingot makes of {os.path.basename(session.a.model)}: "
          f"{session.ids.shape[0]} contexts of {session.ids.shape[1]} tokens\n")
    header(["container", "encoding", "engine", "computes in", "loads", "KLD", "same top", "greedy tokens"], WIDTHS)
    for row in wanted(table.ROWS, lambda r: (r.container, r.encoding)):
        try:
            artifact = our_artifact(session, row)
            reference = session.reference(artifact, session.ids)
        except Failure as problem:
            failed.append((row.container, row.encoding, str(problem)))
            show([row.container, row.encoding, "", "", "NO", "", "", str(problem)], WIDTHS)
            continue
        for engine in row.engines:
            try:
                ok, about, figures = session.agree(engine, artifact, reference)
            except Failure as problem:
                failed.append((row.container, row.encoding, str(problem)))
                show([row.container, row.encoding, engine.runner, "", "NO", "", "", str(problem)], WIDTHS)
                continue
            if not ok:
                failed.append((row.container, row.encoding, f"{about['engine']}: {', '.join(figures)}"))
            show([row.container, row.encoding, about["engine"], about["precision"], "yes" if ok else "yes: NO",
                  *figures], WIDTHS)
        if row.container == "gguf":
            failed += decoded(session, row, artifact)
    return failed


def decoded(session, row, artifact):
    """A row for the package gguf: every value that it decodes is ours."""
    name = (row.container, row.encoding)
    try:
        remove(session.path("dense"))
        session.ingot("convert", artifact, "--decode", "f32", "--format", "safetensors", "-o", session.path("dense"))
        about = json.loads(session.python("run_gguf.py", artifact, "--dense", session.path("dense")).splitlines()[-1])
    except Failure as problem:
        show([*name, "run_gguf.py", "", "NO", "", "", str(problem)], WIDTHS)
        return [(*name, str(problem))]
    ok = about["compared"] > 0 and not about["differing"] and not about["notInFile"]
    says = f"{about['compared']} tensors, {len(about['differing']) or 'no'} bit differs"
    if about["differing"]:
        says = f"{len(about['differing'])} of {about['compared']} tensors differ"
    show([*name, about["engine"], "decodes only", "yes" if ok else "yes: NO", "", "", says], WIDTHS)
    return [] if ok else [(*name, f"gguf: {says}, such as {(about['differing'] + about['notInFile'])[0]}")]


def theirs(session, wanted):
    """The table of artifacts that other tools made; returns what failed."""
    failed = []
    chosen = list(wanted(table.FOREIGN, lambda r: (r[0], r[2])))
    if not chosen:
        return failed
    widths = [18, 18, 16, 34, 6, 8, 8, 16, 10, 10]
    print("\nArtifacts that other tools make of it, read by ingot\n")
    header(["container", "made by", "encoding", "run by", "reads", "KLD", "same top", "greedy tokens",
            "verify", "engine's"], widths)
    dense, gguf = session.path("bf16"), session.path("bf16.gguf")
    for path, form in ((dense, "safetensors"), (gguf, "gguf")):
        remove(path)
        session.ingot("convert", session.a.model, "--decode", "bf16", "--format", form, "-o", path)
    original = session.reference(session.a.model, session.ids)
    for container, maker, setting, engines in chosen:
        name = [container, maker, setting]
        artifact = session.path("foreign.gguf" if container == "gguf" else "foreign")
        try:
            remove(artifact)
            session.python("foreign.py", maker, setting, "--dense", dense, "--gguf", gguf, "-o", artifact)
            reference = session.reference(artifact, session.ids)
            text, count = session.a.texts[0]
            # The same text by verify, and by the engine's logits against our logits of the original.
            verified = json.loads(session.ingot(
                "verify", artifact, "--against", session.a.model, "--text", text, "--context",
                str(session.a.context), "--chunks", str(count), "--json"))["klDivergence"]["mean"]
            for engine in engines:
                ok, about, figures = session.agree(engine, artifact, reference)
                logits = session.engine(engine, artifact, greedy=False)[0]
                direct = compare.divergence(
                    compare.scored(original)[:count], compare.scored(logits)[:count])["kld"]
                ok = ok and abs(verified - direct) <= max(1e-6, 0.02 * direct)
                if not ok:
                    failed.append((*name, f"{', '.join(figures)}, verify {verified:.6g}, engine's {direct:.6g}"))
                show([*name, about["engine"], "yes" if ok else "NO", *figures, f"{verified:.5f}", f"{direct:.5f}"],
                     widths)
        except Failure as problem:
            failed.append((*name, str(problem)))
            show([*name, "", "NO", "", "", str(problem), "", ""], widths)
    print("\nverify: mean KL divergence from the original by ingot verify; engine's: the same from the engine's logits")
    return failed


def perplexities(session):
    """Our Q4_K_M against llama.cpp's own, by llama.cpp's logits; returns what failed."""
    failed = []
    print("\nQ4_K_M by ingot and by llama-quantize without importance, logits by llama.cpp as users run it\n")
    widths = [10, 22, 10, 12, 10, 12, 12]
    header(["model", "text", "tokens", "BF16 PPL", "by", "PPL", "KLD to BF16"], widths)
    models = [(session.a.model, session.a.texts)] + ([(session.a.mini, mini_texts(session.a))] if session.a.mini else [])
    run = table.LLAMA[1]
    for model, texts in models:
        base, own, other = (session.path(f"{n}.gguf") for n in ("base", "own", "other"))
        for path in (base, own, other):
            remove(path)
        try:
            session.ingot("convert", model, "--decode", "bf16", "--format", "gguf", "-o", base)
            session.ingot("quantize", model, "--recipe", "q4_k_m", "-o", own)
            session.python("foreign.py", "llama-quantize", "Q4_K_M", "--dense", model, "--gguf", base, "-o", other)
            for text, count in texts:
                ids = session.contexts(model, [(text, count)], 512)
                with open(session.path("text.json"), "w") as f:
                    json.dump(ids.tolist(), f)
                reference = session.engine(run, base, "text.json", greedy=False)[0]
                results = {}
                for name, path in (("ingot", own), ("llama.cpp", other)):
                    logits = session.engine(run, path, "text.json", greedy=False)[0]
                    results[name] = (
                        compare.perplexity(logits, ids),
                        compare.divergence(compare.scored(reference), compare.scored(logits))["kld"])
                    show([os.path.basename(model), os.path.basename(text), ids.size,
                          f"{compare.perplexity(reference, ids):.5f}", name, f"{results[name][0]:.5f}",
                          f"{results[name][1]:.6f}"], widths)
                if results["ingot"][0] > results["llama.cpp"][0] or results["ingot"][1] >= results["llama.cpp"][1]:
                    failed.append((os.path.basename(model), os.path.basename(text),
                                   f"perplexity and KLD {results['ingot']}, llama.cpp's own {results['llama.cpp']}"))
        except Failure as problem:
            failed.append((os.path.basename(model), "q4_k_m", str(problem)))
            show([os.path.basename(model), str(problem), "", "", "", "", ""], widths)
    return failed


def mini_texts(a):
    folder = os.path.join(a.mini, "text", "heldout")
    return [(os.path.join(folder, name), 8) for name in sorted(os.listdir(folder)) if name.endswith(".txt")]


def main():
    p = argparse.ArgumentParser(prog="scripts/test-engines", description=__doc__)
    p.add_argument("--ingot", required=True)
    p.add_argument("--only", action="append", default=[], metavar="PATTERN")
    p.add_argument("--skip-tables", action="append", default=[], choices=["ours", "theirs", "perplexity"])
    p.add_argument("--mini", metavar="FOLDER")
    p.add_argument("--work", metavar="FOLDER")
    p.add_argument("--greedy", type=int, default=20)
    p.add_argument("--prompt", type=int, default=64)
    p.add_argument("--context", type=int, default=512)
    a = p.parse_args()
    a.model = os.path.realpath(os.path.join(TEXTS, "m2-nano"))
    a.texts = [(os.path.realpath(os.path.join(TEXTS, name)), count) for name, count in (
        ("m2-nano/text/heldout-agentic.txt", 4), ("text/prose.txt", 2), ("text/code.txt", 2))]
    begin = time.monotonic()
    session = Session(a)

    def wanted(rows, name):
        for row in rows:
            label = " ".join(name(row))
            if not a.only or any(fnmatch.fnmatch(label, pattern) for pattern in a.only):
                yield row

    failed = []
    if "ours" not in a.skip_tables:
        failed += ours(session, wanted)
    if "theirs" not in a.skip_tables:
        failed += theirs(session, wanted)
    if "perplexity" not in a.skip_tables:
        failed += perplexities(session)
    print(f"\n{time.monotonic() - begin:.0f} s")
    for row in failed:
        print(f"FAILED {' '.join(row[:-1])}: {row[-1]}")
    if not a.work:
        shutil.rmtree(session.work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
