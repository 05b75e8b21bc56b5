#!/usr/bin/env python3
"""llama.cpp, through llama-cpp-python, on a GGUF file. See protocol.py.

--decode makes llama.cpp decode every tensor to F32 first, by its own quantizer with F32 as the target, and
runs that: then nothing but the blocks' meaning is compared. Without it llama.cpp runs as users run it: it
rounds activations to 8 bits (BF16 for BF16 weights) before it multiplies them with quantized weights. KV cache
in F32 and no flash attention in both, but where llama.cpp has a family's attention in that alone.
"""

import os
import sys
import tempfile

from ingot_tools.engines import protocol

# Architectures whose sparse attention is dense without flash attention.
FLASH = {"minimax-m3"}


def architecture(path):
    from gguf import GGUFReader

    return GGUFReader(path).get_field("general.architecture").contents()


def open_model(path, context, threads):
    import llama_cpp

    return llama_cpp.Llama(
        path, n_ctx=context, n_batch=context, n_ubatch=context, logits_all=True,
        type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32, flash_attn=architecture(path) in FLASH,
        n_threads=threads, n_threads_batch=threads, n_gpu_layers=0, verbose=False,
        # As the file says: the binding's own defaults would win over it.
        yarn_ext_factor=-1.0, yarn_attn_factor=-1.0, yarn_beta_fast=-1.0, yarn_beta_slow=-1.0)


def quantize(source, target, file_type, threads=1, pure=False):
    """llama.cpp's own quantizer; file_type is a llama_ftype."""
    import ctypes

    import llama_cpp

    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread, options.allow_requantize, options.pure = file_type, threads, True, pure
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(options))
    if code != 0:
        raise RuntimeError(f"llama_model_quantize: {code}")


def first_part(path):
    """The file itself, or the first of a split model's in a folder."""
    if not os.path.isdir(path):
        return path
    return os.path.join(path, sorted(n for n in os.listdir(path) if n.endswith(".gguf"))[0])


def logits_of(model, ids):
    model.reset()
    model.eval([int(i) for i in ids])
    return model.scores[:len(ids)].copy()


def generate(model, prompt, count):
    model.reset()
    model.eval([int(i) for i in prompt])
    tokens = []
    while True:
        tokens.append(int(model.scores[model.n_tokens - 1].argmax()))
        if len(tokens) == count:
            return tokens
        model.eval([tokens[-1]])


def open_artifact(path, context, threads, decode):
    import llama_cpp

    path, temporary = first_part(path), None
    if decode:
        temporary = tempfile.TemporaryDirectory()
        decoded = os.path.join(temporary.name, "decoded.gguf")
        quantize(path, decoded, llama_cpp.LLAMA_FTYPE_ALL_F32, threads)
        path = decoded
    model = open_model(path, context, threads)

    def close():
        model.close()
        if temporary:
            temporary.cleanup()

    return protocol.Opened(
        protocol.versions("llama-cpp-python"), "F32 (llama.cpp's decoding)" if decode else "as users run it",
        lambda ids: logits_of(model, ids), lambda prompts, count: [generate(model, p, count) for p in prompts], close)


def main():
    p = protocol.parser(__doc__)
    p.add_argument("--decode", action="store_true", help="decode to F32 by llama.cpp first")
    a = p.parse_args()
    protocol.run(a, lambda path, context: open_artifact(path, context, a.threads, a.decode))


if __name__ == "__main__":
    sys.exit(main())
