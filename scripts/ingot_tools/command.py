"""Finds a subcommand and runs it."""
from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass

from ingot_tools import SCRIPTS

PACKAGE = SCRIPTS / "ingot_tools"


@dataclass(frozen=True)
class Subcommand:
    """A module of the package that runs as a program, or a shell script in it."""

    name: str
    place: str
    summary: str
    # Runs with the Python of `setup-engines`, which has what engines need.
    engines: bool = False

    @property
    def is_shell(self) -> bool:
        return "/" in self.place


@dataclass(frozen=True)
class Group:
    title: str
    subcommands: tuple[Subcommand, ...]


def _engine(name: str, place: str, summary: str) -> Subcommand:
    return Subcommand(name, place, summary, engines=True)


GROUPS = (
    Group("Tests beside scripts/test", (
        Subcommand("check-tools", "shell/check-tools", "these tools: style, types and their own tests"),
        Subcommand("check-names", "checks.check_names", "where kinds of tensors and formats are spelled"),
        Subcommand("check-api", "checks.check_api", "what 'import Ingot' declares, and its DocC pages"),
        Subcommand("coverage", "checks.coverage", "a debug build, and how many lines the tests reach"),
        Subcommand("test-examples", "documents.test_examples", "the programs in examples/, built and run"),
        Subcommand("check-language", "checks.check_language", "the words of docs/glossary.md"),
        Subcommand("test-docs", "shell/test-docs", "pages: their commands, links and the reference"),
        Subcommand("test-pages", "shell/test-pages", "reports in a browser"),
        Subcommand("test-install", "installing.test_install", "what scripts/install installs"),
        Subcommand("test-python", "shell/test-python", "the readers in Python and C"),
        Subcommand("test-hub", "hub.test_hub", "models from a server like the Hub, with faults"),
        Subcommand("test-serve", "clients.test_serve", "'ingot serve' with the clients that people use"),
        Subcommand("test-bench", "benching.test_bench", "that bench writes its report whatever fails"),
        Subcommand("test-slurm", "shell/test-slurm", "examples/slurm on a cluster on this machine"),
        Subcommand("test-engines", "shell/test-engines", "artifacts in llama.cpp, mlx-lm and transformers"),
        Subcommand("variants", "varying.variants", "random variants of checkpoints, valid and invalid"),
        Subcommand("torture", "torturing.torture", "faults of the system, kill -9, full disks, flipped bits"),
        Subcommand("fuzz", "fuzzing.fuzz", "every reader under libFuzzer"),
        Subcommand("sanitize", "shell/sanitize", "the tests under address and thread sanitizer"),
        Subcommand("nightly", "shell/nightly", "what takes too long for every change"),
        Subcommand("check-neon", "shell/check-neon", "kernels for arm64 under qemu"),
        Subcommand("check-ggml-error", "shell/check-ggml-error", "errors of GGML's blocks against llama.cpp's"),
        Subcommand("check-llama-vocabs", "shell/check-llama-vocabs", "tokenizers against llama.cpp's vocabularies"),
        _engine("check-safetensors-loads", "checks.check_safetensors_loads", "a dense checkpoint in transformers"),
    )),
    Group("Figures of docs/results", (
        Subcommand("bench", "benching.bench", "speed and memory of kernels and conversions"),
        Subcommand("bench-scale", "benching.bench_scale", "how conversions, calibration and verification grow with layers"),
        Subcommand("bench-calibrated", "benching.bench_calibrated", "what calibrated quantization of true shapes takes, by stages"),
        Subcommand("bench-generate", "benching.bench_generate", "tokens per second next to llama.cpp's"),
        Subcommand("bench-ggml", "shell/bench-ggml", "time of searches into GGML's blocks next to llama.cpp's"),
        Subcommand("bench-gptq", "benching.bench_gptq", "what GPTQ costs at MiniMax-M2's shapes"),
        Subcommand("bench-memory", "benching.bench_memory", "decoding a model larger than memory next to the disk's rate"),
        Subcommand("bench-hub", "benching.bench_hub", "rates of conversions from the Hub"),
        Subcommand("compare-http", "benching.compare_http", "libcurl and async-http-client side by side"),
        Subcommand("clusters", "clusters.command", "large models on clusters, by simulation with measured costs"),
        Subcommand("ablation", "figures.ablation", "what each technique of calibration gains"),
        Subcommand("ablation-sizes", "figures.ablation_sizes", "the same at sizes of 2 to 4 bits"),
        Subcommand("below-codes", "figures.below_codes", "calibration tokens, damping, order of channels, grids"),
        Subcommand("code-entropy", "figures.code_entropy", "what an entropy coder could save"),
        Subcommand("calibration-figures", "figures.calibration_figures", "what calibration gains next to other tools"),
        Subcommand("doc-figures", "figures.doc_figures", "the tables of sizes and speed"),
        Subcommand("family-figures", "figures.family_figures", "published models against published counts"),
        Subcommand("fit-figures", "figures.fit_figures", "plans against uniform encodings"),
        Subcommand("own-text-figures", "figures.own_text_figures", "calibration on a model's own text"),
        Subcommand("planned-figures", "figures.planned_figures", "trellis codes in plans"),
        Subcommand("prediction-figures", "figures.prediction_figures", "predicted and measured divergence"),
    )),
    Group("Fixtures and generated files", (
        Subcommand("make-checkpoint", "fixtures.make_checkpoint", "checkpoints with the shapes of published models"),
        Subcommand("make-calibration-text", "fixtures.make_calibration_text", "calibration/text"),
        Subcommand("make-c-header", "fixtures.make_c_header", "tables of include/ingot.h"),
        _engine("make-ggml-grids", "fixtures.make_ggml_grids", "points of ggml's types"),
        _engine("make-ggml-vectors", "fixtures.make_ggml_vectors", "vectors of ggml's types"),
        Subcommand("make-ingot-vectors", "fixtures.make_ingot_vectors", "formats/ingot/vectors"),
        Subcommand("make-fuzz-corpus", "fixtures.make_fuzz_corpus", "Fuzz/corpus"),
        Subcommand("make-man-pages", "fixtures.make_man_pages", "manual pages"),
        _engine("make-normalization-table", "fixtures.make_normalization_table", "Unicode's normalization for the tokenizer"),
        _engine("make-unicode-table", "fixtures.make_unicode_table", "Unicode's categories for the tokenizer"),
        Subcommand("make-piece-vectors", "fixtures.make_piece_vectors", "SentencePiece models with their tokens"),
        _engine("make-tokenizer-classes", "fixtures.make_tokenizer_classes", "vocab.json with transformers' tokens"),
        _engine("make-tokenizer-vectors", "fixtures.make_tokenizer_vectors", "texts with tokenizers' tokens"),
        Subcommand("real-models", "fixtures.real_models", "small published models, fetched"),
        *(_engine(f"reference-{name.replace('_', '-')}", f"reference.{name}", summary) for name, summary in (
            ("agentic", "transcripts of agents"), ("prepare", "a tokenizer and ids of texts"), ("train", "a small MiniMax-M2"),
            ("release", "trained weights as a checkpoint"), ("golden", "golden logits of a checkpoint"),
            ("oracle", "perplexity by transformers"), ("families", "tiny checkpoints of every family with logits"),
            ("templates", "chat templates against transformers"), ("train_blocks", "quantizers by kind of block"),
            ("trellis", "why trellis codes are as they are"), ("exl3_reader", "EXL3 read by numpy alone"),
            ("exl3_quantizer", "EXL3's quantizer on a CPU"))),
    )),
    Group("Engines", (
        Subcommand("setup-engines", "engines/setup", "the environment of the engines; prints its python"),
        *(_engine(f"engines-{name.replace('_', '-')}", f"engines.{name}", summary) for name, summary in (
            ("table", "every container and encoding in its engine"), ("family_table", "every family in every engine"),
            ("greedy_table", "greedy decoding of every family, token by token"), ("run_reference", "part of engines-greedy-table"),
            ("options", "other tools' options"), ("real_table", "published models through everything"),
            ("foreign", "artifacts by the engines' own tools"), ("check_mlx", "an MLX folder in mlx-lm"),
            ("check_gptq_awq", "GPTQ and AWQ in other readers"), ("check_compressed_tensors", "compressed-tensors in transformers"),
            ("check_ggml", "part of check-ggml-error"), ("bench_ggml", "part of bench-ggml"),
            ("bench_forward", "part of bench"), ("llama_tokens", "part of check-llama-vocabs"),
            ("family_engine", "part of engines-family-table"), ("run_gguf", "a GGUF file in gguf"),
            ("run_llama", "a GGUF file in llama.cpp"), ("run_mlx", "a folder in mlx-lm"), ("run_gptq", "a folder in GPTQModel"),
            ("run_transformers", "a folder in transformers"))),
    )),
    Group("The Hub, pages and releases", (
        Subcommand("setup-clients", "clients/setup", "the environment of test-serve; prints its python"),
        Subcommand("serve-hub", "hub.serve", "folders as models of the Hugging Face Hub, with faults on demand"),
        Subcommand("site", "shell/site", "the site of docs"),
        Subcommand("documents-check", "documents.check", "part of test-docs"),
        Subcommand("documents-look", "documents.look", "part of site"),
        Subcommand("pages-check", "pages.check", "part of test-pages"),
        Subcommand("build-static", "packaging/build-static", "the command with the Swift runtime in it; prints its path"),
        Subcommand("smoke-test", "packaging/smoke-test", "a released tarball in a bare Debian"),
        Subcommand("notices", "packaging.notices", "licenses of what is linked"),
        Subcommand("sbom", "packaging.sbom", "the bill of materials"),
        Subcommand("pack", "packaging.pack", "a tarball whose bytes depend on its content alone"),
        Subcommand("release-notes", "packaging/release-notes", "a version's section of CHANGELOG.md"),
        Subcommand("homebrew-formula", "packaging/homebrew/fill", "a formula for Homebrew"),
        Subcommand("swiftly", "packaging/swiftly", "Swift on a machine of CI"),
    )),
)
SUBCOMMANDS = {each.name: each for group in GROUPS for each in group.subcommands}


