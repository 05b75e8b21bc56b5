"""How the tensors of a case are stored: number types, FP8 blocks, and the layouts of fused weights.

Every function takes tensors under the names that transformers' save_pretrained gives them.
"""

import re
from collections.abc import Callable

import torch

Tensors = dict[str, torch.Tensor]

BLOCK = 128
FP8_LARGEST = 448.0

EXPERT = re.compile(r"(.*\.)(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight$")
GATE_UP_DOWN = (("gate_proj", "up_proj", "down_proj"), ("w1", "w3", "w2"))


def rounded(tensors: Tensors, dtype: str, keep_float32: str) -> Tensors:
    """In the type of the file; names that match `keep_float32` stay F32."""
    target = getattr(torch, dtype)
    return {
        name: tensor if keep_float32 and re.search(keep_float32, name) else tensor.to(target)
        for name, tensor in tensors.items()
    }


def in_fp8(name: str) -> bool:
    """What Qwen's FP8 releases quantize: attention and experts or dense MLP, nothing else."""
    return re.search(r"\.(self_attn|mlp)\..*_proj\.weight$", name) is not None


def fp8_blocks(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(codes E4M3 of the weight's shape, BF16 scale per 128 x 128 block); edge blocks are partial."""
    rows, columns = weight.shape
    down, across = -(-rows // BLOCK), -(-columns // BLOCK)
    padded = torch.zeros(down * BLOCK, across * BLOCK)
    padded[:rows, :columns] = weight
    blocks = padded.view(down, BLOCK, across, BLOCK)
    scale = (blocks.abs().amax((1, 3)) / FP8_LARGEST).to(torch.bfloat16)
    # BF16 may have rounded the scale down: clamp to the largest code.
    codes = (blocks / scale.float()[:, None, :, None]).clamp(-FP8_LARGEST, FP8_LARGEST)
    return codes.reshape(padded.shape)[:rows, :columns].to(torch.float8_e4m3fn).contiguous(), scale


def fp8_values(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """float(code) * scale[row / 128, column / 128], F32."""
    rows, columns = codes.shape
    full = scale.float().repeat_interleave(BLOCK, 0)[:rows].repeat_interleave(BLOCK, 1)[:, :columns]
    return codes.float() * full


def with_fp8(tensors: Tensors) -> tuple[Tensors, Tensors]:
    """(stored tensors, their decoded values in F32 under the plain names)."""
    stored: Tensors = {}
    values: Tensors = {}
    for name, tensor in tensors.items():
        if not in_fp8(name):
            stored[name], values[name] = tensor, tensor.float()
            continue
        codes, scale = fp8_blocks(tensor.float())
        stored[name], stored[name + "_scale_inv"] = codes, scale
        values[name] = fp8_values(codes, scale)
    return stored, values


def fp8_config(tensors: Tensors) -> dict[str, object]:
    """quantization_config as in Qwen's FP8 releases; lists every module that is not quantized."""
    kept = sorted(name.removesuffix(".weight") for name in tensors if name.endswith(".weight") and not in_fp8(name))
    return {
        "activation_scheme": "dynamic", "fmt": "e4m3", "modules_to_not_convert": kept,
        "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK],
    }


def fused(tensors: Tensors) -> Tensors:
    """Layout (c), also transformers' own in memory: [E, 2I, H], gate rows first, and [E, H, I].

    The names are those of transformers' modules too: `mlp.gate.weight` for every family.
    """
    out: Tensors = {}
    experts: dict[str, dict[tuple[int, str], torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if match := EXPERT.match(name):
            layer, expert, matrix = match.groups()
            experts.setdefault(layer, {})[int(expert), matrix] = tensor
        else:
            out[name.replace(".block_sparse_moe.", ".mlp.")] = tensor
    for layer, parts in experts.items():
        count = 1 + max(expert for expert, _ in parts)
        gate, up, down = next(names for names in GATE_UP_DOWN if (0, names[0]) in parts)
        out[f"{layer}mlp.experts.gate_up_proj"] = torch.stack(
            [torch.cat([parts[e, gate], parts[e, up]]) for e in range(count)])
        out[f"{layer}mlp.experts.down_proj"] = torch.stack([parts[e, down] for e in range(count)])
    return out


def transposed(tensors: Tensors) -> Tensors:
    """Layout (d): [E, H, 2I], gate columns first, and [E, I, H]."""
    return {
        name: tensor.transpose(1, 2).contiguous() if ".experts." in name else tensor
        for name, tensor in fused(tensors).items()
    }


def phi3(tensors: Tensors) -> Tensors:
    """Rows of q, k, v concatenated in one matrix and rows of gate, up in another, as Phi-3 stores them."""
    out = dict(tensors)
    for name in tensors:
        for first, others, whole in (("q_proj", ("q_proj", "k_proj", "v_proj"), "qkv_proj"),
                                     ("gate_proj", ("gate_proj", "up_proj"), "gate_up_proj")):
            if name.endswith(f".{first}.weight"):
                out[name.replace(first, whole)] = torch.cat([out.pop(name.replace(first, o)) for o in others])
    return out


def unheardof(tensors: Tensors) -> Tensors:
    """Adds tensors that no family has: one of one dimension, one of two, one of three."""
    ramp = torch.linspace(-1, 1, 480)
    extra = {"adapter.scale": ramp[:17], "adapter.lora_a": ramp[:384].view(8, 48), "adapter.mixer": ramp.view(3, 4, 40)}
    return tensors | {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in extra.items()}


LAYOUTS: dict[str, Callable[[Tensors], Tensors]] = {
    "": dict,
    "fused": fused,
    "transposed": transposed,
    "phi3": phi3,
    "unheardof": unheardof,
}
