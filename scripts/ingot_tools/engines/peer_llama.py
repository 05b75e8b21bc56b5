"""llama.cpp's quantizer with its options, and its converter's ways to lay a file out.

The quantizer is the library's function behind llama-quantize; it also decodes, with F32 as the target. Fused projections and
split files are made of the plain file with the converter's own library.
"""

import ctypes
import glob
import os

import numpy as np

# What llama-quantize cannot make without an importance matrix.
IMPORTANT = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "Q2_K_S", "IQ3_XXS", "IQ3_XS")
SHORT = ("Q1_0",)


def quantize(source, target, file_type, importance=None, **options):
    """llama_model_quantize; `options` are fields of its parameters, `overrides` pairs (pattern, type)."""
    import llama_cpp

    p = llama_cpp.llama_model_quantize_default_params()
    p.ftype, p.nthread, p.allow_requantize = file_type, 1, True
    overrides = options.pop("overrides", None)
    pruned = options.pop("prune", None)
    kept = []
    if overrides:
        entries = (llama_cpp.llama_model_tensor_override * (len(overrides) + 1))()
        for entry, (pattern, kind) in zip(entries, overrides):
            entry.pattern, entry.type = pattern.encode(), kind
        p.tt_overrides = entries
        kept.append(entries)
    if pruned:
        layers = (ctypes.c_int * (len(pruned) + 1))(*pruned, -1)
        p.prune_layers = layers
        kept.append(layers)
    if importance:
        entries = (llama_cpp.llama_model_imatrix_data * (len(importance) + 1))()
        for entry, (name, values) in zip(entries, importance.items()):
            kept.append(values)
            entry.name, entry.size = name.encode(), len(values)
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        p.imatrix = entries
        kept.append(entries)
    for key, value in options.items():
        setattr(p, key, value)
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(p))
    if code:
        raise RuntimeError(f"llama_model_quantize: {code}")


def rewritten(source, target, change=lambda tensors: tensors, **split):
    """The file again, of other tensors or in parts, as the converter's library writes them."""
    import gguf

    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(None, architecture, **split)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    tensors = {t.name: (t.data, t.tensor_type) for t in reader.tensors}
    for name, (data, kind) in change(tensors).items():
        writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=kind)
    writer.write_header_to_file(__import__("pathlib").Path(target))
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def fused(tensors):
    """Query, key and value in one tensor, gate and up of the experts in another."""
    made = dict(tensors)
    for layer in {name.split(".")[1] for name in tensors if name.startswith("blk.")}:
        for names, target, axis in (
                (("attn_q", "attn_k", "attn_v"), "attn_qkv", 0), (("ffn_gate_exps", "ffn_up_exps"), "ffn_gate_up_exps", 1)):
            parts = [made.pop(f"blk.{layer}.{name}.weight") for name in names]
            made[f"blk.{layer}.{target}.weight"] = np.concatenate([data for data, _ in parts], axis), parts[0][1]
    return made


