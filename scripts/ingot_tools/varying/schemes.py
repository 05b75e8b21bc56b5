"""Ways to store linear layers as codes, written from their descriptions.

A scheme makes the codes of a module in one way only, so that its values can be computed once; whatever its `store` draws by
`rng` (types of scales that hold the same numbers, names, shapes of equal meaning) changes none of them. Products are
rounded to F32 as their descriptions say.
"""

import functools

import numpy as np

from ingot_tools.reference import exl3_reader

from . import numbers
from .numbers import encoded, packed

F32 = np.float32
# Row of eight that nibble j of an AWQ word holds.
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


class Scheme:
    """name, and which modules it takes: `part` is a piece of their names."""

    def __init__(self, name, part=""):
        self.name, self.part = name + (f" of {part}" if part else ""), part

    def fits(self, values):
        return True

    def takes(self, base, name):
        return base.is_linear(name) and self.part in name and self.fits(base.values[name])

    def codes(self, values):
        """What is stored of a module, and its values: (parts, values)."""
        raise NotImplementedError

    def store(self, parts, rng):
        """Names behind the module's name → stored tensors."""
        raise NotImplementedError

    def config(self, rng, left, kept):
        """Changes of config.json and side files, given the names of modules that are left as they are."""
        raise NotImplementedError


def scale_type(parts, rng):
    return rng.choice(["F32", "BF16", "F16"])


class Float8(Scheme):
    """E4M3 or E5M2 with scales for blocks, rows or the whole tensor."""

    def __init__(self, block, dtype="F8_E4M3", powers=False, **more):
        shown = "x".join(map(str, block)) if isinstance(block, tuple) else block
        super().__init__(f"{dtype[3:].lower()} {shown}{' powers' if powers else ''}", **more)
        self.block, self.dtype, self.powers = block, dtype, powers

    def codes(self, values):
        rows, columns = values.shape
        high, wide = {"row": (1, columns), "tensor": (rows, columns)}.get(self.block, self.block)
        tall, broad = -(-rows // high), -(-columns // wide)
        room = np.zeros((tall * high, broad * wide), F32)
        room[:rows, :columns] = np.abs(values)
        greatest = room.reshape(tall, high, broad, wide).max((1, 3))
        round_up = numbers.powers if self.powers else numbers.short_scales
        scales = round_up(greatest / F32(448 if self.dtype == "F8_E4M3" else 57344))
        grid = scales.repeat(high, 0).repeat(wide, 1)[:rows, :columns]
        table = numbers.E4M3 if self.dtype == "F8_E4M3" else numbers.E5M2
        codes = numbers.nearest(values / grid, table)
        return (codes, scales), numbers.of_codes(codes, table) * grid

    def store(self, parts, rng):
        codes, scales = parts
        dtype = rng.choice(["F32", "BF16", "F8_E8M0", "U8"]) if self.powers else scale_type(parts, rng)
        if self.block == "row":
            scales = rng.choice([scales, scales[:, 0]])
        elif self.block == "tensor":
            scales = scales.reshape(rng.choice([(), (1,), (1, 1)]))
        return {"weight": (self.dtype, list(codes.shape), codes.tobytes()),
                "weight" + rng.choice(["_scale_inv", "_scale"]): encoded(scales, dtype)}

    def config(self, rng, left, kept):
        described = {"quant_method": "fp8", "activation_scheme": rng.choice(["dynamic", "dynamic", "static"])}
        if isinstance(self.block, tuple):
            described["weight_block_size"] = list(self.block)
            if rng.random() < 0.5:
                described["modules_to_not_convert"] = left
            if rng.random() < 0.5:
                described["fmt"] = self.dtype[3:].lower()
        elif self.block == "row":
            described["quant_method"] = rng.choice(["fp8", "fbgemm_fp8"])
        elif rng.random() < 0.4:
            return {}, {"hf_quant_config.json": {
                "producer": {"name": "modelopt", "version": "0.29.0"},
                "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": None, "exclude_modules": left}}}
        return {"quantization_config": described}, {}


class MicroFloat8(Scheme):
    """MXFP8: E4M3 in groups of 32 with powers of two."""

    def fits(self, values):
        return values.shape[1] % 32 == 0

    def codes(self, values):
        groups = values.reshape(values.shape[0], -1, 32)
        scales = numbers.powers(np.abs(groups).max(-1) / F32(448))
        codes = numbers.nearest(groups / scales[..., None], numbers.E4M3)
        again = numbers.of_codes(codes, numbers.E4M3) * scales[..., None]
        return (codes.reshape(values.shape), scales), again.reshape(values.shape)

    def store(self, parts, rng):
        codes, scales = parts
        return {"weight": ("F8_E4M3", list(codes.shape), codes.tobytes()),
                "weight" + rng.choice(["_scale_inv", "_scale"]): encoded(scales, rng.choice(["U8", "F8_E8M0"]))}

    def config(self, rng, left, kept):
        described = {"quant_method": rng.choice(["fp8", "mxfp8"]), "ignored_layers": left}
        if rng.random() < 0.5:
            described["weight_block_size"] = [1, 32]
        return {"quantization_config": described}, {}


