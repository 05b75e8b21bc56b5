"""What every engine's runner is given and gives back, so that one program can hold them all against Ingot.

A runner is a program of its own, in a process of its own for each artifact:

    run_X.py ARTIFACT --ids IDS.json [--greedy N] [--prompt M] [options of its own] -o OUT.npz

IDS.json holds contexts of token ids, all of one length. OUT.npz holds logits F32 (contexts, tokens,
vocabulary), and with --greedy also generated I64 (contexts, N): the tokens that the engine itself generates
after the first M tokens of each context, one at a time as a user would have it. On standard output stands
one JSON object: {"engine": name and version, "precision": in what it computed}.
"""

import argparse
import json
import sys
from importlib.metadata import version

import numpy as np


def parser(description):
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("artifact", metavar="ARTIFACT")
    p.add_argument("--ids", required=True, metavar="IDS.json")
    p.add_argument("--greedy", type=int, default=0, metavar="N", help="tokens to generate")
    p.add_argument("--prompt", type=int, default=64, metavar="M", help="tokens before them")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("-o", "--output", required=True, metavar="OUT.npz")
    return p


def read_ids(path):
    with open(path) as f:
        return np.array(json.load(f), dtype=np.int64)


def versions(*names):
    return ", ".join(f"{name} {version(name)}" for name in names)


def run(arguments, engine, precision, logits_of, step):
    """Runs an engine.

    logits_of: ids (tokens) → (tokens, vocabulary) of one context.
    step: prompt (tokens), count → the tokens generated.
    """
    ids = read_ids(arguments.ids)
    out = {"logits": np.stack([np.asarray(logits_of(context), np.float32) for context in ids])}
    if arguments.greedy:
        prompts = ids[:, :arguments.prompt]
        out["generated"] = np.array([step(p, arguments.greedy) for p in prompts], np.int64)
    np.savez(arguments.output, **out)
    # Engines print much on standard output while they load: the object is its last line.
    sys.stdout.flush()
    print("\n" + json.dumps({"engine": engine, "precision": precision}))
