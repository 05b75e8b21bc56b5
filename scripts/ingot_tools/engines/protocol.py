"""What every engine's runner is given and gives back, so that one program can hold them all against Ingot.

A runner is a program of its own, in a process of its own for all artifacts of one engine:

    run_X.py JOBS.json [--greedy N] [--prompt M] [options of its own]

JOBS.json is a list of {"artifact": path, "ids": IDS.json, "output": OUT.npz}. IDS.json holds contexts of token
ids, all of one length. OUT.npz holds logits F32 (contexts, tokens, vocabulary), and with --greedy also generated
I64 (contexts, N): the tokens that the engine itself generates after the first M tokens of each context, one at a
time as a user would have it. Standard output has one line of JSON for each job, in order:
{"engine": name and version, "precision": in what it computed}, or {"error": why the artifact does not run}.
"""

import argparse
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np


@dataclass
class Opened:
    """An artifact that an engine has loaded."""
    engine: str
    precision: str
    # ids (tokens) → logits (tokens, vocabulary) of one context.
    logits_of: Callable
    # prompts (contexts, tokens), count → the tokens generated (contexts, count).
    generate: Callable
    close: Callable = lambda: None


def parser(description):
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("jobs", metavar="JOBS.json")
    p.add_argument("--greedy", type=int, default=0, metavar="N", help="tokens to generate")
    p.add_argument("--prompt", type=int, default=64, metavar="M", help="tokens before them")
    p.add_argument("--threads", type=int, default=1)
    return p


def read_ids(path):
    with open(path) as f:
        return np.array(json.load(f), dtype=np.int64)


def versions(*names):
    return ", ".join(f"{name} {version(name)}" for name in names)


def answers(jobs, work):
    """Does jobs one after another; prints for each what `work` gives, or why it fails."""
    # Engines print much on standard output: only our lines are to stand there.
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for job in jobs:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = work(job)
        except (Exception, SystemExit) as problem:
            traceback.print_exc()
            answer = {"error": f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300]}
        print(json.dumps(answer), file=out, flush=True)


def run(arguments, open_artifact):
    """Runs an engine. open_artifact: path, length of the longest context → Opened."""
    with open(arguments.jobs) as f:
        answers(json.load(f), lambda job: run_one(job, open_artifact, arguments.greedy, arguments.prompt))


def run_one(job, open_artifact, greedy=0, prompt=0):
    """Runs an engine on one artifact; returns what is to be said of it."""
    ids = read_ids(job["ids"])
    opened = open_artifact(job["artifact"], max(ids.shape[1], prompt + greedy))
    try:
        out = {"logits": np.stack([np.asarray(opened.logits_of(context), np.float32) for context in ids])}
        if greedy:
            out["generated"] = np.asarray(opened.generate(ids[:, :prompt], greedy), np.int64)
        np.savez(job["output"], **out)
    finally:
        opened.close()
    return {"engine": opened.engine, "precision": opened.precision}
