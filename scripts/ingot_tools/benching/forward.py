"""The forward pass: tokens through a layer against the peak of multiply-adds, memory, and llama.cpp on the same model."""

import json
import os

from .report import PeerFailed, peer
from .running import INGOT, ROOT, Run, quantize, remove, say

CONTEXT = 512


def flops_per_token(source):
    """Of one forward pass through all layers, and of the head."""
    with open(os.path.join(source, "config.json")) as file:
        c = json.load(file)
    hidden, heads = c["hidden_size"], c["num_attention_heads"] * c["head_dim"]
    attention = hidden * (2 * heads + 2 * c["num_key_value_heads"] * c["head_dim"])
    # Scores and sums of values: each token sees half of its context on average.
    attention += 2 * heads * CONTEXT / 2
    experts = 3 * hidden * c["intermediate_size"] * c["num_experts_per_tok"] + hidden * c["num_local_experts"]
    return 2 * (attention + experts) * c["num_hidden_layers"], 2 * hidden * c["vocab_size"]


def verification(report, sources, work, tokens, peak):
    """Each checkpoint against its int4: `peak` in GFLOP/s of one core."""
    report.heading("Verification of int4 g64 against its original")
    texts = [os.path.join(ROOT, "Tests/Fixtures/text", n) for n in ("prose.txt", "code.txt")]
    chunks = max(tokens // CONTEXT // len(texts), 1)
    used, rows, largest = chunks * len(texts) * CONTEXT, [], 0
    for layers, source in sources.items():
        _, _, target = quantize(source, "int4 g64 rtn", work, "--no-source-hash")
        run = Run([INGOT, "verify", target, "--against", source, "--text", *texts, "--chunks", str(chunks), "--json"])
        remove(target)
        through, head = flops_per_token(source)
        # Of two models; the head scores the second half of each context.
        rate = 2 * used * (through + head / 2) / run.wall / 1e9
        rows.append(
            (layers, used, f"{2 * used * layers / run.wall:.0f}", f"{rate:.0f}", f"{rate / (peak * os.cpu_count()):.2f}",
             f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{run.memory / 1e9:.2f}"))
        largest = max(largest, run.memory)
        say(f"verify, {layers} layers: {run.wall:.1f} s")
    report.table(
        ["layers", "tokens", "tokens/s through a layer of both models", "GFLOP/s", "of the peak of all cores", "wall s", "CPU s",
         "peak GB"], rows)
    report.text("Wall time of everything, the tokenizer, reading, decoding and the head included.")
    if used >= 8192:
        report.figure(
            f"peak memory of verify with 8k tokens, {', '.join(map(str, sources))} layers", "≤ 4 GB", f"{largest / 1e9:.2f} GB",
            largest <= 4e9)


def against_llama(report, python, source, work, tokens):
    """Tokens per second of llama.cpp and of `ingot logits` on the same GGUF files."""
    if python is None:
        return
    report.heading("Forward pass against llama.cpp's on the same GGUF files")
    contexts, ids, rows = max(tokens // CONTEXT, 1), os.path.join(work, "ids.json"), []
    with open(os.path.join(source, "config.json")) as file:
        vocabulary = json.load(file)["vocab_size"]
    with open(ids, "w") as file:
        # Any tokens will do: the weights are drawn. 2000 is below the added ones of the tokenizer that comes along.
        json.dump([[(7 * i * i + 13 * c) % min(vocabulary, 2000) for i in range(CONTEXT)] for c in range(contexts)], file)
    logits, failures = os.path.join(work, "logits.safetensors"), []
    for kind, make in (("BF16", bf16), ("Q8_0", q8_0), ("Q4_K", q4_k)):
        model = os.path.join(work, "forward.gguf")
        remove(model)
        make(source, model, work)
        for decode in ([], ["--decode"]) if kind == "BF16" else ([],):
            name = kind + (", in F32" if decode else "")
            try:
                with peer():
                    theirs = Run([python, os.path.join(ROOT, "scripts/tools engines-bench-forward"), model, ids, *decode])
                    seconds = json.loads(theirs.output.strip().splitlines()[-1])["seconds"]
            except PeerFailed as error:
                say(f"llama.cpp on {name}: failed: {error}")
                failures.append(f"llama.cpp on {name}: failed: {error}")
                continue
            remove(logits)
            ours = Run([INGOT, "logits", model, "--tokens", ids, "-o", logits])
            count = contexts * CONTEXT
            rows.append(
                (name, count, f"{seconds / ours.wall:.2f}", f"{count / ours.wall:.0f}",
                 f"{count / seconds:.0f}", f"{ours.memory / 1e9:.2f}", f"{theirs.memory / 1e9:.2f}"))
            say(f"llama.cpp on {rows[-1][0]}: {rows[-1][2]} of ingot's time")
        remove(model)
    remove(logits)
    remove(ids)
    for failure in failures:
        report.text(failure)
    if not rows:
        return
    report.lines.append("")
    report.table(
        ["weights", "tokens", "its time / ingot's", "ingot's tokens/s", "its tokens/s", "ingot's peak GB", "its peak GB"], rows)
    report.text(
        f"{CONTEXT} tokens to a context and logits of all of them, as a perplexity takes. ingot's time is that of the whole command, "
        "which reads and decodes one layer after another and computes in F32; llama.cpp's begins when the model is loaded, and it "
        "rounds activations to BF16 or 8 bits, but for the row in F32.")


def bf16(source, target, _):
    Run([INGOT, "convert", source, "--decode", "bf16", "--format", "gguf", "-o", target, "--no-source-hash"])


def q8_0(source, target, work):
    os.rename(quantize(source, "q8_0", work, "--no-source-hash")[2], target)


def q4_k(source, target, work):
    os.rename(quantize(source, "q4_k_pure", work, "--no-source-hash")[2], target)
