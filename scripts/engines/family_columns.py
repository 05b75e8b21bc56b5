"""What the tables of the families hold: columns, cases, and what engines do not do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """Artifacts of one kind, and the engine that runs them."""
    name: str
    container: str
    # A runner: the module run_ENGINE.
    engine: str
    # Ingot makes it: arguments before the source's path and after it, or rules of a recipe.
    arguments: tuple = ()
    rules: str = ""
    # Another tool makes it: a maker of foreign.py and its setting.
    maker: str = ""
    setting: str = ""
    # Weights in a row must be a multiple.
    group: int = 1
    # What the engine rounds decoded weights to: our forward pass is then of weights rounded so too. transformers
    # unpacks experts to the type of their scales, other layers to that of the model.
    rounds_to: str = ""


def linear(encoding):
    """A recipe of linear layers alone: what engines cannot hold packed elsewhere is not asked of them."""
    return f"  - {{parts: [attention, experts, mlp], encoding: {encoding}}}\n"


DENSE = ("convert", "--decode", "f32")

OWN = [
    Column("gguf f32", "gguf", "llama", DENSE),
    Column("gguf q8_0", "gguf", "llama", ("quantize", "--recipe", "q8_0"), group=32),
    Column("mlx f32", "mlx", "mlx", DENSE),
    Column("mlx int4 g32", "mlx", "mlx", rules=linear("int4 g32 bias bf16"), group=32),
    Column("safetensors f32", "safetensors", "transformers", DENSE),
    Column("W4A16 g32", "compressed-tensors", "transformers", rules=linear("int4 g32 sym bf16"), group=32,
           rounds_to="bf16 experts"),
    Column("gptq g32", "gptq", "gptq", rules=linear("int4 g32 sym f16"), group=32, rounds_to="f16"),
    Column("awq g32", "awq", "gptq", rules=linear("int4 g32 zero f16"), group=32, rounds_to="f16"),
]

FOREIGN = [
    Column("llama-quantize Q8_0", "gguf", "llama", maker="llama-quantize", setting="Q8_0"),
    Column("llama-quantize Q4_0", "gguf", "llama", maker="llama-quantize", setting="Q4_0"),
    Column("mlx_lm.convert 4 g32", "mlx", "mlx", maker="mlx_lm.convert", setting="affine 4 g32"),
    Column("compressed-tensors W4A16 g32", "compressed-tensors", "transformers", maker="compressed-tensors",
           setting="W4A16 g32", group=32, rounds_to="bf16 experts"),
    Column("GPTQModel gptq g32", "gptq", "gptq", maker="GPTQModel", setting="gptq g32", group=32, rounds_to="f16"),
    Column("GPTQModel gptq_v2 g32", "gptq", "gptq", maker="GPTQModel", setting="gptq_v2 g32", group=32,
           rounds_to="f16"),
    Column("GPTQModel awq g32", "awq", "gptq", maker="GPTQModel", setting="awq g32", group=32, rounds_to="f16"),
]

# One of each family whose rows every encoding fits.
ONE_EACH = ["llama-plain", "mistral-window", "qwen2-tied", "qwen3-tied", "mixtral-plain", "qwen3_moe-norm",
            "minimax_m2-plain", "gemma2-even", "gemma3-even"]
# Families that engines' containers have a place for, and those that only llama.cpp's has.
FAMILIES = {case.split("-")[0] for case in ONE_EACH}
ONE_EACH_GGUF = ["deepseek_v3-even", "deepseek_v2-even", "kimi_k2-plain", "glm4_moe_lite-even", "glm4_moe-even",
                 "gpt_oss-even", "olmoe-even", "granitemoe-even", "qwen2_moe-even", "qwen3_next-even", "qwen3_5-even",
                 "qwen3_5_moe-even"]
GGUF_FAMILIES = {case.split("-")[0] for case in ONE_EACH_GGUF} | {"kimi_k25"}
# Families whose windows llama.cpp has.
WINDOWED = {"gemma2", "gemma3", "gpt_oss"}
# A second one of each for other tools: biases, windows, odd rows.
FOREIGN_CASES = [*ONE_EACH, "llama-bias", "mistral-full", "qwen2-window", "qwen3-mixed-yarn", "mixtral-window",
                 "qwen3_moe-fp8", "minimax_m2-bf16"]

SCORES = ("expected scores times", "llama.cpp divides scores by the root of head_dim in gemma")
# What an engine's class of a family does not do: words of the failure, and the reason. The artifact is refused, or is
# right for other engines only.
GAPS = {
    ("gguf", "deepseek_v3-lite"): ("rms_norm_eps", "llama.cpp takes rms_norm_eps for the norms of latents"),
    ("gguf", "deepseek_v2-groups"): ("topk_method", "llama.cpp has no groups that count by their best expert alone"),
    ("gguf", "kimi_k2-plain"): ("KLD", "llama.cpp's deepseek2 takes beta_fast 32 whatever the file says"),
    ("gguf", "kimi_k2-int4"): ("KLD", "llama.cpp's deepseek2 takes beta_fast 32 whatever the file says"),
    ("gguf", "kimi_k25-int4"): ("KLD", "llama.cpp's deepseek2 takes beta_fast 32 whatever the file says"),
    ("gguf", "gpt_oss-plain"): ("swiglu_limit", "llama.cpp has gpt-oss's limit of 7 fixed"),
    ("gguf", "gpt_oss-mxfp4"): ("KLD", "llama.cpp rounds the bounds of YaRN's ramp, gpt-oss does not"),
    ("gguf", "qwen3_moe-raw"): ("norm_topk_prob", "llama.cpp always normalizes the router's weights"),
    ("gguf", "qwen3_moe-step"): ("layer 0 has mlp", "llama.cpp has no dense layers in qwen3moe"),
    ("gguf", "qwen3-mixed-yarn"): ("expected no query_bias", "llama.cpp has no attention biases in qwen3"),
    ("mlx", "qwen3-mixed-yarn"): ("self_attn.k_proj.bias", "mlx-lm has no attention biases in qwen3"),
    ("mlx", "qwen3_moe-step"): ("self_attn.k_proj.bias", "mlx-lm has no attention biases in qwen3_moe"),
    ("mlx", "qwen2-window"): ("KLD", "mlx-lm has no window in qwen2"),
    ("mlx", "mistral-window"): ("KLD", "mlx-lm has no window in all layers"),
    ("gguf", "gemma2-capped"): SCORES,
    ("gguf", "gemma3-nested"): SCORES,
    ("gguf", "gemma3-text"): SCORES,
    ("gguf", "olmoe-norm"): ("leaves the weights as they are", "llama.cpp never normalizes the router's weights in olmoe"),
    ("safetensors", "gemma3-nested"): ("missing_keys", "the case has a piece of a vision model only"),
    **{("mlx", case): ("takes as they are", "not written yet") for case in (
        "gemma2-capped", "gemma2-even", "gemma3-even", "gemma3-nested", "gemma3-text")},
    ("gguf", "qwen2_moe-norm"): ("leaves the weights as they are",
                                 "llama.cpp never normalizes the router's weights in qwen2moe"),
    ("gguf", "qwen3_next-long"): ("divides the weights", "llama.cpp always normalizes the router's weights"),
    **{("gguf", case): ("values as wide as keys", "llama.cpp has keys as wide as values in gated DeltaNets") for case in (
        "qwen3_next-norm", "qwen3_5-dense", "qwen3_5_moe-fused")},
    ("mlx", "mixtral-window"): ("Expected shape (60, 60)", "mlx-lm takes head_dim from the hidden size in mixtral"),
}
