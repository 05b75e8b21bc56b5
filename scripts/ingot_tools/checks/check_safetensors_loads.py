#!/usr/bin/env python3
"""Does transformers load a dense checkpoint of ours, and compute what the original computes?

    ingot convert MODEL --format safetensors --decode bf16 -o DIR
    scripts/tools check-safetensors-loads DIR --against MODEL [--text FILE]

DIR is loaded by MiniMaxM2ForCausalLM.from_pretrained, as a user would: every key must be met, and
router, bias and all the rest must arrive in F32. MODEL is read by scripts/tools reference-oracle. Both
run the same tokens. Printed is one JSON object; exit code 0: within tolerance, 1: did not load,
2: outside tolerance, 77: transformers is not installed.

What DIR must be like, found by trial with transformers 5.23:
- the release's names (block_sparse_moe.experts.E.w1…) are taken, as one file or as shards with an
  index; transformers stacks the experts itself;
- config.json must not have quantization_config: with it transformers takes the weights for FP8;
- auto_map may stay (it is not followed without trust_remote_code), rotary_dim is understood;
- dtype=torch.float32 must be asked for. Without it a BF16 checkpoint is loaded and run in BF16, its
  router and bias rounded too, although the file has them in F32: over 128 tokens of m2-nano's
  transcripts logits then differ by up to 0.82, against 0.03 for the BF16 weights run in F32.
BF16 rounds (scale times code is no BF16 number), and where that tips a router, one position moves far:
judge --decode bf16 by the mean divergence, and --decode f32 by --logits 1e-4.
"""

import argparse
import json
import math
import os
import sys

from ingot_tools import REPOSITORY

FIXTURE_TEXT = os.path.join(REPOSITORY, "Tests", "Fixtures", "text", "prose.txt")


def fail(message):
    print(json.dumps({"ok": False, "problem": message}, indent=2))
    sys.exit(1)


def load_as_user(folder):
    import torch
    from transformers import MiniMaxM2ForCausalLM

    with open(os.path.join(folder, "config.json")) as f:
        if "quantization_config" in json.load(f):
            fail("config.json has a quantization_config: this is no dense checkpoint")
    model, info = MiniMaxM2ForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, local_files_only=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(kind):
            fail(f"{kind}: {sorted(map(str, info[kind]))[:5]}")
    narrow = [n for n, t in model.state_dict().items() if t.is_floating_point()
              and t.dtype != torch.float32]
    if narrow:
        fail(f"not F32 after loading: {narrow[:5]}")
    return model.eval()


def compare(a, b):
    """Figures over all positions of two (contexts, tokens, vocabulary) logits; KL(a ‖ b) in nats."""
    p, q = a.double().log_softmax(-1), b.double().log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    return {
        "logits": {"largestDifference": (a - b).abs().max().item(), "largest": a.abs().max().item()},
        "klDivergence": {"mean": kl.mean().item(), "maximum": kl.max().item()},
        "sameTop": (a.argmax(-1) == b.argmax(-1)).double().mean().item(),
    }


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--against", required=True, metavar="MODEL")
    p.add_argument("--text", default=FIXTURE_TEXT, metavar="FILE")
    p.add_argument("--context", type=int, default=256)
    p.add_argument("--chunks", type=int, default=4)
    p.add_argument("--kl", type=float, default=1e-3, help="largest mean KL divergence, nats")
    p.add_argument("--logits", type=float, default=math.inf,
                   help="largest difference of logits (1e-4 does for --decode f32)")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    try:
        import torch
        import transformers

        from ingot_tools.reference import oracle
    except ImportError as error:
        print(f"check-safetensors-loads: skipped, {error}", file=sys.stderr)
        return 77
    torch.set_num_threads(a.threads)

    try:
        candidate = load_as_user(a.dir)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        fail(f"{type(error).__name__}: {error}")
    original = oracle.load(a.against)
    ids = oracle.token_chunks(a.against, a.text, a.context, a.chunks)
    expected, found = oracle.logits_of(original, ids), oracle.logits_of(candidate, ids)
    result = compare(expected, found)
    perplexity = [math.exp(oracle.score(x, ids)[1]) for x in (expected, found)]
    ok = (result["klDivergence"]["mean"] <= a.kl
          and result["logits"]["largestDifference"] <= a.logits)
    print(json.dumps({
        "ok": ok, "transformers": transformers.__version__, "tokens": ids.numel(),
        "perplexity": {"original": perplexity[0], "candidate": perplexity[1]}, **result}, indent=2))
    return 0 if ok else 2


if __name__ == "__main__":
    sys.exit(main())
