#!/usr/bin/env python3
"""Artifacts of the embedded model in every container and encoding, loaded by the engines they are for.

Called by scripts/tools test-engines, which says what the options mean. For each row: Ingot makes an artifact (or
an engine's own tool does), the engine runs it on fixed text, and its logits are held against `ingot logits`
of the same artifact: KL divergence in nats, share of equal top tokens, and the tokens that the engine
generates greedily. Exit code 1 when any row fails.
"""

import argparse
import fnmatch
import json
import os
import platform
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ingot_tools import REPOSITORY
from ingot_tools.engines import compare, exact
from ingot_tools.engines import rows as table
from ingot_tools.engines.session import Failure, Session, remove

TEXTS = os.path.join(REPOSITORY, "Tests", "Fixtures")


class Report:
    """Lines of the report, and the rows that failed: of one part of it, or of all."""

    def __init__(self):
        self.lines, self.failed = [], []

    def say(self, text):
        self.lines.append(text)

    def take(self, part):
        """Appends a part, and prints it."""
        for line in part.lines:
            print(line, flush=True)
        self.lines += part.lines
        self.failed += part.failed


class Table:
    """Rows as Markdown, all columns as wide as their heads say or wider."""

    def __init__(self, report, *columns):
        self.report, self.columns = report, columns

    def heads(self):
        self.row(*[name for name, _ in self.columns])
        self.report.say("|" + "|".join("-" * (w + 2) for _, w in self.columns) + "|")

    def row(self, *cells):
        self.report.say("| " + " | ".join(str(c).ljust(w) for c, (_, w) in zip(cells, self.columns)) + " |")


def grouped(rows, key):
    """Neighbouring rows of one key, so that an engine starts once for them all."""
    groups = []
    for row in rows:
        if groups and key(groups[-1][0]) == key(row):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def our_artifact(session, row, number):
    artifact = session.fresh(f"ours-{number}" + (".gguf" if row.container == "gguf" else ""))
    recipe = session.path("recipe.yaml")
    if row.rules:
        with open(recipe, "w") as f:
            f.write(f"name: trial\nsummary: {row.encoding}\nrules:\n{row.rules}")
    files = {"RECIPE": recipe, "PLAN": plan(session, row) if row.plan else ""}
    arguments = [files.get(x, x) for x in row.arguments]
    session.ingot(row.verb, session.a.model, *arguments, "-o", artifact)
    return artifact


def plan(session, row):
    """A plan that leaves three experts out of every layer."""
    with open(os.path.join(session.a.model, "config.json")) as f:
        config = json.load(f)
    layers, experts = config["num_hidden_layers"], config["num_local_experts"]
    apart, usual = row.plan
    tensors = {"embedding": apart, "head": apart}
    for layer in range(layers):
        for part in ("query", "key", "value", "attention_output", "gate", "up", "down"):
            tensors[f"layers.{layer}.{part}"] = usual
    dropped = {f"layers.{layer}": ", ".join(str((layer + i) % experts) for i in (0, 2, 5)) for layer in range(layers)}
    return session.write("plan.json", {"plan": 1, "name": "fewer experts", "format": row.container, "dropped": dropped,
                                       "tensors": tensors})


OURS = (("container", 18), ("encoding", 12), ("engine", 46), ("computes in", 32), ("loads", 5), ("KLD", 7),
        ("same top", 8), ("greedy tokens", 14))


def ours_heads(session, report):
    """The head of the table of our artifacts."""
    report.say(f"\nArtifacts that ingot makes of {os.path.basename(session.a.model)}: "
               f"{session.ids.shape[0]} contexts of {session.ids.shape[1]} tokens\n")
    Table(report, *OURS).heads()


