"""Builds the programs in examples/ and runs each one on small models.

    scripts/tools test-examples [--scratch-path .build] [--only NAME]

What each prints is held against what must be in it. The family that custom-family registers is one of the fixtures under another name.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

from ingot_tools import REPOSITORY

NANO = os.path.join(REPOSITORY, "Tests/Fixtures/m2-nano")
TEXT = os.path.join(REPOSITORY, "Tests/Fixtures/text/prose.txt")
FAMILY = os.path.join(REPOSITORY, "Tests/Fixtures/families/qwen3_moe-norm")


def acorn(folder: str) -> str:
    """A checkpoint of a family that nobody knows, which reads bytes."""
    os.mkdir(folder)
    shutil.copy(f"{FAMILY}/model.safetensors", folder)
    with open(f"{FAMILY}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    config.update(model_type="acorn", architectures=["AcornForCausalLM"])
    with open(f"{folder}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    # Bytes as byte-level tokenizers spell them: those that print stand for themselves, the others for letters from U+0100 on.
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    vocabulary = {chr(byte if byte in plain else 256 + others.index(byte)): byte for byte in range(256)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    with open(f"{folder}/tokenizer.json", "w", encoding="utf-8") as file:
        json.dump({"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": byte_level, "decoder": byte_level,
                   "post_processor": None, "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}, file)
    return folder


# Name; arguments after the program's, made in a folder; what must be printed.
PROGRAMS: list[tuple[str, Callable[[str], list[str]], list[str]]] = [
    ("inspect", lambda folder: [NANO, "lm_head.weight"], ["layers", "bits each", "head in", "first row from"]),
    ("quantize-and-verify", lambda folder: [NANO, f"{folder}/x.ingot", TEXT], ["bits per weight in", "mean KL divergence"]),
    ("custom-quantizer", lambda folder: [NANO, f"{folder}/x.ingot", TEXT],
     [f"cut off at {width} root mean squares" for width in ("2.0", "3.0", "4.0")]),
    ("custom-family", lambda folder: [acorn(f"{folder}/acorn"), f"{folder}/x.ingot", TEXT],
     ["acorn 2 layers, 7 experts", "experts changed"]),
]


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch-path", default=os.path.join(REPOSITORY, ".build"), help="where it is built, by default with the library")
    parser.add_argument("--only", nargs="+", choices=[name for name, *_ in PROGRAMS])
    options = parser.parse_args()
    build = ["swift", "build", "-c", "release", "--package-path", os.path.join(REPOSITORY, "examples"), "--scratch-path",
             options.scratch_path]
    if subprocess.run(build, stdout=sys.stderr).returncode != 0:
        sys.exit("examples: not built")
    binaries = subprocess.run([*build, "--show-bin-path"], capture_output=True, text=True, check=True).stdout.strip()
    failed = 0
    for name, arguments, words in PROGRAMS:
        if options.only and name not in options.only:
            continue
        with tempfile.TemporaryDirectory(prefix="ingot-example-") as folder:
            done = subprocess.run([f"{binaries}/{name}", *arguments(folder)], capture_output=True, text=True)
        missing = [word for word in words if word not in done.stdout]
        if done.returncode != 0 or missing:
            failed += 1
            print(f"{name}: FAILED, exit code {done.returncode}, not printed: {missing}\n{done.stdout}{done.stderr}")
        else:
            print(f"{name}: {done.stdout.splitlines()[-1]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
