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

    def holds(self, case):
        """Whether the container has a place for the case's family."""
        family = case.split("-")[0]
        return family in FAMILIES or family in MORE.get(self.container, ())


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
                 "qwen3_5_moe-even", "deepseek_v32-even", "glm_moe_dsa-even", "minimax_m3-mxfp8", "minimax-even",
                 "llama4-even", "gemma4-even"]
# Of phimoe the cell says what llama.cpp has otherwise.
GGUF_FAMILIES = {case.split("-")[0] for case in ONE_EACH_GGUF} | {"kimi_k25", "phimoe"}
# Families whose windows llama.cpp has.
WINDOWED = {"gemma2", "gemma3", "gemma4", "gpt_oss"}
# Families that only these containers have a place for, or whose engine's class computes what a family does.
MORE = {
    "gguf": GGUF_FAMILIES,
    "mlx": {"deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "kimi_k25", "glm4_moe", "glm4_moe_lite",
            "glm_moe_dsa", "gpt_oss", "qwen2_moe", "olmoe", "granitemoe", "qwen3_next", "qwen3_5", "qwen3_5_moe",
            "gemma2", "gemma3", "minimax_m3", "smollm3"},
    "safetensors": {"gpt_oss", "granitemoe", "smollm3"},
    "compressed-tensors": {"smollm3"},
    "gptq": {"smollm3"},
    "awq": {"smollm3"},
}
# --short: one case of each of those in one column.
SHORT = [*(("gguf q8_0", case) for case in ONE_EACH_GGUF), ("mlx int4 g32", "deepseek_v3-even"), ("mlx int4 g32", "qwen3_next-even"), ("mlx f32", "kimi_k25-int4"),
         ("mlx f32", "gpt_oss-mxfp4"), ("mlx f32", "qwen3_5_moe-fused"),
         ("mlx int4 g32", "smollm3-plain"), ("safetensors f32", "gpt_oss-plain"), ("safetensors f32", "granitemoe-tied")]
# What other converters make of those.
FOREIGN_MORE = [*ONE_EACH_GGUF, "deepseek_v2-groups", "deepseek_v32-plain", "glm4_moe-norm", "gpt_oss-mxfp4",
                "qwen2_moe-norm", "qwen3_5-dense",
                "qwen3_5_moe-fused", "minimax_m3-plain"]
SHORT_FOREIGN = [("mlx_lm.convert 4 g32", case) for case in ("deepseek_v3-even", "gpt_oss-mxfp4", "qwen3_5_moe-fused")]
# A second one of each for other tools: biases, windows, odd rows.
FOREIGN_CASES = [*ONE_EACH, "llama-bias", "mistral-full", "qwen2-window", "qwen3-mixed-yarn", "mixtral-window",
                 "qwen3_moe-fp8", "minimax_m2-bf16"]

INDEXER = ("index_head_dim", "llama.cpp turns queries and keys of an indexer by matrices of 64 rows")
CHUNKS = ("attention_chunk_size", "llama.cpp has llama4's chunks of 8192 and its temperature fixed")
NORMS = ("residuals times", "llama.cpp has no factor on what blocks give in minimax-01")
MIXER = ("sparsemixer", "llama.cpp's phimoe takes RMSNorms for LayerNorms and softmax for sparsemixer")
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
    ("mlx", "qwen2_moe-norm"): ("parameters not in model", "mlx-lm has no dense layers in qwen2_moe"),
    ("mlx", "glm_moe_dsa-shared"): ("indexer_types", "mlx-lm has an indexer in every layer of glm_moe_dsa"),
    ("mlx", "glm_moe_dsa-even"): ("", "mlx-lm has an indexer in every layer of glm_moe_dsa"),
    ("mlx", "deepseek_v3-mtp"): ("rope_interleave", "mlx-lm rotates latent attention in interleaved pairs alone"),
    ("mlx", "gemma2-capped"): ("KLD", "mlx-lm has no window in gemma2"),
    ("mlx", "gemma2-even"): ("KLD", "mlx-lm has no window in gemma2"),
    ("mlx", "gpt_oss-mxfp4"): ("KLD", "mlx-lm rounds the ends of YaRN's ramp in gpt_oss, whatever the config says"),
    ("mlx", "gpt_oss-plain"): ("KLD", "mlx-lm rounds the ends of YaRN's ramp in gpt_oss, whatever the config says"),
    **{("mlx", case): ("relative error", "mlx-lm keeps norms of 1 + w as sums in BF16") for case in (
        "qwen3_next-norm", "qwen3_next-long", "qwen3_next-even", "qwen3_5-dense", "qwen3_5-even", "qwen3_5_moe-fused",
        "qwen3_5_moe-even")},
    ("mlx", "gpt_oss-even"): ("parameters not in model", "mlx-lm does not load what its converter makes of gpt_oss in BF16"),
    ("mlx", "qwen2-window"): ("KLD", "mlx-lm has no window in qwen2"),
    ("mlx", "mistral-window"): ("KLD", "mlx-lm has no window in all layers"),
    **{("gguf", case): INDEXER for case in (
        "deepseek_v32-plain", "deepseek_v32-fp8", "glm_moe_dsa-full", "glm_moe_dsa-shared")},
    ("gguf", "minimax_m3-plain"): ("swiglu_limit", "llama.cpp has MiniMax-M3's limit of 7 fixed"),
    ("gguf", "minimax-plain"): NORMS,
    ("gguf", "minimax-text01"): NORMS,
    ("gguf", "llama4-scout"): CHUNKS,
    ("gguf", "llama4-maverick"): CHUNKS,
    ("gguf", "phimoe-plain"): MIXER,
    ("gguf", "phimoe-longrope"): MIXER,
    ("gguf", "gemma2-capped"): SCORES,
    ("gguf", "gemma3-nested"): SCORES,
    ("gguf", "gemma3-text"): SCORES,
    ("gguf", "olmoe-norm"): ("heads of keys", "llama.cpp has as many heads of keys as of queries in olmoe"),
    ("gguf", "qwen2_moe-norm"): ("leaves the weights as they are",
                                 "llama.cpp never normalizes the router's weights in qwen2moe"),
    ("gguf", "qwen3_next-long"): ("divides the weights", "llama.cpp always normalizes the router's weights"),
    **{("gguf", case): ("values as wide as keys", "llama.cpp has keys as wide as values in gated DeltaNets") for case in (
        "qwen3_next-norm", "qwen3_5-dense", "qwen3_5_moe-fused")},
    **{(container, case): ("read as stacks", "engines read Granite's experts as stacks, which hold no packed codes")
       for container in ("compressed-tensors", "gptq", "awq")
       for case in ("granitemoe-even", "granitemoe-tied", "granitemoe-untied")},
    ("mlx", "mixtral-window"): ("Expected shape (60, 60)", "mlx-lm takes head_dim from the hidden size in mixtral"),
}
