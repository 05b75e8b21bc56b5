"""Running the command on variants, and judging what it says."""

import json
import os
import re
import subprocess
import threading

import numpy as np

from . import numbers, schemes
from .checkpoint import Checkpoint, read_file

TIMEOUT = 60
# Of the largest logit.
TOLERANCE = 1e-5


class Rig:
    """The command, and a folder to work in."""

    def __init__(self, ingot, work):
        self.ingot, self.work = ingot, work
        self.references, self.lock = {}, threading.Lock()

    def run(self, *arguments, environment=None):
        try:
            return subprocess.run([self.ingot, *arguments, "--threads", "1"], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, errors="replace", timeout=TIMEOUT, env=os.environ | (environment or {}))
        except subprocess.TimeoutExpired:
            return None

    def logits(self, base, given, output, environment=None):
        """(logits, None), or (None, what is wrong)."""
        ids = os.path.join(self.work, f"ids-{base.name}.json")
        if not os.path.exists(ids):
            drawn = np.random.default_rng(1).integers(0, base.vocabulary, (2, 9)).tolist()
            with open(ids + str(threading.get_ident()), "w") as f:
                json.dump(drawn, f)
            os.rename(f.name, ids)
        outcome = self.run("logits", given, "--tokens", ids, "-o", output, environment=environment)
        problem = ended(outcome, 0)
        return (None, f"logits: {problem}") if problem else (numbers.decoded(read_file(output)["logits"]), None)

    def reference(self, base, scheme):
        """Logits of the base's values, or of a scheme's, as one file of F32."""
        key = base.name, scheme.name if scheme else ""
        with self.lock:
            if key not in self.references:
                values = dict(base.values)
                if scheme:
                    values |= {name: values for name, (_, values) in schemes.quantized(base, scheme).items()}
                stored = {name: numbers.encoded(tensor, "F32") for name, tensor in values.items()}
                place = os.path.join(self.work, f"reference-{len(self.references)}")
                given = Checkpoint(base.config, stored, {}).plain().write(place)
                logits, problem = self.logits(base, given, place + ".safetensors")
                if problem:
                    raise SystemExit(f"the reference of {base.name} {key[1]}: {problem}")
                self.references[key] = logits
            return self.references[key]

    def accepted(self, base, scheme, given, environment, place):
        """What is wrong with how a valid variant is read; None when nothing is."""
        logits, problem = self.logits(base, given, os.path.join(place, "logits.safetensors"), environment)
        if problem:
            return problem
        reference = self.reference(base, scheme)
        error = np.abs(logits - reference).max() / np.abs(reference).max()
        if not error <= TOLERANCE:
            return f"logits differ by {error:.3g} of the largest"
        problem = ended(self.run("check", given, environment=environment), 0)
        return problem and f"check: {problem}"

    def refused(self, given, expected, commands, rng):
        """What is wrong with how an invalid one is refused; None when nothing is."""
        before = listing(os.path.dirname(given))
        output = os.path.join(os.path.dirname(given), "output")
        ids = os.path.join(self.work, "one.json")
        if not os.path.exists(ids):
            with open(ids, "w") as f:
                f.write("[[1, 2, 3]]")
        run = {"check": ["check", given], "logits": ["logits", given, "--tokens", ids, "-o", output],
               "convert": ["convert", given, "--decode", "bf16", "--format", "safetensors", "-o", output]}
        name = rng.choice(commands)
        outcome = self.run(*run[name])
        problem = ended(outcome, 1)
        if problem:
            return f"{name}: {problem}"
        said = outcome.stderr + outcome.stdout
        for pattern in expected:
            if not re.search(pattern, said):
                return f"{name}: does not say /{pattern}/: {said.strip()[:600]}"
        if listing(os.path.dirname(given)) != before:
            return f"{name}: wrote {sorted(listing(os.path.dirname(given)) - before)}"
        return None


def ended(outcome, wanted):
    """What is wrong with how a command ended."""
    if outcome is None:
        return f"no end after {TIMEOUT} seconds"
    said = (outcome.stderr + outcome.stdout).strip()[:600]
    if outcome.returncode != wanted:
        return f"exit code {outcome.returncode}: {said}"
    if "Fatal error" in said:
        return said
    return None


def listing(folder):
    return {(os.path.join(path, name), os.lstat(os.path.join(path, name)).st_size)
            for path, _, names in os.walk(folder) for name in names}
