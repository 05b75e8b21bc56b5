"""How the tensors of a case are stored: number types, and the layouts of fused weights.

Every function takes tensors under the names that transformers' save_pretrained gives them.
"""

import re
from collections.abc import Callable

import torch

from ingot_tools.reference.family_base import Tensors

EXPERT = re.compile(r"(.*\.)(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight$")
GATE_UP_DOWN = (("gate_proj", "up_proj", "down_proj"), ("w1", "w3", "w2"))


def rounded(tensors: Tensors, dtype: str, keep_float32: str) -> Tensors:
    """In the type of the file; names that match `keep_float32` stay F32."""
    target = getattr(torch, dtype)
    return {
        name: tensor if keep_float32 and re.search(keep_float32, name) else tensor.to(target)
        for name, tensor in tensors.items()
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


def prefixed(prefix: str, *others: str) -> Callable[[Tensors], Tensors]:
    """The language model's tensors as a part; names that begin with one of `others` are another part."""
    return lambda tensors: {
        name if name.startswith(others) else prefix + name: tensor for name, tensor in tensors.items()}


def as_part(tensors: Tensors) -> Tensors:
    """The language model's tensors, but its head, as a part, with transformers 5's prefix; vision as it is."""
    return {re.sub(r"^model\.(?!vision|embed_vision)", "model.language_model.", name): tensor
            for name, tensor in tensors.items()}


def qwen3_5(tensors: Tensors) -> Tensors:
    """The language model as a part and its experts fused; those of the block for later tokens are not."""
    rest = {name: tensor for name, tensor in tensors.items() if name.startswith(("mtp.", "model.visual."))}
    return rest | as_part(fused({name: tensor for name, tensor in tensors.items() if name not in rest}))


def minimax_text_01(tensors: Tensors) -> Tensors:
    """Without the decays, which follow from the config."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(("_decay", "slope_rate"))}


def minimax_m3(tensors: Tensors) -> Tensors:
    """As released: a part, an expert at a time, and gate and up apart; scales go with their matrices."""
    out: Tensors = {}
    for name, tensor in tensors.items():
        name = re.sub(r"\.indexer\.(\w)_(proj|norm)\.", r".index_\1_\2.", name)
        name = re.sub(r"\.mlp\.gate\.e_score", ".block_sparse_moe.e_score", name)
        name = re.sub(r"\.mlp\.(experts|gate|shared_experts)\.", r".block_sparse_moe.\1.", name)
        if match := re.fullmatch(r"(.*\.experts)\.(gate_up|down)_proj(_scale_inv)?", name):
            experts, kind, scale = match[1], match[2], match[3] or ""
            for number, expert in enumerate(tensor):
                halves = expert.chunk(2) if kind == "gate_up" else (expert,)
                for letter, matrix in zip(("w1", "w3") if kind == "gate_up" else ("w2",), halves, strict=True):
                    out[f"{experts}.{number}.{letter}.weight{scale}"] = matrix.contiguous()
        elif ".gate_up_proj." in name:
            for part, matrix in zip(("gate_proj", "up_proj"), tensor.chunk(2), strict=True):
                out[name.replace("gate_up_proj", part)] = matrix.contiguous()
        else:
            out[name] = tensor
    return prefixed("language_model.", "vision_tower.", "multi_modal_projector.")(out)


LAYOUTS: dict[str, Callable[[Tensors], Tensors]] = {
    "": dict,
    "fused": fused,
    "transposed": transposed,
    "phi3": phi3,
    "unheardof": unheardof,
    "qwen3_5": qwen3_5,
    "minimax_text_01": minimax_text_01,
    "minimax_m3": minimax_m3,
    "gemma4": as_part,
    "gemma3": prefixed("language_model.", "vision_tower.", "multi_modal_projector."),
    "llama4": prefixed("language_model.", "vision_model.", "multi_modal_projector."),
    "kimi_k25": prefixed("language_model.", "vision_tower.", "mm_projector."),
}