def ours(session, report, group):
    """The rows of one container in the table of our artifacts."""
    failed, cells, made = report.failed, {}, []
    lines = Table(report, *OURS)
    for number, row in enumerate(group):
        try:
            made.append((row, our_artifact(session, row, number)))
            session.say(f"made {row.container} {row.encoding}")
        except Failure as problem:
            failed.append((row.container, row.encoding, str(problem)))
            cells[row.encoding, 0] = ["ingot", "", "NO", "", "", str(problem)]
    for engine in dict.fromkeys(engine for row in group for engine in row.engines):
        chosen = [(row, artifact) for row, artifact in made if engine in row.engines]
        for (row, _), verdict in zip(chosen, session.judged(engine, [artifact for _, artifact in chosen])):
            place = row.encoding, row.engines.index(engine)
            if isinstance(verdict, Failure):
                failed.append((row.container, row.encoding, str(verdict)))
                cells[place] = [engine.runner, "", "NO", "", "", str(verdict)]
                continue
            ok, name, precision, figures, _ = verdict
            if not ok:
                failed.append((row.container, row.encoding, f"{name}, {precision}: {', '.join(figures)}"))
            cells[place] = [name, precision, "yes" if ok else "BAD", *figures]
    if group[0].container == "gguf":
        decoded(session, made, cells, failed)
    for row in group:
        for (_, place), line in sorted(item for item in cells.items() if item[0][0] == row.encoding):  # type: ignore[assignment]
            lines.row(row.container, row.encoding, *line)
    for _, artifact in made:
        remove(artifact)


def decoded(session, made, cells, failed):
    """Cells for the package gguf: every value that it decodes is ours."""
    jobs = []
    for number, (_, artifact) in enumerate(made):
        dense = session.fresh(f"dense-{number}")
        session.ingot("convert", artifact, "--decode", "f32", "--format", "safetensors", "-o", dense)
        jobs.append({"artifact": artifact, "dense": dense})
    for (row, _), job, about in zip(made, jobs, session.batch("run_gguf.py", jobs)):
        remove(job["dense"])
        wrong = [about["error"]] if "error" in about else about["differing"] + about["notInFile"]
        if wrong or not about["compared"]:
            failed.append((row.container, row.encoding, f"gguf: {len(wrong)} of its tensors differ, such as {wrong[:1]}"))
            cells[row.encoding, 9] = [about.get("engine", "gguf"), "decodes only", "BAD", "", "", f"{len(wrong)} differ"]
        else:
            cells[row.encoding, 9] = [about["engine"], "decodes only", "yes", "", "", "all bits equal"]


THEIRS = (("container", 18), ("made by", 18), ("encoding", 12), ("run by", 46), ("reads", 5), ("KLD", 7),
          ("same top", 8), ("greedy tokens", 14), ("verify", 8), ("engine's", 8))


def theirs_heads(session, report):
    """The head of the table of artifacts that other tools made."""
    report.say("\nArtifacts that other tools make of it, read by ingot: KLD and tokens as above; then the mean KLD from\n"
               "the original by ingot verify, and the same from the engine's logits\n")
    Table(report, *THEIRS).heads()


def theirs(session, report, group):
    """The rows of one maker in the table of artifacts that other tools made."""
    lines = Table(report, *THEIRS)
    dense, gguf = session.fresh("bf16"), session.fresh("bf16.gguf")
    for path, form in ((dense, "safetensors"), (gguf, "gguf")):
        session.ingot("convert", session.a.model, "--decode", "bf16", "--format", form, "-o", path)
    container, maker, engine = group[0][0], group[0][1], group[0][3]
    ids = session.ids_for(engine)
    text, count = session.a.texts[0][0], min(session.a.texts[0][1], len(ids))
    original = compare.scored(session.reference(session.a.model, ids))[:count]
    ending = ".gguf" if container == "gguf" else ""
    jobs = [{"setting": row[2], "output": session.fresh(f"theirs-{i}{ending}")} for i, row in enumerate(group)]
    answers = session.batch("foreign.py", jobs, maker, "--dense", dense, "--gguf", gguf)
    verdicts = session.judged(engine, [job["output"] for job in jobs])
    for row, job, answer, verdict in zip(group, jobs, answers, verdicts):
        name = row[:3]
        try:
            if "error" in answer:
                raise Failure(answer["error"])
            if isinstance(verdict, Failure):
                raise verdict
            ok, about, _, figures, logits = verdict
            # The same text by verify, and by the engine's logits against our logits of the original.
            verified = json.loads(session.ingot(
                "verify", job["output"], "--against", session.a.model, "--text", text, "--context",
                str(session.a.context), "--chunks", str(count), "--json"))["klDivergence"]["mean"]
            direct = compare.divergence(original, compare.scored(logits)[:count])["kld"]
            ok = ok and abs(verified - direct) <= max(1e-6, 0.02 * direct)
            if not ok:
                report.failed.append((*name, f"{', '.join(figures)}, verify {verified:.6g}, engine's {direct:.6g}"))
            lines.row(*name, about, "yes" if ok else "BAD", *figures, f"{verified:.5f}", f"{direct:.5f}")
        except Failure as problem:
            report.failed.append((*name, str(problem)))
            lines.row(*name, "", "NO", "", "", str(problem), "", "")
        remove(job["output"])


