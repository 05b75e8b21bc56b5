"""Schemes of compressed-tensors as llm-compressor writes them: the library's presets, its packers and its own decoding.

Where engines quantize activations too, the checkpoint's weights are read as they are, with a remark; scales of activations
and of the key-value cache stand beside them.
"""

import json

from ingot_tools.engines import foreign

SHORT = ("W4A16_ASYM", "W8A8", "NVFP4")
# What no reader here has codes for, and the words of the refusal.
REFUSED = {"MXFP6A16": "MXFP6", "MXFP6A8": "MXFP6", "W7A16": "7 bits"}


def parameters(weight, args):
    """Scale, zero point and global scale of a weight as the library's observers compute them: (scale, zero, global)."""
    import torch
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    rows, columns = weight.shape
    strategy = str(args.strategy.value if hasattr(args.strategy, "value") else args.strategy)
    whole = None
    if strategy == "tensor":
        low, high = weight.amin().reshape(1), weight.amax().reshape(1)
    elif strategy == "channel":
        low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    elif strategy == "block":
        high_rows, wide = args.block_structure
        room = torch.zeros(-(-rows // high_rows) * high_rows, -(-columns // wide) * wide, dtype=weight.dtype)
        room[:rows, :columns] = weight
        blocks = room.view(room.shape[0] // high_rows, high_rows, room.shape[1] // wide, wide)
        low, high = blocks.amin((1, 3)), blocks.amax((1, 3))
    else:
        groups = weight.view(rows, -1, args.group_size)
        low, high = groups.amin(-1), groups.amax(-1)
        if strategy == "tensor_group":
            whole = generate_gparam(weight.amin()[None], weight.amax()[None])
    scale, zero = calculate_qparams(low, high, args, global_scale=whole)
    return scale, zero, whole


def compressed(bench, scheme, chosen=foreign.is_linear):
    """(stored tensors, values that the library decodes) of the embedded model."""
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.compressors.format import infer_module_format

    from ingot_tools.reference import oracle

    form = infer_module_format(torch.nn.Linear, scheme)
    form = getattr(form, "value", form)
    compressor = BaseCompressor.get_value_from_registry(form)
    tensors, expected = {}, {}
    for name, weight in oracle.read_tensors(bench.dense).items():
        if not chosen(name):
            tensors[name] = weight
            continue
        scale, zero, whole = parameters(weight, scheme.weights)
        state = {"weight": weight, "weight_scale": scale if form.startswith(("mx", "nv")) else scale.to(weight.dtype)}
        if zero is not None and not scheme.weights.symmetric:
            state["weight_zero_point"] = zero
        elif form.startswith(("mx", "nv")):
            state["weight_zero_point"] = zero
        if whole is not None:
            state["weight_global_scale"] = whole
        packed = compressor.compress(state, scheme)
        expected[name] = compressor.decompress(dict(packed), scheme)["weight"]
        tensors |= {name.removesuffix("weight") + part: value for part, value in packed.items()}
        if scheme.input_activations is not None and scheme.input_activations.dynamic is False:
            tensors[name.removesuffix("weight") + "input_scale"] = torch.tensor([0.02])
        if "nvfp4" in form and scheme.input_activations is not None:
            tensors[name.removesuffix("weight") + "input_global_scale"] = torch.tensor([300.0])
    return form, tensors, expected


def description(scheme, form, ignore, **more):
    group = json.loads(scheme.model_dump_json()) | {"format": form}
    return {"quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
            "global_compression_ratio": None, "kv_cache_scheme": None, "sparsity_config": {}, "transform_config": {},
            "version": "0.20.0", "config_groups": {"group_0": group}, "ignore": ignore, **more}


class Place:
    """What foreign.save asks for."""

    def __init__(self, dense, output):
        self.dense, self.output = dense, output


def cases(bench):
    import torch
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme, preset_name_to_scheme
    from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES

    from ingot_tools.reference import oracle

    ignore = foreign.kept(oracle.read_tensors(bench.dense))

    def judged(tensors, expected, config):
        artifact = bench.fresh("made")
        foreign.save(Place(bench.dense, artifact), tensors, config)
        bench.same_values(artifact, expected)

    def case(scheme, refused=None, chosen=foreign.is_linear, extra=lambda tensors: None, ignored=ignore, **more):
        def made():
            form, tensors, expected = compressed(bench, scheme, chosen)
            extra(tensors)
            config = description(scheme, form, ignored, **more)
            if refused:
                artifact = bench.fresh("made")
                foreign.save(Place(bench.dense, artifact), tensors, config)
                bench.refused(artifact, refused)
                return "refused"
            judged(tensors, expected, config)
        return made

    for name in PRESET_SCHEMES:
        if name != "UNQUANTIZED":
            yield name, case(preset_name_to_scheme(name, ["Linear"]), REFUSED.get(name)), name in SHORT

    def scheme(strategy, bits, kind="int", symmetric=True, **more):
        return QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(
            num_bits=bits, type=kind, symmetric=symmetric, strategy=strategy, **more))

    for symmetric in (True, False):
        shown = "" if symmetric else " asymmetric"
        for bits in (4, 8):
            for group in (32, 64, 128):
                yield f"int{bits} g{group}{shown}", case(scheme("group", bits, symmetric=symmetric, group_size=group)), False
        yield f"int8 channel{shown}", case(scheme("channel", 8, symmetric=symmetric)), False
        yield f"int4 channel{shown}", case(scheme("channel", 4, symmetric=symmetric)), False
    yield "FP8 tensor", case(scheme("tensor", 8, "float")), False
    yield "FP8 channel", case(scheme("channel", 8, "float")), False
    yield "int8 tensor", case(scheme("tensor", 8)), False

    def cache(*names):
        def add(tensors):
            for layer in range(2):
                for name in names:
                    tensors[f"model.layers.{layer}.self_attn.{name}"] = torch.tensor([0.03])
        return add

    described = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "tensor", "dynamic": False}
    w4 = preset_name_to_scheme("W4A16", ["Linear"])
    yield "W4A16 kv_cache_scheme FP8", case(w4, extra=cache("k_scale", "v_scale"), kv_cache_scheme=described), True
    yield "FP8 kv_cache_scheme FP8", case(
        preset_name_to_scheme("FP8", ["Linear"]), extra=cache("k_scale", "v_scale"), kv_cache_scheme=described), False
    yield "FP8_DYNAMIC attention quantized", case(
        preset_name_to_scheme("FP8_DYNAMIC", ["Linear"]), extra=cache("q_scale", "k_scale", "v_scale")), False
    yield "W4A16 ignoring by pattern", case(
        w4, chosen=lambda n: foreign.is_linear(n) and "self_attn" not in n,
        ignored=["lm_head", "re:.*self_attn.*", "re:.*gate$"]), False

    def mixed():
        first, second = preset_name_to_scheme("W4A16", ["re:.*experts.*"]), preset_name_to_scheme(
            "FP8_BLOCK", ["re:.*self_attn.*"])
        form, tensors, expected = compressed(bench, first, lambda n: ".experts." in n)
        other, more, values = compressed(bench, second, lambda n: "self_attn" in n and foreign.is_linear(n))
        tensors = {n: v for n, v in tensors.items() if "self_attn" not in n or "_proj" not in n} | {
            n: v for n, v in more.items() if "self_attn" in n}
        config = description(first, "mixed-precision", ignore)
        config["config_groups"] = {
            "experts": json.loads(first.model_dump_json()) | {"format": form},
            "attention": json.loads(second.model_dump_json()) | {"format": other}}
        judged(tensors, expected | values, config)
    yield "W4A16 experts, FP8_BLOCK attention", mixed, True