def cases(bench):
    import gguf
    import llama_cpp

    plain = bench.path("plain.gguf")
    bench.run("convert", bench.dense, "--format", "gguf", "-o", plain)
    types = {name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_"): getattr(llama_cpp, name)
             for name in dir(llama_cpp) if name.startswith("LLAMA_FTYPE_") and not name.endswith(("GUESSED", "NVFP4"))}
    rng = np.random.default_rng(3)
    importance = {}
    for tensor in gguf.GGUFReader(plain).tensors:
        if len(tensor.shape) > 1:
            count = int(tensor.shape[0]) * (int(tensor.shape[2]) if len(tensor.shape) > 2 else 1)
            importance[tensor.name] = rng.uniform(0.5, 2, count).astype(np.float32)
    # NVFP4 is no type of a whole file to the quantizer, but of tensors.
    kind = {name: getattr(llama_cpp, f"GGML_TYPE_{name}") for name in ("Q8_0", "Q6_K", "Q4_0", "Q5_K", "IQ4_NL", "F16", "NVFP4")}

    def case(file_type, source=plain, **options):
        def made():
            artifact, decoded = bench.fresh("made.gguf"), bench.fresh("decoded.gguf")
            quantize(source, artifact, file_type, **options)
            if options.get("keep_split"):
                artifact = sorted(glob.glob(artifact.removesuffix(".gguf") + "*-of-*.gguf"))[0]
            quantize(artifact, decoded, types["ALL_F32"])
            bench.same_logits(artifact, decoded)
        return made

    for name, number in sorted(types.items()):
        important = name in IMPORTANT
        yield f"{name}{' --imatrix' if important else ''}", case(
            number, importance=importance if important else None), name in SHORT
    for name in ("Q4_K_M", "Q3_K_M", "IQ4_XS", "Q6_K", "Q5_1"):
        yield f"{name} --pure", case(types[name], pure=True), False
    for name in ("Q4_K_M", "IQ3_S", "Q2_K"):
        yield f"{name} --imatrix", case(types[name], importance=importance), False
    yield "Q4_K_M --output-tensor-type Q8_0", case(types["Q4_K_M"], output_tensor_type=kind["Q8_0"]), False
    yield "Q4_K_M --token-embedding-type F16", case(types["Q4_K_M"], token_embedding_type=kind["F16"]), False
    yield "Q4_K_M --leave-output-tensor", case(types["Q4_K_M"], quantize_output_tensor=False), False
    overrides = [("attn_v", kind["Q8_0"]), (r"blk\.[1]\.ffn_down_exps", kind["Q5_K"]), ("ffn_gate_exps", kind["IQ4_NL"])]
    yield "Q4_K_S --tensor-type, three patterns", case(types["Q4_K_S"], overrides=overrides), True
    yield "Q4_0 --tensor-type of one layer", case(types["Q4_0"], overrides=[(r"blk\.0\.", kind["Q6_K"])]), False
    micro = [(r"ffn_.*_exps", kind["NVFP4"]), ("attn_", kind["NVFP4"])]
    yield "Q8_0 --tensor-type NVFP4", case(types["Q8_0"], overrides=micro), True
    yield "Q5_K_M --prune-layers 1", case(types["Q5_K_M"], prune=[1]), False
    yield "COPY", case(types["Q8_0"], only_copy=True), False

    def parts(**split):
        def made():
            for path in glob.glob(bench.path("parts*.gguf")):
                os.remove(path)
            rewritten(plain, bench.path("parts.gguf"), **split)
            found = sorted(glob.glob(bench.path("parts-*.gguf")))
            if len(found) < 2:
                raise RuntimeError(f"{len(found)} parts")
            bench.same_logits(found[0], plain)
            return found
        return made

    def whole(make):
        return lambda: make() and None

    yield "converter --split-max-tensors 7", whole(parts(split_max_tensors=7)), True
    yield "converter --split-max-size 1M", whole(parts(split_max_size=1_000_000)), False
    yield "converter --no-tensor-first-split", whole(parts(split_max_tensors=20, small_first_shard=True)), False

    def kept():
        first = parts(split_max_tensors=9)()[0]
        case(types["Q4_K_M"], source=first, keep_split=True)()
    yield "Q4_K_M --keep-split of parts", kept, False

    def of_parts():
        first = parts(split_max_tensors=9)()[0]
        case(types["Q8_0"], source=first)()
    yield "Q8_0 of parts", of_parts, False

    joined = bench.path("fused.gguf")

    def fuse():
        if not os.path.exists(joined):
            rewritten(plain, joined, fused)
        bench.same_logits(joined, plain)
    yield "converter --fuse-qkv --fuse-gate-up-exps", fuse, True

    def fuse_quantized(name):
        def made():
            if not os.path.exists(joined):
                rewritten(plain, joined, fused)
            case(types[name], source=joined)()
        return made
    for name in ("Q4_K_M", "Q8_0", "IQ4_XS", "MXFP4_MOE"):
        yield f"{name} of fused projections", fuse_quantized(name), False
