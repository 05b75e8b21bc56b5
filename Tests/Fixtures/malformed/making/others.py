"""Files of other kinds: .ingot, tokenizer.json, recipes."""

import struct

from making.base import dump, model, raw, safetensors


def other_cases(c):
    for name, data, about in (
            ("empty", b"", "no bytes"),
            ("one-byte", b"I", "one byte"),
            ("zeros", bytes(256), "zero bytes where the magic belongs"),
            ("ones", b"\xff" * 256, "ones everywhere"),
            ("a-safetensors-file", raw("{}", bytes(256)), "SafeTensors under another name"),
            ("a-gguf-file", b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(232),
             "GGUF under another name")):
        c.file("ingot", name, ".ingot", data, [], about)

    alphabet = {chr(33 + i): i for i in range(94)}
    good = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 95, "content": "<end>", "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": False},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "vocab": {**alphabet, "th": 94}, "merges": [["t", "h"]]}}

    def tokenizer(name, about, *expects, **changes):
        m = {**good["model"], **changes.pop("model", {})}
        value = {**good, "model": m, **changes}
        c.file("tokenizer", name, ".json", dump(value), list(expects), about)

    tokenizer("word-piece", "another kind of model", "WordPiece", model={"type": "WordPiece"})
    tokenizer("dropout", "merges left out at random", "dropout", model={"dropout": 0.1})
    tokenizer("vocab-array", "an array for the vocabulary", model={"vocab": ["t", "h"]})
    tokenizer("id-string", "an id as a string", model={"vocab": {**alphabet, "th": "94"}})
    tokenizer("id-negative", "a negative id", model={"vocab": {**alphabet, "th": -1}})
    tokenizer("id-huge", "an id of 2^40", model={"vocab": {**alphabet, "th": 1 << 40}})
    tokenizer("id-twice", "one id for two tokens", model={"vocab": {**alphabet, "th": 0}})
    tokenizer("merge-unknown", "a merge whose result is no token", "zz",
              model={"merges": [["z", "z"]]})
    tokenizer("merge-unknown-part", "a merge of what is no token", "qu",
              model={"merges": [["qu", "t"]]})
    tokenizer("merge-three", "a merge of three", model={"merges": [["t", "h", "e"]]})
    tokenizer("merge-no-space", "a merge in the old form without a space",
              model={"merges": ["th"]})
    tokenizer("merge-number", "a number for a merge", model={"merges": [7]})
    tokenizer("merges-missing", "null for the merges", model={"merges": None})
    tokenizer("added-id-negative", "an added token of negative id",
              added_tokens=[{**good["added_tokens"][0], "id": -1}])
    tokenizer("added-empty", "an added token without text",
              added_tokens=[{**good["added_tokens"][0], "content": ""}])
    tokenizer("added-number", "a number for an added token", added_tokens=[5])
    tokenizer("pre-tokenizer-unknown", "a pre-tokenizer nobody wrote", "Telepathy",
              pre_tokenizer={"type": "Telepathy"})
    tokenizer("pattern-unclosed", "a pattern with an open bracket", pre_tokenizer={
        "type": "Split", "pattern": {"Regex": "[\\p{L}"}, "behavior": "Isolated", "invert": False})
    tokenizer("pattern-backreference", "a pattern that looks back", pre_tokenizer={
        "type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated", "invert": False})
    text = dump(good)
    c.file("tokenizer", "ok-tokenizer", ".json", text, None, "control: 95 tokens and one merge")
    c.file("tokenizer", "tokenizer-empty", ".json", b"", [], "no bytes")
    c.file("tokenizer", "tokenizer-cut", ".json", text[:400], [], "the end is missing")
    c.file("tokenizer", "tokenizer-array", ".json", b"[]", [], "an array")
    c.file("tokenizer", "tokenizer-duplicate-token", ".json",
           text.replace(b'"th": 94', b'"th": 94, "t": 3'), [], "one token twice")
    c.file("tokenizer", "tokenizer-no-model", ".json",
           dump({k: v for k, v in good.items() if k != "model"}), ["model"], "no model")

    def recipe(name, about, text, *expects):
        c.file("recipe", name, ".yaml", text if isinstance(text, bytes) else text.encode(),
               list(expects), about)

    rule = "rules:\n  - encoding: int4 g64 zero f16\n    quantizer: search\n"
    c.file("recipe", "ok-recipe", ".yaml", ("name: mine\n" + rule).encode(), None,
           "control: one rule for everything")
    recipe("recipe-empty", "no bytes", "")
    recipe("recipe-list", "a list of rules and nothing around", "- encoding: int4 g64 zero f16\n")
    recipe("recipe-no-rules", "no rules", "name: mine\n", "rules")
    recipe("recipe-rules-string", "a string for the rules", "rules: int4\n", "rules")
    recipe("recipe-not-yaml", "brackets that never close", "rules: [[[\n")
    recipe("recipe-tab", "a tab as indentation", "rules:\n\t- encoding: int8\n")
    recipe("recipe-unknown-key", "a misspelt key", rule + "    qantizer: search\n", "qantizer")
    recipe("recipe-unknown-encoding", "an encoding nobody wrote",
           rule.replace("int4 g64 zero f16", "int4.5 g63"), "int4.5")
    recipe("recipe-group-zero", "groups of nothing", rule.replace("g64", "g0"), "g0")
    recipe("recipe-unknown-quantizer", "a quantizer nobody wrote",
           rule.replace("search", "magic"), "magic")
    recipe("recipe-unknown-part", "a part that no model has",
           rule.replace("  - encoding", "  - parts: [moustache]\n    encoding"), "moustache")
    recipe("recipe-duplicate-key", "one key twice", rule + "    quantizer: nearest\n", "quantizer")
    recipe("recipe-aliases", "ten aliases of ten aliases of ten…", "".join(
        f"{a}: &{a} [{', '.join(['*' + b] * 10) if b else 'x'}]\n"
        for a, b in zip("abcdefghi", "\0abcdefgh") for b in [b.strip(chr(0))]) + rule)
    recipe("recipe-not-utf-8", "not UTF-8", b"rules:\n  - encoding: \xff\xfe\n")
