"""llama.cpp's tokens of the texts of Tests/Fixtures/tokenizer, for every GGUF file of a folder: NAME.gguf.json.

usage: llama_tokens.py FOLDER

One vocabulary is copied under the name of every cut into words that has no vocabulary of its own there.

Each text three times: special tokens as text; special tokens parsed; parsed, and with begin and end tokens as the file
asks.
Files that llama.cpp reads neither as BPE nor as SentencePiece's are passed over.
"""
import json
import pathlib
import struct
import sys
from typing import Any

import llama_cpp

from ingot_tools import REPOSITORY

# Cuts into words that no file of llama.cpp's has.
OTHERS = """minimax-m2 gpt-4o tekken glm4 chatglm-bpe dbrx deepseek-v3 kimi-k2 seed-coder exaone-moe minicpm5 bailingmoe
olmo phi-2 smollm granite-embed-multi-97m youtu spark2_5 laguna ufakzeka chameleon poro-chat viking""".split()
ROOT = REPOSITORY


def tokens(model: Any, text: str, around: bool, special: bool) -> list[int]:
    data = text.encode()
    room = (llama_cpp.llama_token * (len(data) + 8))()
    count = llama_cpp.llama_tokenize(model, data, len(data), room, len(room), around, special)
    assert count >= 0
    return list(room[:count])


def copies(folder: pathlib.Path) -> None:
    """ggml-vocab-llama-bpe.gguf with other values of tokenizer.ggml.pre; nothing in it is addressed by offset."""
    name = "llama-bpe"
    data = (folder / f"ggml-vocab-{name}.gguf").read_bytes()
    key = b"tokenizer.ggml.pre" + struct.pack("<IQ", 8, len(name)) + name.encode()
    assert data.count(key) == 1
    for other in OTHERS:
        target = folder / f"renamed-{other}.gguf"
        if not target.exists():
            renamed = b"tokenizer.ggml.pre" + struct.pack("<IQ", 8, len(other)) + other.encode()
            target.write_bytes(data.replace(key, renamed))


def main() -> None:
    copies(pathlib.Path(sys.argv[1]))
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, None)
    texts = json.loads((ROOT / "Tests/Fixtures/tokenizer/vectors.json").read_text(encoding="utf-8"))["texts"]
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.gguf")):
        target = path.with_name(path.name + ".json")
        if target.exists():
            continue
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not model:
            print(f"{path.name}: not read by llama.cpp", file=sys.stderr)
            continue
        vocab = llama_cpp.llama_model_get_vocab(model)
        known = (llama_cpp.LLAMA_VOCAB_TYPE_BPE, llama_cpp.LLAMA_VOCAB_TYPE_SPM, llama_cpp.LLAMA_VOCAB_TYPE_UGM)
        if llama_cpp.llama_vocab_type(vocab) in known:
            rows = [
                {
                    "text": text,
                    "plain": tokens(vocab, text, False, False),
                    "special": tokens(vocab, text, False, True),
                    "around": tokens(vocab, text, True, True),
                }
                for text in texts
            ]
            target.write_text(json.dumps(rows), encoding="utf-8")
        llama_cpp.llama_model_free(model)


if __name__ == "__main__":
    main()
