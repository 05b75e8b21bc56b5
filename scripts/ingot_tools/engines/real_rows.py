"""The rows of the table of a published model: what is made of it, how, and who runs it."""

from dataclasses import dataclass, field

HELD_OUT = [f"calibration/text/held-out/{name}.txt" for name in ("agents", "code", "languages")]
CALIBRATION = [f"calibration/text/calibration/{name}.txt" for name in ("agents", "code", "generated", "languages")]
ENGINES = {"llama": "llama.cpp", "transformers": "transformers", "mlx": "mlx-lm", "": "–"}


@dataclass(frozen=True)
class Row:
    name: str
    container: str
    # The artifact's name; none for the model itself.
    file: str = ""
    # Arguments of ingot around the model's path; RECIPE stands for a file of the rules, CALIB for the calibration.
    arguments: tuple = ()
    rules: str = ""
    # A maker of foreign.py and its setting, where another tool makes it.
    maker: tuple = ()
    # A runner run_ENGINE.py.
    engine: str = ""

    def runs_in(self):
        return ENGINES[self.engine]


def recipe(name, container, file, engine=""):
    return Row(name, container, file, ("quantize", "--recipe", name), engine=engine)


COMMON = [
    Row("F16", "safetensors", "f16", engine="transformers"),
    recipe("q3_k_m", "gguf", "q3_k_m.gguf", "llama"),
    Row("Q3_K_M by llama-quantize", "gguf", "theirs-q3.gguf", maker=("llama-quantize", "Q3_K_M"), engine="llama"),
    recipe("iq4_xs", "gguf", "iq4_xs.gguf", "llama"),
    Row("IQ4_XS by llama-quantize", "gguf", "theirs-iq4.gguf", maker=("llama-quantize", "IQ4_XS"), engine="llama"),
    Row("int3, round to nearest", "ingot", "rtn.ingot", ("quantize", "--recipe", "RECIPE"),
        "  - {encoding: int3 g64 zero f16, quantizer: round-to-nearest}\n"),
    recipe("int3", "ingot", "int3.ingot"),
    Row("int3, calibrated", "ingot", "calibrated.ingot", ("quantize", "--recipe", "int3", "--importance", "CALIB")),
]


@dataclass(frozen=True)
class Published:
    """A published model and what is made of it."""
    # What scripts/tools real-models calls it, and the page of its results in docs/results.
    name: str
    page: str
    rows: tuple
    # Tokens of a context, and contexts of a text.
    context: int = 256
    chunks: int = 2
    # Contexts that each engine runs: mlx takes over a minute of a CPU for one.
    contexts: dict = field(default_factory=lambda: {"llama": 3, "transformers": 3, "mlx": 1})


MODELS = [
    Published("smollm2", "smollm2.md", (
        Row("Q4_1, as published", "gguf", engine="llama"), *COMMON[:5], recipe("mlx-4bit", "mlx", "mlx-4bit", "mlx"),
        *COMMON[5:])),
    # Its vocabulary of 262,144 tokens makes logits large.
    Published("gemma3-270m", "gemma3-270m.md", (
        Row("Q4_K_M, as published", "gguf", engine="llama"), *COMMON[:5], recipe("mlx-4bit", "mlx", "mlx-4bit", "mlx"),
        *COMMON[5:]), context=128, contexts={"llama": 3, "transformers": 1, "mlx": 1}),
]
