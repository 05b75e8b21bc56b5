"""Which tiny checkpoints families.py makes: the table of families, and of their functions in family_cases_*.py.

A family added later is one function in one of those files and one line in FAMILIES. What a case needs
from it: the arguments of transformers' config class, and the sizes. The rest has defaults.
"""

from collections.abc import Callable

from ingot_tools.reference.family_base import Case, Sizes, common
from ingot_tools.reference.family_cases_gemma import gemma2, gemma3, gemma4
from ingot_tools.reference.family_cases_gqa import llama, minimax_m2, mistral, mixtral, qwen2, qwen3, qwen3_moe, smollm3
from ingot_tools.reference.family_cases_hybrid import minimax, qwen3_5, qwen3_next
from ingot_tools.reference.family_cases_mla import deepseek_v2, deepseek_v3, glm4_moe_lite, kimi_k2
from ingot_tools.reference.family_cases_moe import glm4_moe, gpt_oss, granitemoe, llama4, olmoe, phimoe, qwen2_moe
from ingot_tools.reference.family_cases_sparse import deepseek_v32, glm_moe_dsa, minimax_m3


def unknown(sizes: Sizes) -> list[Case]:
    s = sizes.of("unheardof", hidden=48)
    return [Case("unheardof", "llama", s, common(s), dtype="bfloat16", layout="unheardof", golden=False,
                 written_type="unheardof")]


FAMILIES: dict[str, Callable[[Sizes], list[Case]]] = {
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "mixtral": mixtral,
    "qwen3_moe": qwen3_moe,
    "minimax_m2": minimax_m2,
    "deepseek_v3": deepseek_v3,
    "deepseek_v2": deepseek_v2,
    "kimi_k2": kimi_k2,
    "glm4_moe": glm4_moe,
    "glm4_moe_lite": glm4_moe_lite,
    "gpt_oss": gpt_oss,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "qwen2_moe": qwen2_moe,
    "olmoe": olmoe,
    "phimoe": phimoe,
    "granitemoe": granitemoe,
    "qwen3_next": qwen3_next,
    "qwen3_5": qwen3_5,
    "minimax": minimax,
    "deepseek_v32": deepseek_v32,
    "glm_moe_dsa": glm_moe_dsa,
    "minimax_m3": minimax_m3,
    "gemma4": gemma4,
    "llama4": llama4,
    "smollm3": smollm3,
    "unknown": unknown,
}


def all_cases(seed: int, scale: float) -> list[Case]:
    """Every case of every family, names unique."""
    sizes = Sizes(seed, scale)
    cases = [case for family in FAMILIES.values() for case in family(sizes)]
    assert len({case.name for case in cases}) == len(cases)
    return cases