def same_bytes(session, report):
    """The table of tensors that other tools' quantizers make alike."""
    report.say("\nTensors that are the same bytes as another tool's, made of the same BF16 weights\n")
    lines = Table(report, ("model", 8), ("container", 9), ("encoding", 13), ("other tool", 14), ("same bytes", 10),
                  ("not compared", 30))
    lines.heads()
    exact.exact(session, [session.a.model] + ([session.a.mini] if session.a.mini else []), lines, report.failed)


def perplexities(session, report):
    """Our Q4_K_M against llama.cpp's own, by llama.cpp's logits."""
    failed, say = report.failed, report.say
    say("\nQ4_K_M by ingot and by llama-quantize without importance, logits by llama.cpp as users run it\n")
    models = [(session.a.model, [(text, 24) for text, _ in session.a.texts])] + ([(session.a.mini, mini_texts(session.a))] if session.a.mini else [])
    run = table.LLAMA[1]
    for model, texts in models:
        lines = Table(report, ("model", 10), ("text", 22), ("tokens", 10), ("BF16 PPL", 12), ("by", 10), ("PPL", 12),
                      ("KLD to BF16", 12))
        lines.heads()
        base, own, other = (session.fresh(f"{n}.gguf") for n in ("base", "own", "other"))
        try:
            session.ingot("convert", model, "--decode", "bf16", "--format", "gguf", "-o", base)
            session.ingot("quantize", model, "--recipe", "q4_k_m", "-o", own)
            job = {"setting": "Q4_K_M", "output": other}
            answer = session.batch("foreign.py", [job], "llama-quantize", "--dense", model, "--gguf", base)[0]
            if "error" in answer:
                raise Failure(answer["error"])
            ids = [session.contexts(model, [text], 512) for text in texts]
            whole = np.concatenate(ids)
            reference = session.logits(run, base, whole)
            candidates = {"ingot": session.logits(run, own, whole), "llama.cpp": session.logits(run, other, whole)}
            ends = np.cumsum([0, *map(len, ids)])
            parts = [(os.path.basename(text), slice(ends[i], ends[i + 1])) for i, (text, _) in enumerate(texts)]
            for text, part in [*parts, ("all", slice(None))]:
                results = {}
                for name, logits in candidates.items():
                    results[name] = (
                        compare.perplexity(logits[part], whole[part]),
                        compare.divergence(compare.scored(reference[part]), compare.scored(logits[part]))["kld"])
                    lines.row(os.path.basename(model), text, whole[part].size,
                              f"{compare.perplexity(reference[part], whole[part]):.5f}", name,
                              f"{results[name][0]:.5f}", f"{results[name][1]:.6f}")
            ours_logits, theirs_logits = candidates.values()
            value, error = compare.ratio(ours_logits, theirs_logits, whole)
            say(f"\n{os.path.basename(model)}: perplexity ingot / llama.cpp {value:.4f} ± {error:.4f}, KLD "
                f"{results['ingot'][1] / results['llama.cpp'][1]:.3f}\n")
            if value > 1 or results["ingot"][1] >= results["llama.cpp"][1]:
                failed.append((os.path.basename(model), "q4_k_m", "worse than llama.cpp's own"))
        except Failure as problem:
            failed.append((os.path.basename(model), "q4_k_m", str(problem)))
            lines.row(os.path.basename(model), str(problem), "", "", "", "", "")