def usage() -> str:
    width = max(map(len, SUBCOMMANDS))
    lines = ["usage: scripts/tools SUBCOMMAND [options]; scripts/tools SUBCOMMAND --help says more"]
    for group in GROUPS:
        lines += ["", group.title, *(f"  {each.name:{width}}  {each.summary}" for each in group.subcommands)]
    return "\n".join(lines)


def run_module(name: str) -> None:
    """Runs a module as a program: as `python -m` does, but sys.argv stays as it is."""
    spec = importlib.util.find_spec(f"ingot_tools.{name}")
    assert spec is not None and spec.loader is not None
    code = spec.loader.get_code(spec.name)  # type: ignore[attr-defined]
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=spec.origin, __spec__=spec, __package__=spec.parent, __doc__=None)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def engines_python() -> str:
    """The Python that has the engines; makes it where it is missing."""
    done = subprocess.run([str(PACKAGE / "engines/setup")], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout.strip()


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 64
    found = SUBCOMMANDS.get(arguments[0])
    if found is None:
        print(f"tools: no subcommand '{arguments[0]}': scripts/tools lists them", file=sys.stderr)
        return 64
    # Whatever a subcommand starts finds the package too.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    if found.is_shell:
        path = str(PACKAGE / found.place)
        os.execv(path, [path, *arguments[1:]])
    if found.engines:
        python = engines_python()
        if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(os.path.dirname(python))):
            os.execv(python, [python, str(SCRIPTS / "tools"), *arguments])
    sys.argv = [f"scripts/tools {found.name}", *arguments[1:]]
    run_module(found.place)
    return 0
