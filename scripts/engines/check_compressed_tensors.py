#!/usr/bin/env python3
"""Does transformers load our compressed-tensors artifact, and compute what Ingot says it computes?

    ingot quantize MODEL --recipe w4a16 -o DIR
    ingot convert DIR --decode f32 --format safetensors -o DENSE
    scripts/engines/check_compressed_tensors.py DIR --dense DENSE [--text FILE]

DIR is loaded by MiniMaxM2ForCausalLM.from_pretrained through the compressed-tensors library, as a user
would. Held against DENSE, Ingot's own reading of DIR in F32:

- weights: every weight that the engine ends with is the BF16 rounding of ours (products of MXFP4 and NVFP4
  are BF16 numbers already), bit for bit;
- logits: of the engine's model carried on in F32, against oracle.py on the same BF16 weights
  (KL divergence and same top token, which must hold), and on DENSE itself (what BF16 costs, for information).

What transformers 5.23 does that has to be undone first: router and e_score_correction_bias are cast to
BF16 when they are loaded. They are put back as the files have them.

Prints one JSON object. Exit code 0: agrees, 1: did not load or weights differ, 2: logits outside
tolerance, 77: torch, transformers or compressed-tensors is not installed.
"""

import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "reference"))
FIXTURE_TEXT = os.path.join(HERE, "..", "..", "Tests", "Fixtures", "text", "prose.txt")


def fail(message):
    print(json.dumps({"ok": False, "problem": message}, indent=2))
    sys.exit(1)


def load_as_user(folder):
    import torch
    from transformers import MiniMaxM2ForCausalLM

    model, info = MiniMaxM2ForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, output_loading_info=True, local_files_only=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(kind):
            fail(f"{kind}: {sorted(map(str, info[kind]))[:5]}")
    model.eval()
    with torch.no_grad():
        # The library unpacks dense modules before the first forward pass.
        model(torch.zeros((1, 2), dtype=torch.long))
    return model


def exact_parts(model, dense):
    """Router and bias as the files have them."""
    for layer, original in zip(model.model.layers, dense.model.layers):
        layer.mlp.gate.weight.data = original.mlp.gate.weight.data.clone()
        found = [t for n, t in [*layer.named_buffers(), *layer.named_parameters()]
                 if n.endswith("e_score_correction_bias")]
        wanted = [t for n, t in [*original.named_buffers(), *original.named_parameters()]
                  if n.endswith("e_score_correction_bias")]
        if len(found) != 1 or len(wanted) != 1:
            fail("e_score_correction_bias: not found in the model")
        found[0].data = wanted[0].data.clone()


def compare_weights(model, dense):
    """Linear weights that are not the BF16 rounding of ours, and how many of ours are BF16 numbers."""
    import torch

    ours = dict(dense.named_parameters())
    differing, checked, exact, total = [], 0, 0, 0
    for name, parameter in model.named_parameters():
        if name.endswith(("weight_scale", "weight_packed", "weight_shape", "weight_global_scale")):
            continue
        wanted = ours[name].data
        rounded = wanted.to(torch.bfloat16)
        checked += 1
        exact += int((rounded.float() == wanted).sum())
        total += wanted.numel()
        if not torch.equal(parameter.data.to(torch.bfloat16), rounded):
            ratio = (parameter.data.float().abs().max() / wanted.abs().max()).item()
            differing.append(f"{name} (largest {ratio:.6g} times ours)")
    if checked < len(ours):
        fail(f"{checked} of {len(ours)} weights in the engine's model")
    return differing, checked, exact / total


def compare_logits(a, b):
    """KL(a ‖ b) in nats, and how often the top token is the same."""
    p, q = a.double().log_softmax(-1), b.double().log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    return {"klDivergence": {"mean": kl.mean().item(), "maximum": kl.max().item()},
            "sameTop": (a.argmax(-1) == b.argmax(-1)).double().mean().item(),
            "largestDifference": (a - b).abs().max().item()}


def greedy(model, ids, count):
    import torch

    tokens = ids[None]
    with torch.no_grad():
        for _ in range(count):
            step = model(tokens).logits[0, -1].argmax()
            tokens = torch.cat([tokens, step.view(1, 1)], 1)
    return tokens[0, -count:].tolist()


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--dense", required=True, metavar="DENSE")
    p.add_argument("--text", default=FIXTURE_TEXT, metavar="FILE")
    p.add_argument("--context", type=int, default=256)
    p.add_argument("--chunks", type=int, default=4)
    p.add_argument("--greedy", type=int, default=20, help="tokens to generate from the first context")
    p.add_argument("--kl", type=float, default=1e-4, help="largest mean KL divergence, nats")
    p.add_argument("--top", type=float, default=0.995, help="least share of same top tokens")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    try:
        import compressed_tensors
        import torch
        import transformers

        import oracle
    except ImportError as error:
        print(f"check_compressed_tensors: skipped, {error}", file=sys.stderr)
        return 77
    torch.set_num_threads(a.threads)
    try:
        model = load_as_user(a.dir)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        fail(f"{type(error).__name__}: {error}")
    dense = oracle.load(a.dense)
    exact_parts(model, dense)
    differing, checked, exact = compare_weights(model, dense)

    ids = oracle.token_chunks(a.dense, a.text, a.context, a.chunks)
    unrounded = oracle.logits_of(dense, ids)
    routers = [layer.mlp.gate.weight.data.clone() for layer in dense.model.layers]
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    for layer, router in zip(dense.model.layers, routers):
        layer.mlp.gate.weight.data = router
    torch.nn.Module.float(model)  # transformers refuses its own float() for quantized models
    exact_parts(model, dense)
    engine, reference = oracle.logits_of(model, ids), oracle.logits_of(dense, ids)
    logits = compare_logits(reference, engine)
    tokens = [greedy(m, ids[0], a.greedy) for m in (model, dense)]
    ok = (not differing and logits["klDivergence"]["mean"] <= a.kl and logits["sameTop"] >= a.top
          and tokens[0] == tokens[1])
    print(json.dumps({
        "ok": ok, "engine": f"transformers {transformers.__version__}, compressed-tensors "
        f"{compressed_tensors.__version__}", "precision": "BF16 weights, F32 arithmetic",
        "weights": {"compared": checked, "differ": differing[:5], "differing": len(differing),
                    "alreadyBF16": exact},
        "tokens": ids.numel(), "logits": logits, "greedyEqual": tokens[0] == tokens[1],
        "withoutRounding": compare_logits(unrounded, engine)}, indent=2))
    if differing:
        return 1
    return 0 if ok else 2


if __name__ == "__main__":
    sys.exit(main())
