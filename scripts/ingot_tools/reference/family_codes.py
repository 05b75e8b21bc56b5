"""Quantized sources: how a case's matrices become codes and scales, and what those decode to.

A code takes tensors under the names that transformers' save_pretrained gives them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ingot_tools.reference.family_base import Config, Tensors

BLOCK = 128
FP8_LARGEST = 448.0
# All eight magnitudes of E2M1, whose code is sign, two bits of exponent, one of mantissa.
FP4_VALUES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


@dataclass(frozen=True)
class Code:
    """One quantized storage: which tensors, and how."""

    takes: str  # Regular expression of names.
    # From name and values to the stored tensors and the decoded values.
    encode: Callable[[str, torch.Tensor], tuple[Tensors, torch.Tensor]]
    config: Callable[[Tensors], Config]  # quantization_config, from all tensors.

    def applied(self, tensors: Tensors) -> tuple[Tensors, Tensors]:
        """(stored tensors, their decoded values in F32 under the plain names)."""
        stored: Tensors = {}
        values: Tensors = {}
        for name, tensor in tensors.items():
            if re.search(self.takes, name):
                codes, values[name] = self.encode(name, tensor.float())
                stored |= codes
            else:
                stored[name], values[name] = tensor, tensor.float()
        return stored, values


def fp8_blocks(weight: torch.Tensor, scales: torch.dtype, powers: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(codes E4M3 of the weight's shape, scale per 128 x 128 block); edge blocks are partial."""
    rows, columns = weight.shape
    down, across = -(-rows // BLOCK), -(-columns // BLOCK)
    padded = torch.zeros(down * BLOCK, across * BLOCK)
    padded[:rows, :columns] = weight
    blocks = padded.view(down, BLOCK, across, BLOCK)
    scale = blocks.abs().amax((1, 3)) / FP8_LARGEST
    if powers:
        scale = torch.exp2(torch.ceil(torch.log2(scale)))
    scale = scale.to(scales)
    # BF16 may have rounded the scale down: clamp to the largest code.
    codes = (blocks / scale.float()[:, None, :, None]).clamp(-FP8_LARGEST, FP8_LARGEST)
    return codes.reshape(padded.shape)[:rows, :columns].to(torch.float8_e4m3fn).contiguous(), scale


def fp8_values(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """float(code) * scale[row / 128, column / 128], F32."""
    rows, columns = codes.shape
    full = scale.float().repeat_interleave(BLOCK, 0)[:rows].repeat_interleave(BLOCK, 1)[:, :columns]
    return codes.float() * full


def fp8(takes: str, scales: torch.dtype, powers: bool = False, listed: bool = False) -> Code:
    """E4M3 in blocks of 128 x 128.

    `powers`: scales are powers of two. `listed`: the config names every module that is not quantized.
    """
    def encode(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        codes, scale = fp8_blocks(weight, scales, powers)
        return {name: codes, name + "_scale_inv": scale}, fp8_values(codes, scale)

    def config(tensors: Tensors) -> Config:
        kept = sorted(name.removesuffix(".weight") for name in tensors
                      if name.endswith(".weight") and not re.search(takes, name))
        return {
            "activation_scheme": "dynamic", "fmt": "e4m3",
            **({"modules_to_not_convert": kept} if listed else {}),
            "quant_method": "fp8", **({"scale_fmt": "ue8m0"} if powers else {}),
            "weight_block_size": [BLOCK, BLOCK],
        }

    return Code(takes, encode, config)


def int4_encode(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """compressed-tensors' pack-quantized: groups of 32 in a row, nibbles from the low end of 32-bit words."""
    rows, columns = weight.shape
    groups = weight.view(rows, columns // 32, 32)
    scale = (groups.abs().amax(-1) / 7).to(torch.bfloat16)
    codes = torch.round(groups / scale.float()[..., None]).clamp(-8, 7)
    nibbles = (codes + 8).to(torch.int64).view(rows, columns // 8, 8)
    words = (nibbles << (4 * torch.arange(8))).sum(-1)
    packed = torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
    base = name.removesuffix(".weight")
    return {
        f"{base}.weight_packed": packed, f"{base}.weight_scale": scale,
        f"{base}.weight_shape": torch.tensor([rows, columns], dtype=torch.int32),
    }, (codes * scale.float()[..., None]).view(rows, columns)


def int4_config(tensors: Tensors) -> Config:
    weights: Config = {
        "actorder": None, "block_structure": None, "dynamic": False, "group_size": 32, "num_bits": 4,
        "observer": "minmax", "observer_kwargs": {}, "strategy": "group", "symmetric": True, "type": "int",
    }
    group: Config = {
        "input_activations": None, "output_activations": None, "targets": ["Linear"], "weights": weights}
    return {
        "config_groups": {"group_0": group}, "format": "pack-quantized",
        "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                   "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
        "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed",
    }


def power_below(largest: torch.Tensor) -> torch.Tensor:
    """The exponent of the power of two at or below a number; of 0 it is that of a small one."""
    return torch.floor(torch.log2(largest.clamp(min=2.0**-100)))


def mxfp4_encode(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """gpt-oss: [experts, in, out] becomes blocks of 32 along `in`, low nibble first, and one E8M0 each."""
    rows = weight.transpose(1, 2)
    groups = rows.reshape(*rows.shape[:2], -1, 32)
    exponent = power_below(groups.abs().amax(-1)) - 2
    scaled = groups / torch.exp2(exponent)[..., None]
    # 6 is the largest: what lies above it, up to 8, becomes 6.
    magnitude = (scaled.abs()[..., None] - FP4_VALUES).abs().argmin(-1)
    codes = (magnitude + 8 * (scaled < 0)).to(torch.uint8)
    values = torch.where(scaled < 0, -1.0, 1.0) * FP4_VALUES[magnitude] * torch.exp2(exponent)[..., None]
    return {
        f"{name}_blocks": codes[..., 0::2] | codes[..., 1::2] << 4,
        f"{name}_scales": (exponent + 127).to(torch.uint8),
    }, values.view(rows.shape).transpose(1, 2).contiguous()


def mxfp4_config(tensors: Tensors) -> Config:
    return {
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router",
                                   "model.embed_tokens", "lm_head"],
        "quant_method": "mxfp4",
    }


def mxfp8_encode(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """E4M3 with one E8M0, stored as U8, for 32 values of a row; also of matrices that are stacked."""
    groups = weight.unflatten(-1, (-1, 32))
    exponent = power_below(groups.abs().amax(-1)) - 8
    scale = torch.exp2(exponent)[..., None]
    codes = (groups / scale).clamp(-FP8_LARGEST, FP8_LARGEST).to(torch.float8_e4m3fn)
    return {
        name: codes.flatten(-2), name + "_scale_inv": (exponent + 127).to(torch.uint8),
    }, (codes.float() * scale).flatten(-2)


def mxfp8_config(tensors: Tensors) -> Config:
    return {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "mxfp8", "weight_block_size": [1, 32]}


# What Qwen's FP8 releases quantize: attention and experts or dense MLP, nothing else; DeepSeek's too, but
# there the name of one attention matrix ends differently.
QWEN = r"\.(self_attn|mlp)\..*_proj\.weight$"
DEEPSEEK = r"\.(self_attn|mlp)\..*((?<!weights)_proj|kv_a_proj_with_mqa|indexer\.w(q_b|k))\.weight$"

CODES: dict[str, Code] = {
    "fp8-bf16": fp8(QWEN, torch.bfloat16, listed=True),
    "fp8": fp8(DEEPSEEK, torch.float32),
    "fp8-powers": fp8(DEEPSEEK, torch.float32, powers=True),
    "fp8-e8m0": fp8(DEEPSEEK, torch.float8_e8m0fnu, powers=True),
    "int4": Code(r"\.mlp\.experts\.\d+\..*\.weight$", int4_encode, int4_config),
    "mxfp4": Code(r"\.mlp\.experts\.(gate_up|down)_proj$", mxfp4_encode, mxfp4_config),
    "mxfp8": Code(r"\.(self_attn|mlp)\..*_proj(\.weight)?$", mxfp8_encode, mxfp8_config),
}