class MicroFloat4(Scheme):
    """E2M1: `mx` in groups of 32 with powers of two, `nv` in groups of 16 with E4M3 and one F32, `modelopt` with its own."""

    def __init__(self, kind, **more):
        super().__init__(f"{kind} fp4", **more)
        self.kind, self.group = kind, 32 if kind == "mx" else 16

    def fits(self, values):
        return values.shape[1] % self.group == 0

    def codes(self, values):
        groups = values.reshape(values.shape[0], -1, self.group)
        greatest = np.abs(groups).max(-1) / F32(6)
        if self.kind == "mx":
            scales, whole = numbers.powers(greatest), None
            steps = scales
        else:
            top = F32(np.abs(values).max() or 1)
            whole = F32(448 * 6) / top if self.kind == "nv" else top / F32(448 * 6)
            local = greatest * whole if self.kind == "nv" else greatest / whole
            scales = numbers.nearest(np.maximum(local, F32(2.0 ** -9)), numbers.E4M3)
            stored = numbers.of_codes(scales, numbers.E4M3)
            steps = stored / whole if self.kind == "nv" else stored * whole
        codes = numbers.nearest(groups / steps[..., None], numbers.E2M1)
        again = numbers.of_codes(codes, numbers.E2M1) * steps[..., None]
        return (codes.reshape(values.shape), scales, whole), again.reshape(values.shape)

    def store(self, parts, rng):
        codes, scales, whole = parts
        pairs = encoded(codes[:, ::2] | codes[:, 1::2] << 4, "U8")
        if self.kind == "mx":
            return {"weight_packed": pairs, "weight_scale": encoded(scales, rng.choice(["U8", "F8_E8M0"]))}
        scales = encoded(scales, "F8_E4M3")
        if self.kind == "nv":
            return {"weight_packed": pairs, "weight_scale": scales,
                    "weight_global_scale": encoded(whole.reshape(1), "F32")}
        return {"weight": pairs, "weight_scale": scales,
                "weight_scale_2": encoded(whole.reshape(rng.choice([(), (1,)])), "F32")}

    def config(self, rng, left, kept):
        if self.kind == "modelopt":
            described = {"quant_algo": "NVFP4", "group_size": 16, "kv_cache_quant_algo": None, "exclude_modules": left}
            if rng.random() < 0.5:
                return {}, {"hf_quant_config.json": {"producer": {"name": "modelopt"}, "quantization": described}}
            return {"quantization_config": {"quant_method": "modelopt", **described}}, {}
        weights = {"num_bits": 4, "type": "float", "symmetric": True, "group_size": self.group, "dynamic": False,
                   "strategy": "group" if self.kind == "mx" else "tensor_group"}
        return compressed(rng, f"{self.kind}fp4-pack-quantized", weights, left)


def compressed(rng, form, weights, left):
    """How compressed-tensors describes a checkpoint, in config.json as the library writes it or as it once did."""
    described = {"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None,
                                               "output_activations": None}},
                 "format": form, "ignore": left, "quantization_status": "compressed", "global_compression_ratio": 1.5,
                 "kv_cache_scheme": None}
    if rng.random() < 0.5:
        described["config_groups"]["group_0"]["format"] = form
    if rng.random() < 0.2:
        return {"compression_config": described}, {}
    return {"quantization_config": {"quant_method": "compressed-tensors", **described}}, {}


