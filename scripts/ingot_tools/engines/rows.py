"""The rows of the table: containers, encodings, how an artifact of each is made, and who is to load it."""

from dataclasses import dataclass, field


@dataclass
class Row:
    container: str
    # What the row is called: a recipe's name, or an encoding.
    encoding: str
    # Arguments after `ingot VERB SOURCE`; RECIPE stands for a file with `rules`, PLAN for one with `plan`.
    verb: str
    arguments: list
    engines: list
    rules: str = ""
    # Encodings of embedding and head, and of everything else, in a plan that leaves experts out.
    plan: tuple = ()
    # Recipe that `ingot recipes` must list, or none.
    recipe: str = ""
    notes: list = field(default_factory=list)


@dataclass
class Engine:
    runner: str
    options: list = field(default_factory=list)
    # Largest mean KL divergence, least share of equal top tokens.
    kld: float = 1e-4
    same_top: float = 0.995
    # A divergence of generated tokens is a near tie when the reference's best logit is no more above.
    tie: float = 1e-3
    # Contexts in the short form; 0: all.
    short: int = 0
    # What the engine rounds weights to before it computes: our forward pass is then of weights rounded so too.
    rounds_to: str = ""

    def __hash__(self):
        return hash((self.runner, *self.options))


TRANSFORMERS = Engine("run_transformers.py")
# The compressed-tensors library unpacks to BF16, GPTQModel to F16: products of code and scale, rounded.
PACKED = Engine("run_transformers.py", rounds_to="bf16")
GPTQ = Engine("run_gptq.py", rounds_to="f16")
# Its products of packed weights take over a second of a CPU for each context.
MLX = Engine("run_mlx.py", short=2)
# What an artifact means to llama.cpp is seen where it decodes the blocks to F32 itself. As users run it, it also rounds
# activations to 8 bits before it multiplies: no difference in the artifact, so that row only shows that it runs.
LLAMA = [
    Engine("run_llama.py", ["--decode"]),
    Engine("run_llama.py", kld=0.05, same_top=0.9, tie=float("inf")),
]


def recipe(container, name, engines):
    return Row(container, name, "quantize", ["--recipe", name], engines, recipe=name)


def custom(container, name, rules, engines):
    """A recipe of one's own: rules as lines of YAML."""
    return Row(container, name, "quantize", ["--recipe", "RECIPE", "--format", container], engines, rules=rules)


def dense(container, name, engines):
    return Row(container, name, "convert", ["--decode", name, "--format", container], engines)


def fewer(container, encoding, engines, apart=""):
    """An artifact that lacks experts, others in each layer."""
    return Row(container, f"{encoding}, fewer experts", "quantize", ["--plan", "PLAN"], engines,
               plan=(apart or encoding, encoding))


def everything(encoding, apart=""):
    return (f"  - {{parts: [embedding, head], encoding: {apart}}}\n" if apart else "") \
        + f"  - encoding: {encoding}\n"


ROWS = [
    *[dense("safetensors", name, [TRANSFORMERS]) for name in ("f32", "bf16", "f16")],
    *[recipe("compressed-tensors", name, [PACKED])
      for name in ("w4a16", "w4a16-g64", "w8a16", "mxfp4", "nvfp4")],
    *[custom("compressed-tensors", f"W{bits}A16 g{group}", everything(f"int{bits} g{group} sym bf16", "bf16"),
             [PACKED]) for bits, group in ((3, 128), (3, 64), (3, 32), (4, 32), (8, 64), (8, 32))],
    *[recipe("gptq", name, [GPTQ]) for name in ("gptq-4bit",)],
    *[recipe("awq", name, [GPTQ]) for name in ("awq-4bit",)],
    *[recipe("mlx", name, [MLX]) for name in ("mlx-4bit", "mlx-8bit", "mlx-mxfp4")],
    *[custom("mlx", f"affine {bits} g{group}", everything(f"int{bits} g{group} bias bf16"), [MLX])
      for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)],
    *[custom("mlx", name, everything(encoding), [MLX])
      for name, encoding in (("mxfp8", "mx-fp8"), ("nvfp4", "nv-fp4"))],
    dense("mlx", "bf16", [MLX]),
    *[dense("gguf", name, LLAMA) for name in ("f32", "bf16", "f16")],
    *[recipe("gguf", name, LLAMA)
      for name in ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_k_s", "q3_k_m", "q2_k", "iq4_xs", "mxfp4_moe",
                   "q4_k_moe", "q3_k_moe", "q4_k_pure", "q3_k_pure", "q4_0_pure")],
    *[fewer("safetensors", "bf16", [TRANSFORMERS]), fewer("compressed-tensors", "int4 g128 sym bf16", [PACKED], "bf16"),
      fewer("gptq", "int4 g128 sym f16", [GPTQ], "f16"), fewer("awq", "int4 g128 zero f16", [GPTQ], "f16"),
      fewer("mlx", "int4 g64 bias bf16", [MLX]), fewer("gguf", "q8_0", LLAMA)],
    *[custom("gguf", name, everything(name), LLAMA)
      for name in ("q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "iq4_nl", "iq4_xs", "mxfp4")],
]
# Those of a container together, so that its engine starts once.
_CONTAINERS = list(dict.fromkeys(row.container for row in ROWS))
ROWS.sort(key=lambda row: _CONTAINERS.index(row.container))

# Artifacts that other tools make of the embedded model: maker in foreign.py, its setting, who runs it.
FOREIGN = [
    *[("gguf", "llama-quantize", name, LLAMA[0])
      for name in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_M", "Q2_K", "IQ4_XS", "IQ4_NL", "Q4_0",
                   "Q4_1", "Q5_0", "Q5_1", "MXFP4_MOE", "BF16", "F16")],
    *[("mlx", "mlx_lm.convert", name, MLX)
      for name in ("affine 2 g64", "affine 3 g64", "affine 4 g32", "affine 4 g64", "affine 4 g128",
                   "affine 5 g64", "affine 6 g64", "affine 8 g64", "mxfp4 4 g32", "mxfp8 8 g32",
                   "nvfp4 4 g16")],
    *[("compressed-tensors", "compressed-tensors", name, PACKED)
      for name in ("W4A16", "W8A16", "W3A16", "MXFP4A16", "NVFP4A16")],
    *[("gptq", "GPTQModel", name, GPTQ) for name in ("gptq", "gptq_v2")],
    *[("awq", "GPTQModel", name, GPTQ) for name in ("awq",)],
]
