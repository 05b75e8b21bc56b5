"""Running ingot and the engines' runners for the table, and judging what they give."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

from ingot_tools.engines import compare

HERE = os.path.dirname(os.path.abspath(__file__))


class Failure(Exception):
    """What stops a row, in a line."""


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


class Session:
    """What all rows share. a: the arguments of table.py."""

    def __init__(self, a):
        self.a = a
        self.begin = time.monotonic()
        self.work = a.work or tempfile.mkdtemp(prefix="ingot-engines-")
        os.makedirs(self.work, exist_ok=True)
        self.ids = self.contexts(a.model, a.texts, a.context)

    def apart(self, name):
        """The same with a folder of its own, for rows that are made beside others."""
        other = copy.copy(self)
        other.work = self.path(name)
        os.makedirs(other.work, exist_ok=True)
        return other

    def path(self, name):
        return os.path.join(self.work, name)

    def fresh(self, name):
        """A path at which nothing stands."""
        remove(self.path(name))
        return self.path(name)

    def write(self, name, value):
        with open(self.path(name), "w") as f:
            json.dump(value, f)
        return self.path(name)

    def say(self, text):
        """Progress, on standard error."""
        print(f"{time.monotonic() - self.begin:5.0f} s  {text}", file=sys.stderr, flush=True)

    def ingot(self, *arguments):
        command = [self.a.ingot, *arguments]
        outcome = subprocess.run(command, capture_output=True, text=True)
        if outcome.returncode:
            lines = (outcome.stderr.strip() or outcome.stdout.strip()).splitlines()
            errors = [line for line in lines if line.startswith("error")] or lines[-1:]
            raise Failure(f"ingot {arguments[0]} exits {outcome.returncode}: {' '.join(errors)[:300]}")
        return outcome.stdout

    def batch(self, script, jobs, *arguments):
        """Answers of one of our scripts to jobs; `arguments` come after the file of jobs."""
        file = self.write("jobs.json", jobs)
        at = 1 if script == "foreign.py" else 0
        words = [*arguments[:at], file, *arguments[at:]]
        # Models come from folders only: nothing is to be asked of a network. One thread: two engines run at a time,
        # and threads that wait for one another by spinning take more time than they save.
        settings = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
                    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        answers = []
        with open(self.path("log.txt"), "a+") as log:
            start = log.tell()
            command = [sys.executable, os.path.join(HERE, script), *map(str, words)]
            with subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | settings) as process:
                for line in process.stdout or ():
                    answers.append(json.loads(line))
                    self.say(f"{script} {len(answers)} of {len(jobs)}")
            log.seek(start)
            last = (log.read().strip().splitlines() or ["nothing said"])[-1][:300]
        ended = {"error": f"{script} ends with {process.returncode}: {last}"}
        return answers + [ended] * (len(jobs) - len(answers))

    def contexts(self, model, texts, length):
        """Contexts of token ids: at most `count` of each text."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
        out = []
        for text, count in texts:
            with open(text, encoding="utf-8", newline="") as f:
                ids = tokenizer.encode(f.read(), add_special_tokens=False).ids
            if len(ids) < length:
                raise Failure(f"{text}: {len(ids)} tokens, {length} are needed")
            out += [ids[i * length:(i + 1) * length] for i in range(min(count, len(ids) // length))]
        return np.array(out)

    def reference(self, artifact, ids):
        """Logits of our own forward pass."""
        from safetensors.numpy import load_file

        tokens, out = self.write("reference.json", ids.tolist()), self.path("reference.safetensors")
        self.ingot("logits", artifact, "--tokens", tokens, "-o", out, "--force")
        return load_file(out)["logits"]

    def rounded(self, artifact, dtype):
        """The artifact's weights in one dense type; the artifact itself for no type."""
        if not dtype:
            return artifact
        out = self.fresh("rounded")
        self.ingot("convert", artifact, "--decode", dtype, "--format", "safetensors", "-o", out)
        return out

    def logits(self, engine, artifact, ids):
        """An engine's logits alone, of one artifact."""
        out = self.path("engine.npz")
        job = {"artifact": artifact, "ids": self.write("text.json", ids.tolist()), "output": out}
        answer = self.batch(engine.runner, [job], *engine.options)[0]
        if "error" in answer:
            raise Failure(answer["error"])
        return np.load(out)["logits"]

    def ids_for(self, engine):
        """The contexts that an engine runs."""
        return self.ids[:engine.short] if self.a.short and engine.short else self.ids

    def judged(self, engine, artifacts):
        """Each artifact run by an engine and by us: (ok, engine, precision, figures, its logits) or a Failure."""
        ids = self.write("ids.json", self.ids_for(engine).tolist())
        jobs = [{"artifact": artifact, "ids": ids, "output": self.path(f"engine-{i}.npz")}
                for i, artifact in enumerate(artifacts)]
        answers = self.batch(
            engine.runner, jobs, *engine.options, "--greedy", self.a.greedy, "--prompt", self.a.prompt)
        for job, answer in zip(jobs, answers):
            if "error" in answer:
                yield Failure(answer["error"])
                continue
            try:
                data = np.load(job["output"])
                yield self.agreement(engine, job["artifact"], data["logits"], data["generated"], answer)
            except Failure as problem:
                yield problem
            remove(job["output"])

    def agreement(self, engine, artifact, logits, generated, answer):
        ours = self.rounded(artifact, engine.rounds_to)
        ids = self.ids_for(engine)
        figures = compare.divergence(self.reference(ours, ids), logits)
        whole = np.concatenate([ids[:, :self.a.prompt], generated], 1)
        equal, margin = compare.greedy(generated, self.reference(ours, whole), self.a.prompt)
        ok = (figures["kld"] <= engine.kld and figures["sameTop"] >= engine.same_top
              and (equal == self.a.greedy or margin <= engine.tie))
        tokens = str(equal) if equal == self.a.greedy else f"{equal}, margin {margin:.1g}"
        return ok, answer["engine"], answer["precision"], [
            f"{figures['kld']:.1e}", f"{100 * figures['sameTop']:.2f} %", tokens], logits