class Integers(Scheme):
    """Integer codes in groups of columns, each with a scale, and a zero point unless symmetric."""

    def __init__(self, container, bits, group, symmetric=True, order=False, **more):
        kind = "" if symmetric else " zero"
        super().__init__(f"{container} int{bits} g{group or 'row'}{kind}{' act-order' if order else ''}", **more)
        self.container, self.bits, self.group, self.symmetric, self.order = container, bits, group, symmetric, order

    def fits(self, values):
        rows, columns = values.shape
        fills = columns * self.bits % 32 == 0 and (self.container in ("packed", "int8") or rows * self.bits % 32 == 0)
        return fills and columns % (self.group or columns) == 0 and (columns // (self.group or columns) > 1 or not self.order)

    def codes(self, values):
        rows, columns = values.shape
        group, top = self.group or columns, (1 << self.bits) - 1
        order = np.arange(columns) // group
        if self.order:
            order = np.random.default_rng(columns).permutation(order)
        scales, zeros = (np.empty((rows, columns // group), F32) for _ in range(2))
        for number in range(columns // group):
            part = values[:, order == number]
            if self.symmetric:
                scales[:, number] = np.abs(part).max(1) * 2 / top
                zeros[:, number] = (top + 1) // 2
            else:
                low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
                scales[:, number] = (high - low) / top
                # The first layout stores zero points less 1.
                zeros[:, number] = np.clip(np.round(-low / np.maximum(scales[:, number], 1e-9)), 1, top)
        scales = numbers.short_scales(scales)
        steps, middles = scales[:, order], zeros[:, order]
        codes = np.clip(np.round(values / steps + middles), 0, top).astype(np.uint8)
        return (codes, scales, zeros.astype(np.uint32), order), steps * (codes.astype(F32) - middles)

    def store(self, parts, rng):
        codes, scales, zeros, order = parts
        rows, columns = codes.shape
        bits, middle = self.bits, 1 << (self.bits - 1)
        if self.container == "int8":
            stored = {"weight": encoded(codes.astype(np.int32) - middle, "I8"),
                      "weight_scale": encoded(scales, scale_type(parts, rng))}
            if not self.symmetric:
                stored["weight_zero_point"] = encoded(zeros.astype(np.int32) - middle, "I8")
            return stored
        if self.container == "packed":
            stored = {"weight_packed": encoded(packed(codes, bits).view(np.int32), "I32"),
                      "weight_scale": encoded(scales, scale_type(parts, rng)),
                      "weight_shape": encoded(np.array([rows, columns]), rng.choice(["I64", "I32"]))}
            if not self.symmetric:
                stored["weight_zero_point"] = encoded(packed(zeros.T, bits).T.view(np.int32), "I32")
            return stored
        across = {"scales": encoded(scales.T, "F16")}
        if self.container == "awq":
            def words(lines):
                lines = lines.astype(np.uint32).reshape(lines.shape[0], -1, 8)[..., AWQ_ORDER]
                return (lines << np.arange(0, 32, 4, dtype=np.uint32)).sum(-1, dtype=np.uint64).astype(np.uint32)
            return across | {"qweight": encoded(words(codes.T).view(np.int32), "I32"),
                             "qzeros": encoded(words(zeros.T).view(np.int32), "I32")}
        stored = zeros - 1 if self.container == "gptq" else zeros
        return across | {"qweight": encoded(packed(codes, bits).T.copy().view(np.int32), "I32"),
                         "qzeros": encoded(packed(stored.T, bits).view(np.int32), "I32"),
                         "g_idx": encoded(order, "I32")}

    def config(self, rng, left, kept):
        if self.container in ("packed", "int8"):
            weights = {"num_bits": self.bits, "type": "int", "symmetric": self.symmetric, "group_size": self.group,
                       "strategy": "group" if self.group else "channel", "dynamic": False}
            return compressed(rng, "pack-quantized" if self.container == "packed" else "int-quantized", weights, left)
        group = self.group or -1
        if self.container == "awq":
            described = {"bits": 4, "group_size": group, "zero_point": True, "version": rng.choice(["gemm", "GEMM"]),
                         "modules_to_not_convert": left}
            if rng.random() < 0.4:
                return {}, {"quant_config.json": {"w_bit": 4, "q_group_size": group, "zero_point": True,
                                                  "version": "GEMM"}}
            return {"quantization_config": {"quant_method": "awq", **described}}, {}
        described = {"bits": self.bits, "group_size": group, "sym": self.symmetric, "desc_act": self.order,
                     "lm_head": False, "damp_percent": 0.01, "static_groups": False, "true_sequential": True}
        if self.container != "gptq" or rng.random() < 0.5:
            described["checkpoint_format"] = self.container
        if rng.random() < 0.4:
            return {}, {"quantize_config.json": described}
        return {"quantization_config": {"quant_method": "gptq", **described}}, {}


class MLX(Scheme):
    """MLX's codes with a scale and a bias for each group; for families whose tensors MLX names as they are."""

    def __init__(self, bits, group):
        super().__init__(f"mlx affine {bits} g{group}")
        self.bits, self.group = bits, group

    def takes(self, base, name):
        return base.config["model_type"] in ("llama", "qwen2", "qwen3", "mistral") and super().takes(base, name)

    def fits(self, values):
        return values.shape[1] % self.group == 0

    def codes(self, values):
        groups = values.reshape(values.shape[0], -1, self.group)
        low, high = groups.min(-1), groups.max(-1)
        scales = numbers.short_scales((high - low) / ((1 << self.bits) - 1))
        biases = np.where(low < 0, -1, 1).astype(F32) * numbers.short_scales(np.abs(low))
        codes = np.clip(np.round((groups - biases[..., None]) / scales[..., None]), 0, (1 << self.bits) - 1)
        again = codes.astype(F32) * scales[..., None] + biases[..., None]
        return (codes.astype(np.uint8).reshape(values.shape), scales, biases), again.reshape(values.shape)

    def store(self, parts, rng):
        codes, scales, biases = parts
        dtype = scale_type(parts, rng)
        return {"weight": encoded(packed(codes, self.bits), "U32"), "scales": encoded(scales, dtype),
                "biases": encoded(biases, dtype)}

    def config(self, rng, left, kept):
        described = {"group_size": self.group, "bits": self.bits}
        described |= rng.choice([{}, {"mode": "affine"}, dict.fromkeys(left[:-1], False)])
        return {"quantization": described} | rng.choice([{}, {"quantization_config": described}]), {}


class Tiles(Scheme):
    """EXL3's trellis codes: any are as good as others, since what is compared are values that follow from codes."""

    def __init__(self, bits, codebook, packed=False):
        super().__init__(f"exl3 {bits} {codebook}{' signs' if packed else ''}")
        self.bits, self.codebook, self.packed = bits, codebook, packed

    def codes(self, values):
        rows, columns = (-(-n // 128) * 128 for n in values.shape)
        rng = np.random.default_rng(rows + columns)
        trellis = rng.integers(-32768, 32768, (columns // 16, rows // 16, 16 * self.bits), np.int16)
        if self.packed:
            scales = [rng.integers(-32768, 32768, n // 16, np.int16) for n in (columns, rows)]
            suh, svh = (exl3_reader.signs(part) for part in scales)
        else:
            size = np.sqrt((values ** 2).mean()) or 1
            suh, svh = scales = [(rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 1.5, n) * s).astype(np.float16)
                                 for n, s in ((columns, size), (rows, 1))]
        again = exl3_reader.decode(trellis, suh, svh, self.codebook)[:values.shape[0], :values.shape[1]]
        return (trellis, scales), again

    def store(self, parts, rng):
        trellis, scales = parts
        names, kind = (("su", "sv"), "I16") if self.packed else (("suh", "svh"), "F16")
        stored = {name: (kind, list(part.shape), part.tobytes()) for name, part in zip(names, scales)}
        stored["trellis"] = ("I16", list(trellis.shape), trellis.tobytes())
        if self.codebook != "3inst":
            mark = np.array([exl3_reader.MUL1 if self.codebook == "mul1" else exl3_reader.MCG], np.uint32)
            stored[self.codebook] = ("I32", rng.choice([[], [1]]), mark.tobytes())
        return stored

    def config(self, rng, left, kept):
        described = {"quant_method": "exl3", "bits": self.bits, "head_bits": 6, "version": "1.4.1"}
        if rng.random() < 0.3:
            return {}, {"quantization_config.json": described}
        return {"quantization_config": described}, {}


SCHEMES = [
    *[Float8(block, powers=powers) for block in ((128, 128), (64, 32), (1, 64), "row", "tensor") for powers in (False, True)],
    Float8((128, 128), "F8_E5M2"), Float8("row", "F8_E5M2"), MicroFloat8("mxfp8"),
    *[MicroFloat4(kind) for kind in ("mx", "nv", "modelopt")], MicroFloat4("mx", part="mlp"),
    *[Integers("packed", bits, group, symmetric) for bits, group in ((4, 32), (4, None), (8, 32), (3, 32))
      for symmetric in (True, False)],
    Integers("int8", 8, None), Integers("int8", 8, 32), Integers("int8", 8, None, symmetric=False),
    *[Integers("gptq", bits, group, symmetric) for bits, group in ((4, 32), (8, 64), (2, 32), (4, None), (3, 32))
      for symmetric in (True, False)],
    Integers("gptq", 4, 32, order=True), Integers("gptq_v2", 4, 32, False, True), Integers("gptq_v2", 4, 64),
    Integers("gptq_v2", 3, 32, False), Integers("awq", 4, 32, False), Integers("awq", 4, None, False),
    *[MLX(bits, group) for bits, group in ((2, 32), (3, 32), (4, 64), (4, 32), (5, 32), (6, 64), (8, 32))],
    Tiles(1, "mul1"), Tiles(3, "mul1"), Tiles(4, "mcg"), Tiles(6, "3inst"), Tiles(8, "mul1"),
    Integers("packed", 4, 32, part="mlp"), Integers("packed", 4, 32, part="moe"), Float8((128, 128), part="experts"),
]


@functools.lru_cache(maxsize=96)
def quantized(base, scheme):
    """Modules that a scheme takes: name → (what is stored, values in F32)."""
    return {name: scheme.codes(values) for name, values in base.values.items() if scheme.takes(base, name)}
