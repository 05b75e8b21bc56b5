#!/usr/bin/env python3
"""Does mlx-lm load an MLX folder, and compute what a reference computes of the same weights?

    ingot convert DIR --format safetensors --decode f32 -o DENSE
    scripts/tools engines-check-mlx DIR --dense DENSE --text FILE

or, where torch and mlx are not in one environment, in two steps:

    scripts/tools reference-oracle DENSE --text FILE --context 256 --chunks 4 --logits REFERENCE.npz
    scripts/tools engines-check-mlx DIR --logits REFERENCE.npz

DIR is loaded by mlx_lm.load_model, as a user's would be, strictly: every tensor must be met. It runs
in F32: scales, biases and norms are widened, which is exact, and so is what comes out of the embedding.
--dense runs scripts/tools reference-oracle (transformers, F32) and compares 20 greedy tokens too; a
divergence is a fault unless the reference's two best logits there are nearer than --tie.
With --dtype the model runs in that type instead, as users run it: then judge by other tolerances.

Prints one JSON object. Exit code 0: within tolerance, 1: did not load, 2: outside tolerance, 77: mlx or
what the reference needs is not installed.
"""

import argparse
import json
import os
import sys

import numpy as np

from ingot_tools import REPOSITORY

FIXTURE_TEXT = os.path.join(REPOSITORY, "Tests", "Fixtures", "text", "prose.txt")


def load(folder, dtype):
    """The model in `dtype`, its embedding's values too: micro-scaled ones come out in BF16, exactly."""
    from pathlib import Path

    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.utils import load_model

    class Widened(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __call__(self, ids):
            return self.inner(ids).astype(dtype)

    mx.set_default_device(mx.cpu)
    model, config = load_model(Path(folder), strict=True)
    model.set_dtype(dtype)
    # Router and correction bias decide over experts: never narrower than they are stored.
    # Of a model with others around it, the text model.
    text = getattr(model, "language_model", model).model
    for layer in text.layers:
        moe = getattr(layer, "block_sparse_moe", None) or getattr(layer, "mlp", None)
        if hasattr(moe, "e_score_correction_bias"):
            moe.e_score_correction_bias = moe.e_score_correction_bias.astype(mx.float32)  # type: ignore[union-attr]
        if isinstance(getattr(moe, "gate", None), nn.Linear):
            moe.gate.weight = moe.gate.weight.astype(mx.float32)  # type: ignore[union-attr]
    embedding = Widened(text.embed_tokens)
    # A tied head is the embedding, asked as one.
    embedding.as_linear = text.embed_tokens.as_linear
    text.embed_tokens = embedding
    return model, config


def logits_of(model, ids):
    """(contexts, tokens) ids to (contexts, tokens, vocabulary) logits in F32."""
    import mlx.core as mx

    out = []
    for context in ids:
        result = model(mx.array(np.asarray(context)[None])).astype(mx.float32)
        out.append(np.array(result)[0])
    return np.stack(out)


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def compare(reference, candidate):
    """Figures over all positions; KL(reference ‖ candidate) in nats."""
    p, q = log_softmax(reference), log_softmax(candidate)
    kl = (np.exp(p) * (p - q)).sum(-1)
    return {
        "logits": {"largestDifference": float(np.abs(reference - candidate).max()),
                   "largest": float(np.abs(reference).max())},
        "klDivergence": {"mean": float(kl.mean()), "maximum": float(kl.max())},
        "sameTop": float((reference.argmax(-1) == candidate.argmax(-1)).mean()),
    }


def greedy(run, prompt, count):
    """The next `count` tokens by `run` (ids → logits of every position), and the logits each was picked from."""
    ids, rows = list(prompt), []
    for _ in range(count):
        rows.append(run(np.array([ids]))[0, -1])
        ids.append(int(rows[-1].argmax()))
    return ids[len(prompt):], rows


def compare_greedy(reference, candidate, prompt, count, tie):
    wanted, rows = greedy(reference, prompt, count)
    got, _ = greedy(candidate, prompt, count)
    first = next((i for i in range(count) if wanted[i] != got[i]), None)
    result = {"tokens": count, "equal": count if first is None else first, "explained": True}
    if first is not None:
        row = np.sort(rows[first])
        result["margin"] = float(row[-1] - row[-2])
        result["explained"] = result["margin"] < tie
    return result


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", metavar="DIR")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--dense", metavar="DENSE", help="the same weights as dense SafeTensors")
    source.add_argument("--logits", metavar="REFERENCE.npz", help="ids and logits by oracle.py")
    p.add_argument("--text", default=FIXTURE_TEXT, metavar="FILE")
    p.add_argument("--context", type=int, default=256)
    p.add_argument("--chunks", type=int, default=4)
    p.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    p.add_argument("--kl", type=float, default=1e-4, help="largest mean KL divergence, nats")
    p.add_argument("--top", type=float, default=0.995, help="smallest share of equal top tokens")
    p.add_argument("--tie", type=float, default=1e-3, help="margin of logits that counts as a tie")
    p.add_argument("--greedy", type=int, default=20, metavar="N", help="tokens to generate, with --dense")
    a = p.parse_args()
    try:
        from importlib.metadata import version

        import mlx  # noqa: F401
        import mlx.core as mx
        import mlx_lm  # noqa: F401
        if a.dense:
            import torch

            from ingot_tools.reference import oracle
    except ImportError as error:
        print(f"check_mlx: skipped, {error}", file=sys.stderr)
        return 77

    try:
        model, config = load(a.dir, getattr(mx, a.dtype))
    except (OSError, ValueError, KeyError, TypeError, FileNotFoundError) as error:
        print(json.dumps({"ok": False, "problem": f"{type(error).__name__}: {error}"}, indent=2))
        return 1
    generated = None
    if a.dense:
        torch.set_num_threads(2)
        original = oracle.load(a.dense)
        ids = oracle.token_chunks(a.dense, a.text, a.context, a.chunks)
        reference = oracle.logits_of(original, ids).numpy()
        ids = ids.numpy()
        generated = compare_greedy(
            lambda x: oracle.logits_of(original, torch.tensor(x)).numpy(),
            lambda x: logits_of(model, x), list(ids[0][:32]), a.greedy, a.tie)
    else:
        stored = np.load(a.logits)
        ids, reference = stored["ids"], stored["logits"]
    result = compare(reference, logits_of(model, ids))
    ok = result["klDivergence"]["mean"] <= a.kl and result["sameTop"] >= a.top
    if generated:
        ok = ok and generated["explained"]
        result["greedy"] = generated
    print(json.dumps({
        "ok": bool(ok), "mlx": version("mlx"), "mlx-lm": version("mlx-lm"), "dtype": a.dtype,
        "quantization": {k: v for k, v in config.get("quantization", {}).items() if not isinstance(v, dict)},
        "tokens": int(ids.size), **result}, indent=2))
    return 0 if ok else 2


if __name__ == "__main__":
    sys.exit(main())
