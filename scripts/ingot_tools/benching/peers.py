"""The same conversions by other tools, in turns with ours."""

import os

from .report import PeerFailed, peer, shown, spread
from .running import INGOT, ROOT, Run, quantize, remove, say

MLX = "mlx_lm.convert's time / ingot's, affine 4 bits g64"
LLAMA = "llama.cpp FP8 → BF16 GGUF → Q4_K_M's time / ingot's"
LLAMA_CPU = "llama-quantize's CPU s / ingot's, Q4_K whole tensors"
WANTED = {MLX: 15, LLAMA: 8, LLAMA_CPU: 8}

# llama.cpp's converter knows tokenizers by hash, and the synthetic model's is none of them.
CONVERT = """
import os, runpy, sys
folder = sys.argv[1]
sys.path[:0] = [folder, os.path.join(folder, "gguf-py")]
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: "minimax-m2"
sys.argv = [os.path.join(folder, "convert_hf_to_gguf.py"), *sys.argv[2:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

COMPRESS = """
import os, sys
from compressed_tensors.entrypoints.convert import FP8BlockDequantizer
from llmcompressor import model_free_ptq
model_free_ptq(
    sys.argv[1], sys.argv[2], scheme="W4A16", max_workers=os.cpu_count(), device="cpu",
    ignore=["re:.*block_sparse_moe.gate$", "lm_head", "re:.*embed_tokens$", "re:.*norm$"],
    converter=FP8BlockDequantizer(targets=["re:.*_proj$", "re:.*w[123]$"]))
"""

LLAMA_QUANTIZE = """
import sys
sys.path.insert(0, sys.argv[1])
import llama_cpp
from ingot_tools.engines import run_llama
run_llama.quantize(sys.argv[2], sys.argv[3], getattr(llama_cpp, sys.argv[4]), threads=int(sys.argv[5]), pure=sys.argv[6] == "pure")
"""


class Peers:
    """python: with mlx-lm and llama-cpp-python; llama: a checkout of llama.cpp with a python that runs its converter;
    compressor: a python with llmcompressor. Each may be None."""

    def __init__(self, report, source, work, rounds, python, llama, compressor):
        self.report, self.source, self.work, self.rounds = report, source, work, rounds
        self.python, self.llama, self.compressor = python, llama, compressor
        self.rows = []

    def compare(self, name, theirs, ours, *figures):
        """theirs and ours give walls, processor seconds and peak memories. What theirs fails with costs its row."""
        pairs = []
        try:
            for _ in range(self.rounds):
                with peer():
                    their = theirs()
                pairs.append((their, ours()))
        except PeerFailed as error:
            say(f"{name}: failed: {error}")
            self.report.text(f"{name}: failed: {error}")
            for figure in figures:
                self.report.figure(figure, f"≥ {WANTED[figure]}×", None)
            return
        wall, cpu = (spread(a[k] / b[k] for a, b in pairs) for k in (0, 1))
        say(f"{name}: {shown(wall, 1)} times as long")
        self.rows.append(
            (name, shown(wall, 1), shown(cpu, 1), shown(spread(a[0] for a, _ in pairs), 1),
             shown(spread(b[0] for _, b in pairs), 1), f"{max(a[2] for a, _ in pairs) / 1e9:.1f}",
             f"{max(b[2] for _, b in pairs) / 1e9:.2f}"))
        for figure in figures:
            value = cpu if figure == LLAMA_CPU else wall
            self.report.figure(figure, f"≥ {WANTED[figure]}×", shown(value, 1) + "×", value[0] >= WANTED[figure])

    def script(self, python, code, *arguments):
        """Wall, processor seconds and peak memory of a piece of Python. python may have arguments of its own."""
        return figures(Run([*python.split(), "-c", code, *arguments]))

    def ours(self, recipe, *options):
        def run():
            result, _, target = quantize(self.source, recipe, self.work, "--no-source-hash", *options)
            remove(target)
            return figures(result)
        return run

    def mlx(self):
        target = os.path.join(self.work, "mlx")
        remove(target)
        run = Run([self.python, "-m", "mlx_lm", "convert", "--hf-path", self.source, "--mlx-path", target, "-q",
                   "--q-bits", "4", "--q-group-size", "64"])
        remove(target)
        return figures(run)

    @property
    def bf16(self):
        return os.path.join(self.work, "bf16.gguf")

    def llama_convert(self):
        remove(self.bf16)
        if self.llama is None:
            return figures(Run(
                [INGOT, "convert", self.source, "--decode", "bf16", "--format", "gguf", "-o", self.bf16, "--no-source-hash"]))
        folder, python = self.llama
        return self.script(python, CONVERT, folder, self.source, "--outtype", "bf16", "--outfile", self.bf16)

    def llama_quantize(self, kind, pure):
        target = os.path.join(self.work, "llama.gguf")
        remove(target)
        run = self.script(
            self.python, LLAMA_QUANTIZE, os.path.join(ROOT, "scripts"), self.bf16, target,
            "LLAMA_FTYPE_MOSTLY_" + kind, str(os.cpu_count()), "pure" if pure else "mix")
        remove(target)
        return run

    def compress(self):
        target = os.path.join(self.work, "compressed")
        remove(target)
        run = self.script(self.compressor, COMPRESS, self.source, target)
        remove(target)
        return run

    def measure(self):
        self.report.heading("Other tools")
        with self.report.part("Other tools"):
            self.compare_all()
        remove(self.bf16)
        if self.rows:
            self.report.lines.append("")
            self.report.table(
                ["tool", "its time / ingot's", "its CPU / ingot's", "its wall s", "ingot's wall s", "its peak GB",
                 "ingot's peak GB"], self.rows)
        if self.llama is None:
            self.report.text(
                "The BF16 GGUF is made by `ingot convert --decode bf16`, whose time stands for that of llama.cpp's converter: "
                "--llama-cpp was not given.")
        if self.compressor is None:
            self.report.text("llm-compressor not measured: --llm-compressor names a Python that has it.")

    def compare_all(self):
        if self.python is None:
            self.report.text("MLX and llama.cpp not measured: --engines names a Python with mlx-lm and llama-cpp-python.")
            for figure, wanted in WANTED.items():
                self.report.figure(figure, f"≥ {wanted}×", None)
        else:
            self.compare("mlx_lm.convert, affine 4 bits g64", self.mlx, self.ours("mlx rtn"), MLX)
            self.compare("the same, codes equal to its own (--match-mlx)", self.mlx, self.ours("mlx-4bit", "--match-mlx"))
            name = "convert_hf_to_gguf" if self.llama else "ingot's BF16 GGUF"
            self.compare(
                f"{name}, then llama.cpp's quantize, Q4_K_M",
                lambda: both(self.llama_convert(), self.llama_quantize("Q4_K_M", False)), self.ours("q4_k_m"), LLAMA)
            self.compare(
                "llama.cpp's quantize from BF16, Q4_K pure", lambda: self.llama_quantize("Q4_K_S", True),
                self.ours("q4_k_pure"), LLAMA_CPU)
        if self.compressor:
            self.compare("llm-compressor's model_free_ptq, W4A16", self.compress, self.ours("w4a16 rtn"))


def figures(run):
    return run.wall, run.cpu, run.memory


def both(first, second):
    return first[0] + second[0], first[1] + second[1], max(first[2], second[2])
