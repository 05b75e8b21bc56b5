#!/usr/bin/env python3
"""Does transformers load our compressed-tensors artifact, and compute what Ingot says it computes?

    ingot quantize MODEL --recipe w4a16 -o DIR
    ingot convert DIR --decode f32 --format safetensors -o DENSE
    scripts/tools engines-check-compressed-tensors DIR --dense DENSE [--text FILE] [--ingot INGOT --work FOLDER]

DIR is loaded by MiniMaxM2ForCausalLM.from_pretrained through the compressed-tensors library, as a user
would. Held against DENSE, Ingot's own reading of DIR in F32:

- weights: every weight that the engine ends with is the BF16 rounding of ours (products of MXFP4 and NVFP4
  are BF16 numbers already), bit for bit;
- logits: of the engine's model carried on in F32, against oracle.py on the same BF16 weights
  (KL divergence and same top token, which must hold), and on DENSE itself (what BF16 costs, for information).

What transformers 5.23 does that has to be undone first: router and e_score_correction_bias are cast to
BF16 when they are loaded; they are put back as the files have them. It also leaves NVFP4 experts undivided
by their global scales (vLLM divides); they are divided here, and the result says so.

With --ingot, the other way: the weights of DENSE are packed by the compressed-tensors library (symmetric and
not, several widths, MXFP4, NVFP4) into checkpoints in FOLDER, which INGOT reads; rounded to the library's
type, its values must be the library's own.

Prints one JSON object. Exit code 0: agrees, 1: did not load or weights differ, 2: logits outside
tolerance, 77: torch, transformers or compressed-tensors is not installed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys

from ingot_tools import REPOSITORY

FIXTURE_TEXT = os.path.join(REPOSITORY, "Tests", "Fixtures", "text", "prose.txt")


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


def divide_by_global_scales(model, folder):
    """NVFP4 experts as they should be: the engine's, divided by each tensor's global scale. How many."""
    import torch

    from ingot_tools.reference import oracle

    config = oracle.read_config(folder)
    stored = oracle.read_tensors(folder)
    count = 0
    with torch.no_grad():
        for index, layer in enumerate(model.model.layers):
            experts = layer.mlp.experts
            for expert in range(config["num_local_experts"]):
                prefix = f"model.layers.{index}.block_sparse_moe.experts.{expert}."
                half = experts.gate_up_proj.shape[1] // 2
                parts = {"w1": experts.gate_up_proj[expert, :half], "w3": experts.gate_up_proj[expert, half:],
                         "w2": experts.down_proj[expert]}
                for name, part in parts.items():
                    scale = stored.get(f"{prefix}{name}.weight_global_scale")
                    if scale is not None:
                        part.div_(scale)
                        count += 1
    return count


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


def packed_by_library(weight, scheme, form):
    """A module's parts as the library packs them, and what it unpacks them to."""
    import torch
    from compressed_tensors.compressors import BaseCompressor

    args = scheme.weights
    compressor = BaseCompressor.get_value_from_registry(form)
    groups = weight.view(weight.shape[0], -1, args.group_size)
    if args.type == "int" and not args.symmetric:
        low, high = groups.amin(2).clamp(max=0), groups.amax(2).clamp(min=0)
        scale = ((high - low) / (2 ** args.num_bits - 1)).clamp(min=1e-6).to(torch.bfloat16)
        zero = (-low / scale.float()).round() - 2 ** (args.num_bits - 1)
        state = {"weight": weight.to(torch.bfloat16), "weight_scale": scale,
                 "weight_zero_point": zero.clamp(-2 ** (args.num_bits - 1), 2 ** (args.num_bits - 1) - 1).to(torch.int8)}
    else:
        top = 6.0 if args.type == "float" else (2 ** args.num_bits - 1) / 2
        scale = (groups.abs().amax(2) / top).clamp(min=1e-6)
        state = {"weight": weight.to(torch.bfloat16)}
        if form == "mxfp4-pack-quantized":
            scale = torch.exp2(torch.ceil(torch.log2(scale)))
        if form == "nvfp4-pack-quantized":
            state["weight_global_scale"] = (448 * 6 / weight.abs().amax()).reshape(1).float()
            scale = (scale * state["weight_global_scale"]).to(torch.float8_e4m3fn).to(torch.bfloat16)
        state["weight_scale"] = scale.to(torch.bfloat16)
    packed = compressor.compress(state, scheme)
    expected = compressor.decompress(dict(packed), scheme)["weight"]
    return packed, expected


