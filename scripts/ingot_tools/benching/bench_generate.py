#!/usr/bin/env python3
"""Tokens a second of 'ingot generate', with --fast and without, and of llama.cpp with the same file, one after the other, several times.

    scripts/tools bench-generate [FILE.gguf ...] [--rounds 5] [--threads 2] [--tokens 100] [--stack] [--cpu] [--work DIR] [--ingot FILE]

Without files, those of scripts/tools real-models. Greedy decoding of --tokens tokens behind a short prompt, and a prompt of about 500 tokens.
With --stack also a layer with MiniMax-M2's true shapes (256 experts, of which 8 a token), of weights that scripts/tools make-checkpoint draws, in
Q4_K, and in an .ingot with int4, which llama.cpp does not read: that is held against Ingot's own rate with Q4_K. It is made once, in
--work (by default $TMPDIR/ingot-bench); 7 GB of disk.
--cpu counts the processor time of one thread instead of the time that passes: what is left to compare on a machine that does much else, though its
memory and caches are shared even so.
Needs the engines of scripts/tools setup-engines, whose Python it starts itself with. A machine that does something else as well slows llama.cpp more,
whose threads wait for each other without sleeping: let it rest.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from ingot_tools import REPOSITORY, tool

ENGINES = os.environ.get("INGOT_ENGINES", os.path.expanduser("~/.cache/ingot/engines"))
PYTHON = os.path.join(ENGINES, "venv/bin/python")
if os.path.exists(PYTHON) and os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(ENGINES, "venv")):
    os.execv(PYTHON, [PYTHON, *sys.orig_argv[1:]])

SHORT = "The history of the steam engine begins"
LONG = SHORT + " in the eighteenth century, when mines had to be kept dry." * 36


def ours(options, path, *more):
    """Decoded and prompt tokens a second."""
    if options.cpu:
        def seconds(prompt, count):
            before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
            done = subprocess.run(
                [options.ingot, "generate", path, "--raw", "--prompt", prompt, "-n", str(count), "--temperature", "0", "--json",
                 "--threads", "1", *more], check=True, capture_output=True, text=True)
            return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before, json.loads(done.stdout)["promptTokens"]

        short, few = seconds(SHORT, 1)
        all_tokens, many = seconds(LONG, 1)
        return options.tokens / (seconds(SHORT, options.tokens + 1)[0] - short), (many - few) / (all_tokens - short)
    rates = []
    for prompt, count in ((SHORT, options.tokens), (LONG, 2)):
        done = subprocess.run(
            [options.ingot, "generate", path, "--raw", "--prompt", prompt, "-n", str(count), "--temperature", "0", "--json",
             "--threads", str(options.threads), *more], check=True, capture_output=True, text=True)
        rates.append(json.loads(done.stdout))
    return rates[0]["tokensPerSecond"], rates[1]["promptTokensPerSecond"]


def stack(options):
    """The layer in Q4_K and in int4."""
    folder = os.path.join(options.work, "m2-layer")
    os.makedirs(options.work, exist_ok=True)
    if not os.path.exists(folder):
        nano = str(REPOSITORY / "Tests/Fixtures/m2-nano")
        subprocess.run([*tool("make-checkpoint"), folder, "--layers", "1", "--vocabulary", "2048", "--context", "8192",
                        "--tokenizer", options.tokenizer or nano], check=True)
    files = []
    for recipe, ending in (("q4_k_pure", "gguf"), ("int4", "ingot")):
        files.append(os.path.join(options.work, f"m2-layer-{recipe}.{ending}"))
        if not os.path.exists(files[-1]):
            subprocess.run([options.ingot, "quantize", folder, "-o", files[-1], "--recipe", recipe], check=True)
    return files


def theirs(options, path):
    import llama_cpp

    def clock():
        return sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) if options.cpu else time.time()

    threads = 1 if options.cpu else options.threads
    model = llama_cpp.Llama(path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    model.eval(model.tokenize(SHORT.encode()))
    start = clock()
    for _ in range(options.tokens):
        model.eval([model.sample(temp=0)])
    decoded = options.tokens / (clock() - start)
    model.reset()
    prompt = model.tokenize(LONG.encode())
    start = clock()
    model.eval(prompt)
    return decoded, len(prompt) / (clock() - start)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE.gguf")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--cpu", action="store_true", help="processor time of one thread")
    parser.add_argument("--stack", action="store_true", help="also a layer with true shapes")
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "ingot-bench"))
    parser.add_argument("--tokenizer", metavar="FOLDER", help="for the layer (default: that of Tests/Fixtures)")
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    options = parser.parse_args()
    files = options.files or [
        subprocess.run([*tool("real-models"), name], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("smollm2", "gemma3-270m")]
    if options.stack:
        files += stack(options)
    print(f"{'':40}{'ingot':>9}{'--fast':>9}{'llama.cpp':>11}{'ratio':>8}{'--fast':>8}  least to most")
    best = {}
    for path in files:
        peer = (lambda: theirs(options, path)) if path.endswith(".gguf") else None
        rounds = [(ours(options, path), ours(options, path, "--fast"), peer and peer()) for _ in range(options.rounds)]
        for place, what in enumerate(("decoding", "prompt")):
            def ratios(side):
                return sorted(one[side][place] / (one[2][place] if peer else best[what, side]) for one in rounds)  # type: ignore[index]

            middle = [statistics.median(one[side][place] for one in rounds) for side in range(3 if peer else 2)]  # type: ignore[index]
            if peer:
                best[what, 0], best[what, 1] = middle[:2]
            both = [ratios(0), ratios(1)]
            print(f"{os.path.basename(path)[:30]:31}{what:9}{middle[0]:>9.1f}{middle[1]:>9.1f}"
                  + (f"{middle[2]:>11.1f}" if peer else f"{'(to Q4_K)':>11}")
                  + "".join(f"{statistics.median(some):>8.2f}" for some in both)
                  + "  " + ", ".join(f"{some[0]:.2f} to {some[-1]:.2f}" for some in both), flush=True)


main()
