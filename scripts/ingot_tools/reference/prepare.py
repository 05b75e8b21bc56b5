#!/usr/bin/env python3
"""Texts to a byte-level BPE tokenizer with MiniMax-M2's pattern, and to arrays of token ids.

    prepare.py CONFIG.json --out DATA --books DIR [--code DIR]

--books is a folder of plain texts, one book per file (*.txt or *.md, 50 KB or more each); --code a
folder of sources, by default Python's own standard library. Agent transcripts are generated. DATA
gets tokenizer.json and, per domain, NAME.train.npy, NAME.heldout.npy (uint16 ids) and
NAME.heldout.txt. Held-out texts are whole documents that training never sees.
"""

import argparse
import json
import os
import random
import sysconfig
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from ingot_tools.reference import agentic

# The pre-tokenizer pattern of MiniMax-M2's tokenizer.json: words with a leading mark, numbers by
# threes, runs of punctuation, line ends, spaces.
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
MARK = r"[^\r\n\p{L}\p{N}]?"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join([
    f"{MARK}{UPPER}*{LOWER}+{SUFFIX}", f"{MARK}{UPPER}+{LOWER}*{SUFFIX}", r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])

# Last ids of the vocabulary, in this order. The second group are ordinary tokens that decode to
# themselves; the first are left out of decoded text.
SPECIAL = [agentic.TURN, agentic.END, agentic.BEGIN]
VISIBLE = ["<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"]


def files_below(folder, suffixes, smallest, largest):
    """Paths in an order that depends on names only."""
    return sorted(
        p for p in Path(folder).rglob("*")
        if p.suffix in suffixes and p.is_file() and smallest <= p.stat().st_size <= largest)


def split(texts, heldout, rng):
    rng.shuffle(texts)
    if len(texts) <= heldout:
        raise SystemExit(f"{len(texts)} texts are too few to hold {heldout} out")
    return texts[heldout:], texts[:heldout]


def books(folder, rng):
    paths = files_below(folder, {".txt", ".md"}, 50_000, 1_000_000)
    return split([p.read_text("utf-8", "replace").strip() for p in paths], 3, rng)


def code(folder, rng):
    unwanted = ("site-packages", "test", "tests", "encodings", "pydoc_data", "idlelib")
    suffixes = {".py", ".c", ".h", ".swift", ".js", ".ts", ".go", ".rs", ".java"}
    paths = [
        p for p in files_below(folder, suffixes, 500, 200_000)
        if not set(p.relative_to(folder).parts) & set(unwanted)]
    return split([p.read_text("utf-8", "replace") for p in paths], max(1, len(paths) // 20), rng)


def train_tokenizer(texts, vocabulary):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL) - len(VISIBLE),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in VISIBLE])
    if tokenizer.get_vocab_size() != vocabulary:
        raise SystemExit(f"{tokenizer.get_vocab_size()} tokens, wanted {vocabulary}: too little text")
    return tokenizer


def without_marks(text):
    for mark in SPECIAL + VISIBLE:
        text = text.replace(mark, "\n")
    return text


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config", metavar="CONFIG.json")
    p.add_argument("--out", required=True, metavar="DATA")
    p.add_argument("--books", required=True, metavar="DIR")
    p.add_argument("--code", default=sysconfig.get_path("stdlib"), metavar="DIR")
    p.add_argument("--agentic-bytes", type=int, default=3_500_000)
    a = p.parse_args()
    with open(a.config) as f:
        config = json.load(f)
    os.makedirs(a.out, exist_ok=True)
    seed = config["seed"]
    rng = random.Random(seed)

    domains = {
        "books": books(a.books, rng),
        "code": code(a.code, rng),
        "agentic": (agentic.corpus(seed, a.agentic_bytes),
                    agentic.corpus(seed + 10_000, max(1, a.agentic_bytes // 12))),
    }
    # At most 400 KB of one document, so that no single author makes the vocabulary.
    sample = [t[:400_000] for name in ("books", "code") for t in domains[name][0]]
    sample += [without_marks(t) for t in domains["agentic"][0][:800]]
    tokenizer = train_tokenizer(sample, config["vocab_size"])
    tokenizer.save(os.path.join(a.out, "tokenizer.json"))

    for name, (train, heldout) in domains.items():
        begin = "" if name == "agentic" else agentic.BEGIN
        for part, texts in (("train", train), ("heldout", heldout)):
            ids = [np.array(tokenizer.encode(begin + t).ids, dtype=np.uint16) for t in texts]
            np.save(os.path.join(a.out, f"{name}.{part}.npy"), np.concatenate(ids))
            print(f"{name} {part}: {len(texts)} texts, {sum(map(len, ids)):,} tokens")
        with open(os.path.join(a.out, f"{name}.heldout.txt"), "w", encoding="utf-8") as f:
            f.write(("\n" if name == "agentic" else "\n\n").join(heldout))


if __name__ == "__main__":
    main()