def foreign(dense_folder, work, ingot, form, arguments):
    """A checkpoint by the library, read by Ingot: how many tensors differ from what the library unpacks."""
    import torch
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from safetensors.torch import save_file

    from ingot_tools.reference import oracle

    source, read = os.path.join(work, "foreign"), os.path.join(work, "read")
    for folder in (source, read):
        shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(source)
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments), format=form)
    tensors, expected = {}, {}
    for name, tensor in oracle.read_tensors(dense_folder).items():
        if not (name.endswith("_proj.weight") or ".experts." in name):
            tensors[name] = tensor
            continue
        packed, expected[name] = packed_by_library(tensor.float(), scheme, form)
        for part, value in packed.items():
            tensors[f"{name[:-len('weight')]}{part}"] = value.contiguous()
    save_file(tensors, os.path.join(source, "model.safetensors"), metadata={"format": "pt"})
    for name in os.listdir(dense_folder):
        if name.endswith(".json") and not name.endswith("index.json"):
            shutil.copy(os.path.join(dense_folder, name), source)
    with open(os.path.join(source, "config.json")) as f:
        whole = json.load(f)
    whole["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
        "config_groups": {"group_0": json.loads(scheme.model_dump_json())}, "ignore": ["lm_head"]}
    with open(os.path.join(source, "config.json"), "w") as f:
        json.dump(whole, f)
    outcome = subprocess.run([ingot, "convert", source, "--decode", "f32", "--format", "safetensors", "-o", read],
                             capture_output=True, text=True)
    result = {"format": form, **arguments}
    if outcome.returncode:
        return {**result, "problem": outcome.stderr.strip()}
    found = oracle.read_tensors(read)
    differing = [n for n, w in expected.items() if not torch.equal(found[n].to(w.dtype), w)]
    return {**result, "modules": len(expected), "differing": len(differing), "first": differing[:2]}


FOREIGN = [("pack-quantized", dict(num_bits=b, type="int", symmetric=s, strategy="group", group_size=g))
           for b, s, g in ((4, True, 128), (4, False, 128), (8, True, 32), (8, False, 64), (3, True, 64), (3, False, 64))
           ] + [
    ("mxfp4-pack-quantized", dict(num_bits=4, type="float", symmetric=True, strategy="group", group_size=32)),
    ("nvfp4-pack-quantized", dict(num_bits=4, type="float", symmetric=True, strategy="tensor_group", group_size=16))]


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
    p.add_argument("--ingot", help="the command, to read checkpoints that the library packed")
    p.add_argument("--work", metavar="FOLDER", help="a folder for them")
    p.add_argument("--text", default=FIXTURE_TEXT, metavar="FILE")
    p.add_argument("--context", type=int, default=256)
    p.add_argument("--chunks", type=int, default=4)
    p.add_argument("--greedy", type=int, default=20, help="tokens to generate from the first context")
    p.add_argument("--kl", type=float, default=1e-4, help="largest mean KL divergence, nats")
    p.add_argument("--top", type=float, default=0.995, help="least share of same top tokens")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    if a.ingot and not a.work:
        p.error("--ingot needs --work")
    try:
        import compressed_tensors
        import torch
        import transformers

        from ingot_tools.reference import oracle
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
    divided = divide_by_global_scales(model, a.dir)
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
    read = [foreign(a.dense, a.work, a.ingot, *form) for form in FOREIGN] if a.ingot else []
    differing += [f"{r['format']}: {r.get('problem', r.get('first'))}" for r in read if r.get("differing") != 0]
    ok = (not differing and logits["klDivergence"]["mean"] <= a.kl and logits["sameTop"] >= a.top
          and tokens[0] == tokens[1])
    print(json.dumps({
        "ok": ok, "engine": f"transformers {transformers.__version__}, compressed-tensors "
        f"{compressed_tensors.__version__}", "precision": "BF16 weights, F32 arithmetic",
        "weights": {"compared": checked, "differ": differing[:5], "differing": len(differing),
                    "alreadyBF16": exact},
        "expertsDividedHere": divided,
        "tokens": ids.numel(), "logits": logits, "greedyEqual": tokens[0] == tokens[1],
        "withoutRounding": compare_logits(unrounded, engine), "read": read}, indent=2))
    if differing:
        return 1
    return 0 if ok else 2


if __name__ == "__main__":
    sys.exit(main())
