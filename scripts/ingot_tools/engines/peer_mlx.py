"""mlx_lm's converter with its options, and its quantizers that look at activations.

The reference is the same folder with every module decoded by MLX itself in F32: scales are widened first, which is exact.
Calibration text is a file of ours, under the name that mlx_lm would download.
"""

import json
import os
import shutil
import subprocess
import sys

MODES = [*[("affine", bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)],
         ("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)]
SHORT = {("affine", 3, 64), ("nvfp4", 4, 16)}


def decoded(folder, target):
    """The folder in F32."""
    import mlx.core as mx

    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    schemes = config.pop("quantization", {})
    config.pop("quantization_config", None)
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            tensors |= mx.load(os.path.join(folder, name))
    out = {}
    for name, value in tensors.items():
        path = name.removesuffix(".weight")
        if name.endswith((".scales", ".biases")) and name.rsplit(".", 1)[0] + ".scales" in tensors:
            continue
        scales = tensors.get(path + ".scales")
        if scales is None:
            out[name] = value.astype(mx.float32)
            continue
        own = schemes.get(path)
        scheme = own if isinstance(own, dict) else schemes
        mode, biases = scheme.get("mode", "affine"), tensors.get(path + ".biases")
        usual = {"affine": (64, 4), "mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}[mode]
        if mode == "affine":
            scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)  # type: ignore[union-attr]
        out[name] = mx.dequantize(
            value, scales, biases, group_size=scheme.get("group_size") or usual[0], bits=scheme.get("bits") or usual[1],
            mode=mode).astype(mx.float32)
    os.makedirs(target)
    mx.save_safetensors(os.path.join(target, "model.safetensors"), out, metadata={"format": "mlx"})
    with open(os.path.join(target, "config.json"), "w") as f:
        json.dump(config, f)


def dense_model(bench):
    """A dense model with the embedded model's tokenizer, for what has no way with experts: random weights."""
    import mlx.core as mx

    folder = bench.path("random")
    if os.path.exists(folder):
        return folder
    os.makedirs(folder)
    hidden, width, heads, dim, vocabulary = 128, 256, 4, 32, 2048
    shapes = {"model.embed_tokens": (vocabulary, hidden), "lm_head": (vocabulary, hidden), "model.norm": (hidden,)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {at + "input_layernorm": (hidden,), at + "post_attention_layernorm": (hidden,)}
        shapes |= {f"{at}self_attn.{p}_proj": (heads * dim if p == "q" else 2 * dim, hidden) for p in "qkv"}
        shapes |= {at + "self_attn.o_proj": (hidden, heads * dim), at + "mlp.gate_proj": (width, hidden),
                   at + "mlp.up_proj": (width, hidden), at + "mlp.down_proj": (hidden, width)}
    mx.random.seed(5)
    tensors = {name + ".weight": (mx.random.normal(shape) * 0.1 + (len(shape) == 1)).astype(mx.bfloat16)
               for name, shape in shapes.items()}
    mx.save_safetensors(os.path.join(folder, "model.safetensors"), tensors, metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(bench.model, name), folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden,
                   "intermediate_size": width, "num_attention_heads": heads, "num_key_value_heads": 2, "head_dim": dim,
                   "num_hidden_layers": 2, "vocab_size": vocabulary, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
                   "max_position_embeddings": 512, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}, f)
    return folder


def cases(bench):
    from mlx_lm import convert

    def judged(artifact):
        reference = bench.fresh("reference")
        decoded(artifact, reference)
        bench.same_logits(artifact, reference)

    def case(source=bench.dense, **options):
        def made():
            artifact = bench.fresh("made")
            convert(source, artifact, **options)
            judged(artifact)
        return made

    def quantized(bits, group, mode="affine", **options):
        return case(quantize=True, q_bits=bits, q_group_size=group, q_mode=mode, **options)

    for mode, bits, group in MODES:
        yield f"--q-mode {mode} --q-bits {bits} --q-group-size {group}", quantized(bits, group, mode), (
            mode, bits, group) in SHORT
    for name in ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"):
        for group in (32, 64):
            yield f"--quant-predicate {name} --q-group-size {group}", quantized(
                4, group, quant_predicate=name), False
    for dtype in ("float16", "bfloat16", "float32"):
        yield f"--dtype {dtype}", case(dtype=dtype), False
        for mode, bits, group in (("affine", 4, 64), ("affine", 8, 32), ("mxfp4", 4, 32), ("nvfp4", 4, 16)):
            yield f"--dtype {dtype} --q-mode {mode} --q-bits {bits}", quantized(bits, group, mode, dtype=dtype), False

    def some(path, module):
        """A predicate of one's own: modules left out, and schemes of several modes."""
        if "o_proj" in path or "embed" in path:
            return False
        if "down_proj" in path:
            return {"bits": 8, "group_size": 32, "mode": "mxfp8"}
        return {"bits": 3, "group_size": 32} if "v_proj" in path else True
    yield "a predicate of one's own", quantized(4, 64, quant_predicate=some), True

    def again():
        first = bench.fresh("first")
        convert(bench.dense, first, quantize=True, q_bits=4, q_group_size=64)
        artifact = bench.fresh("made")
        convert(first, artifact, dequantize=True)
        judged(artifact)
    yield "--dequantize", again, False

    home = bench.path("home")
    os.makedirs(os.path.join(home, ".cache", "mlx-lm"), exist_ok=True)
    shutil.copy(bench.text, os.path.join(home, ".cache", "mlx-lm", "calibration_v5.txt"))

    def learned(tool, source, *options):
        def made():
            artifact = bench.fresh("made")
            command = [sys.executable, "-c", f"from mlx_lm.quant.{tool} import main; main()", "--model", source,
                       "--mlx-path", artifact, *options]
            outcome = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300,
                                     env=os.environ | {"HOME": home, "MLX_DEVICE": "cpu"})
            if outcome.returncode:
                raise RuntimeError(f"mlx_lm.quant.{tool}: {outcome.stderr.strip()[-300:]}")
            judged(artifact)
        return made

    random = dense_model(bench)
    few = ["--num-samples", "4", "--sequence-length", "64"]
    lines = os.path.join(home, "lines")
    os.makedirs(lines, exist_ok=True)
    with open(bench.text, encoding="utf-8") as text, open(os.path.join(lines, "train.jsonl"), "w") as out:
        for line in text.read().split("\n\n")[:40]:
            out.write(json.dumps({"text": line}) + "\n")
    yield "mlx_lm.gptq --bits 4", learned("gptq", random, "--bits", "4", *few), False
    yield "mlx_lm.gptq --bits 2, fallback 6", learned(
        "gptq", random, "--bits", "2", "--fallback-bits", "6", "--group-size", "32", *few), False
    yield "mlx_lm.awq --bits 4", learned("awq", random, "--bits", "4", "--n-grid", "2", *few), False
    yield "mlx_lm.dwq --bits 3", learned(
        "dwq", random, "--bits", "3", "--num-samples", "4", "--max-seq-length", "32", "--batch-size", "2", "--data-path",
        lines), False
    yield "mlx_lm.dynamic_quant", learned(
        "dynamic_quant", random, "--target-bpw", "4.5", "--low-bits", "3", "--high-bits", "6"), False
