#!/usr/bin/env python3
"""mlx-lm on an MLX folder, in F32. See protocol.py, and check_mlx.py for how it is loaded."""

import sys

import numpy as np

import check_mlx
import protocol


def generate(model, prompt, count):
    """Greedy tokens with mlx-lm's own cache."""
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    tokens, ids = [], mx.array(np.asarray(prompt)[None])
    for _ in range(count):
        row = model(ids, cache=cache)[0, -1]
        tokens.append(int(mx.argmax(row).item()))
        ids = mx.array([[tokens[-1]]])
    return tokens


def main():
    p = protocol.parser(__doc__)
    a = p.parse_args()
    import mlx.core as mx

    model, _ = check_mlx.load(a.artifact, mx.float32)
    protocol.run(
        a, protocol.versions("mlx", "mlx-lm"), "F32",
        lambda ids: check_mlx.logits_of(model, [ids])[0], lambda prompt, count: generate(model, prompt, count))


if __name__ == "__main__":
    sys.exit(main())
