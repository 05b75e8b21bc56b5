"""The rows of the table of a published model: what is made of it, how, and who runs it."""

from dataclasses import dataclass

CONTEXT, CHUNKS = 256, 2
HELD_OUT = [f"calibration/text/held-out/{name}.txt" for name in ("agents", "code", "languages")]
CALIBRATION = [f"calibration/text/calibration/{name}.txt" for name in ("agents", "code", "generated", "languages")]
# Contexts that each engine runs: mlx takes over a minute of a CPU for one.
CONTEXTS = {"llama": 3, "transformers": 3, "mlx": 1}
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


# llama.cpp's mixes with what its quantizer gives rows that are no multiple of 256: all but the down projections'. It
# does not raise values in IQ4_XS where fewer than four query heads share a key.
FALLBACK_Q3 = """\
  - {parts: [embedding, head], encoding: q8_0}
  - {parts: value, layers: first 2, encoding: q5_1}
  - {parts: [value, attention_output], encoding: q5_0}
  - {parts: down, layers: first 1/16, encoding: q5_k}
  - {parts: down, encoding: q4_k}
  - encoding: q4_0
"""
FALLBACK_IQ4 = """\
  - {parts: [embedding, head], encoding: q8_0}
  - {parts: down, layers: first 1/8, encoding: q5_k}
  - {parts: down, encoding: iq4_xs}
  - encoding: iq4_nl
"""

ROWS = [
    Row("Q4_1, as published", "gguf", engine="llama"),
    Row("F16", "safetensors", "f16", engine="transformers"),
    recipe("q3_k_m", "gguf", "q3_k_m.gguf", "llama"),
    Row("q3_k_m with llama.cpp's fallbacks", "gguf", "q3.gguf", ("quantize", "--recipe", "RECIPE", "--format", "gguf"),
        FALLBACK_Q3, engine="llama"),
    Row("Q3_K_M by llama-quantize", "gguf", "theirs-q3.gguf", maker=("llama-quantize", "Q3_K_M"), engine="llama"),
    recipe("iq4_xs", "gguf", "iq4_xs.gguf", "llama"),
    Row("iq4_xs with llama.cpp's fallbacks", "gguf", "iq4.gguf", ("quantize", "--recipe", "RECIPE", "--format", "gguf"),
        FALLBACK_IQ4, engine="llama"),
    Row("IQ4_XS by llama-quantize", "gguf", "theirs-iq4.gguf", maker=("llama-quantize", "IQ4_XS"), engine="llama"),
    recipe("mlx-4bit", "mlx", "mlx-4bit", "mlx"),
    Row("int3, round to nearest", "ingot", "rtn.ingot", ("quantize", "--recipe", "RECIPE"),
        "  - {encoding: int3 g64 zero f16, quantizer: round-to-nearest}\n"),
    recipe("int3", "ingot", "int3.ingot"),
    Row("int3, calibrated", "ingot", "calibrated.ingot", ("quantize", "--recipe", "int3", "--importance", "CALIB")),
]

# Rows that ingot refuses today: words of its message, and why.
KNOWN = {
    "q3_k_m": ("expected a tensor that q3_k fits", "rows of 576 weights are no multiple of Q3_K's 256"),
    "iq4_xs": ("expected a tensor that iq4_xs fits", "rows of 576 weights are no multiple of IQ4_XS's 256"),
}
