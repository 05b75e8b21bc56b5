"""Layouts of GPTQModel, AutoRound and AutoAWQ, packed by GPTQModel's packers and decoded by its kernels.

AutoRound is not installed: what it writes differs by config alone, its `packing_format` naming GPTQModel's layouts.
"""

from ingot_tools.engines import check_gptq_awq as packed
from ingot_tools.engines import foreign
from ingot_tools.engines.peer_compressed_tensors import Place


def cases(bench):
    from ingot_tools.reference import oracle

    dense = oracle.read_tensors(bench.dense)

    def build(config, change=lambda module, parts: parts, bits_of=lambda module: None):
        """(stored tensors, values that GPTQModel decodes)."""
        tensors, expected = {}, {}
        for seed, (name, weight) in enumerate(sorted(dense.items())):
            module = name.removesuffix(".weight")
            if not foreign.is_linear(name) or config["quant_method"] == "gptq" and weight.shape[0] % 32:
                tensors[name] = weight
                continue
            own = dict(config)
            if bits_of(module):
                own |= bits_of(module)
            if own["group_size"] == -1:
                own["group_size"] = weight.shape[1]
            parts = packed.packed_by_gptqmodel(weight.float(), own, seed)
            expected[name] = packed.engine_weight(parts, own)
            tensors |= {f"{module}.{part}": value for part, value in change(module, parts).items()}
        return tensors, expected

    def case(config, written=None, refused=None, **how):
        def made():
            tensors, expected = build(config, **how)
            artifact = bench.fresh("made")
            foreign.save(Place(bench.dense, artifact), tensors, written or config)
            if refused:
                bench.refused(artifact, refused)
                return "refused"
            bench.same_values(artifact, expected)
        return made

    def gptq(bits=4, group=128, sym=True, order=False, layout="gptq", **more):
        return {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order, "sym": sym, "lm_head": False,
                "checkpoint_format": layout, "pack_dtype": "int32", **more}

    for layout in ("gptq", "gptq_v2"):
        for bits in (2, 3, 4, 8):
            for sym in (True, False):
                for order in (False, True):
                    title = f"{layout} {bits} bits{'' if sym else ' asym'}{' desc_act' if order else ''}"
                    short = (layout, bits, sym, order) in (("gptq_v2", 4, False, True),)
                    yield title, case(gptq(bits, 64 if bits < 4 else 128, sym, order, layout)), short
    for group in (32, 64, -1):
        yield f"gptq 4 bits group_size {group}", case(gptq(group=group)), False

    def experts_8(module):
        return {"bits": 8, "group_size": 64} if ".w2" in module else None
    yield "gptq dynamic, 8 bits for down projections", case(
        gptq(), written=gptq(dynamic={r"+:.*\.w2$": {"bits": 8, "group_size": 64}}), bits_of=experts_8), False

    def auto_round(config, packing, **more):
        kept = {key: config[key] for key in ("bits", "group_size", "sym")}
        return {"quant_method": "auto-round", "packing_format": packing, "data_type": "int", "iters": 200, "low_gpu_mem_usage":
                True, "autoround_version": "0.8.0", "block_name_to_quantize": "model.layers", **kept, **more}

    def no_order(module, parts):
        return {part: value for part, value in parts.items() if part != "g_idx"}
    for sym in (True, False):
        shown = "" if sym else " asym"
        yield f"auto_round:auto_gptq{shown}", case(
            gptq(sym=sym), written=auto_round(gptq(sym=sym), "auto_round:auto_gptq"), change=no_order), False
        for packing in ("auto_round:gptqmodel", "auto_round"):
            v2 = gptq(sym=sym, layout="gptq_v2")
            yield f"{packing}{shown}", case(v2, written=auto_round(v2, packing), change=no_order), False
    yield "auto_round:auto_gptq, extra_config", case(
        gptq(), written=auto_round(gptq(), "auto_round:auto_gptq", extra_config={
            f"model.layers.{layer}.block_sparse_moe.experts.{expert}.w2": {"bits": 8, "group_size": 64}
            for layer in range(2) for expert in range(4)}), bits_of=experts_8, change=no_order), True

    def awq(group=128, zero=True, **more):
        return {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": zero, "version": "gemm", "sym": not zero,
                "modules_to_not_convert": foreign.kept(dense), **more}

    for group in (32, 64, 128, -1):
        yield f"awq group_size {group}", case(awq(group)), False
    yield "awq zero_point false", case(awq(zero=False)), False
    yield "awq zero_point false, without qzeros", case(awq(zero=False), change=lambda module, parts: {
        part: value for part, value in parts.items() if part != "qzeros"}), True
    yield "awq zero_point false beside other zero points", case(
        awq(), written=awq(zero=False), refused="zero_point: false"), False
    for sym in (True, False):
        config = awq(zero=not sym)
        yield f"auto_round:auto_awq{'' if sym else ' asym'}", case(
            config, written=auto_round(config, "auto_round:auto_awq", zero_point=not sym)), False