def mini_texts(a):
    folder = os.path.join(a.mini, "text", "heldout")
    return [(os.path.join(folder, name), 8) for name in sorted(os.listdir(folder)) if name.endswith(".txt")]


def main():
    p = argparse.ArgumentParser(prog="scripts/tools test-engines", description=__doc__)
    p.add_argument("--ingot", required=True)
    p.add_argument("--only", action="append", default=[], metavar="PATTERN")
    p.add_argument("--skip-tables", action="append", default=[], choices=["ours", "theirs", "exact", "perplexity"])
    p.add_argument("--mini", metavar="FOLDER")
    p.add_argument("--work", metavar="FOLDER")
    p.add_argument("--write", action="store_true")
    p.add_argument("--short", action="store_true")
    p.add_argument("--greedy", type=int, default=20)
    p.add_argument("--prompt", type=int, default=64)
    p.add_argument("--context", type=int, default=256)
    a = p.parse_args()
    if a.write and (a.only or a.skip_tables or a.short):
        p.error("--write takes whole tables: not with --only, --skip-tables or --short")
    a.model = os.path.realpath(os.path.join(TEXTS, "m2-nano"))
    a.texts = [(os.path.realpath(os.path.join(TEXTS, name)), count) for name, count in (
        ("m2-nano/text/heldout-agentic.txt", 4), ("text/prose.txt", 2), ("text/code.txt", 2))]
    session = Session(a)

    def wanted(rows, name):
        return [row for row in rows
                if not a.only or any(fnmatch.fnmatch(" ".join(name(row)), pattern) for pattern in a.only)]

    # What writes each part of the report, and its arguments.
    parts = []
    if "ours" not in a.skip_tables:
        parts.append((ours_heads,))
        parts += [(ours, group) for group in grouped(  # type: ignore[misc]
            wanted(table.ROWS, lambda row: (row.container, row.encoding)), lambda row: row.container)]
    if "theirs" not in a.skip_tables and (chosen := wanted(table.FOREIGN, lambda row: (row[0], row[2]))):
        parts.append((theirs_heads,))
        parts += [(theirs, group) for group in grouped(chosen, lambda row: row[1])]  # type: ignore[misc]
    if "exact" not in a.skip_tables:
        parts.append((same_bytes,))
    if "perplexity" not in a.skip_tables:
        parts.append((perplexities,))

    def make(number):
        part = Report()
        write, *arguments = parts[number]
        write(session.apart(f"part-{number}"), part, *arguments)
        return part

    whole = Report()
    # Engines run mostly on one core: two of them at a time.
    with ThreadPoolExecutor(2) as pool:
        for part in pool.map(make, range(len(parts))):
            whole.take(part)
    end = Report()
    end.say(f"\n{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
            f"{time.monotonic() - session.begin:.0f} s")
    whole.take(end)
    for row in whole.failed:
        print(f"FAILED {' '.join(row[:-1])}: {row[-1]}")
    if not a.work:
        shutil.rmtree(session.work)
    if a.write and not whole.failed:
        record(os.path.join(REPOSITORY, "docs/results/engines.md"), whole.lines)
    return 1 if whole.failed else 0


def record(path, printed):
    """Puts what was printed between the marks of a page."""
    with open(path) as f:
        text = f.read()
    begin, end = "<!-- engines -->\n", "<!-- /engines -->"
    before, _, rest = text.partition(begin)
    after = rest[rest.index(end):]
    # Without the padding that lines columns up in a terminal.
    lines = [re.sub("-{3,}", "---", " ".join(line.split())) if line.startswith("|") else line
             for line in printed]
    with open(path, "w") as f:
        f.write(before + begin + "\n".join(lines).strip("\n") + "\n" + after)


if __name__ == "__main__":
    sys.exit(main())
