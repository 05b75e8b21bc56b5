#!/usr/bin/env python3
"""mlx-lm on an MLX folder, in F32. See protocol.py, and check_mlx.py for how it is loaded."""

import sys

import numpy as np

from ingot_tools.engines import check_mlx, protocol


def generate(model, prompts, count):
    """Greedy tokens with mlx-lm's own cache."""
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    tokens, ids = [], mx.array(np.asarray(prompts))
    for _ in range(count):
        chosen = mx.argmax(model(ids, cache=cache)[:, -1], axis=-1)
        tokens.append(np.array(chosen))
        ids = chosen[:, None]
    return np.stack(tokens, 1)


def open_artifact(path, context):
    import mlx.core as mx

    model, _ = check_mlx.load(path, mx.float32)
    return protocol.Opened(
        protocol.versions("mlx", "mlx-lm"), "F32",
        lambda ids: check_mlx.logits_of(model, [ids])[0], lambda prompts, count: generate(model, prompts, count))


def main():
    protocol.run(protocol.parser(__doc__).parse_args(), open_artifact)


if __name__ == "__main__":
    sys.exit(main())
