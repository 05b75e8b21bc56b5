"""Cells of the tables of the families: artifacts made, run by their engines, and held against `ingot logits`."""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from safetensors.numpy import load_file

from ingot_tools import REPOSITORY
from ingot_tools.engines import compare
from ingot_tools.engines import family_columns as columns

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(REPOSITORY, "Tests", "Fixtures", "families")
KLD, SAME_TOP, RELATIVE = 1e-4, 0.98, 1e-5
# Engines in the order in which they are started: the slow ones first.
ENGINES = ["gptq", "transformers", "mlx", "llama"]


class Failure(Exception):
    """A cell that is not right, and why."""


class NoFit(Exception):
    """Rows of the case are not divisible by the encoding's groups. Where Ingot is to write it, it says so."""


def config_of(case):
    """config.json of a case, with what is said of its text model."""
    with open(os.path.join(FIXTURES, case, "config.json")) as f:
        config = json.load(f)
    return config.get("text_config", config)


def row_lengths(case):
    """Weights in a row of each linear layer."""
    c = config_of(case)
    heads = c["num_attention_heads"]
    inner = heads * (c.get("head_dim") or c["hidden_size"] // heads)
    if c.get("v_head_dim"):
        inner = heads * c["v_head_dim"]
    optional = ("moe_intermediate_size", "shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank",
                "dense_intermediate_size", "shared_intermediate_size", "intermediate_size_mlp")
    lengths = {c["hidden_size"], inner, c["intermediate_size"], *(c.get(key) or inner for key in optional)}
    if c.get("linear_num_value_heads"):
        lengths.add(c["linear_num_value_heads"] * c["linear_value_head_dim"])
    return lengths


def is_mixture(case):
    return any(key in config_of(case) for key in ("num_local_experts", "num_experts"))


def round_experts(file):
    """Rounds experts in F32 to the nearest in BF16, to the even one of two, in a file of SafeTensors."""
    data = np.memmap(file, np.uint8, "r+")
    start = 8 + int(data[:8].view("<u8")[0])
    for name, entry in json.loads(data[8:start].tobytes()).items():
        if ".experts." in name and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            bits = data[start + begin:start + end].view("<u4")
            bits += 0x7FFF + (bits >> 16 & 1)
            bits &= 0xFFFF0000
    data.flush()


class Cell:
    """One artifact: a case in a column."""

    def __init__(self, bench, column, case):
        self.bench, self.column, self.case = bench, column, case
        self.artifact = self.path(".gguf" if column.container == "gguf" else "")
        # What is shown, or why nothing is.
        self.found = None

    def path(self, ending):
        return self.bench.path(f"{self.column.name.replace(' ', '-')}-{self.case}{ending}")

    def fits(self):
        return all(length % self.column.group == 0 for length in row_lengths(self.case))

    def attempt(self, step):
        """A step of the cell unless one before it failed."""
        if self.found is None:
            try:
                self.found = step()
            except (Failure, NoFit) as problem:
                self.found = problem

    def prepare(self):
        """Token ids and golden logits; the artifact itself where Ingot makes it."""
        golden = load_file(os.path.join(FIXTURES, self.case, "golden.safetensors"))
        ids, self.golden = golden["ids"], golden["logits"]
        window = config_of(self.case).get("sliding_window")
        if self.column.container == "gguf" and self.case.split("-")[0] in columns.WINDOWED:
            window = None
        if window and (self.column.container == "gguf" or self.column.container == "mlx" and self.column.maker):
            # llama.cpp is not told of longer contexts than the window; mlx-lm has no such window.
            ids, self.golden = ids[:, :window], self.golden[:, :window]
        with open(self.path(".ids.json"), "w") as f:
            json.dump(ids.tolist(), f)
        if not self.column.maker:
            self.make()
        elif not self.fits():
            raise NoFit
        else:
            self.source = self.bench.sources[self.case, self.dense_kind()]
            if isinstance(self.source, Failure):
                raise self.source

    def dense_kind(self):
        return "gguf" if self.column.container == "gguf" else "safetensors"

    def make(self):
        verb, *arguments = self.column.arguments or ("quantize",)
        if self.column.rules:
            with open(self.path(".yaml"), "w") as f:
                f.write(f"name: trial\nrules:\n{self.column.rules}")
            arguments += ["--recipe", self.path(".yaml")]
        arguments += ["--format", self.column.container, "-o", self.artifact]
        try:
            self.bench.ingot(verb, os.path.join(FIXTURES, self.case), *arguments)
        except Failure as problem:
            divides = ("a tensor that", "columns that are a multiple", "groups that divide", "whose rows groups of 32 divide", "cannot hold",
                       "would quantize nothing")
            if not self.fits() and any(words in str(problem) for words in divides):
                raise NoFit from problem
            raise

    def jobs(self):
        """What the engine's process is asked, in order."""
        jobs = []
        if self.column.maker:
            jobs.append({"make": self.column.maker, "setting": self.column.setting, "dense": self.source,
                         "gguf": self.source, "output": self.artifact})
        return [*jobs, {"run": self.column.engine, "artifact": self.artifact, "ids": self.path(".ids.json"),
                        "output": self.path(".npz")}]

    def judge(self, answers):
        """The KL divergence as text, when all is well."""
        for answer in answers:
            if "error" in answer:
                raise Failure(answer["error"])
        if self.column.maker:
            self.bench.ingot("inspect", self.artifact)
            self.bench.ingot("check", self.artifact)
        theirs = np.load(self.path(".npz"))["logits"]
        ours = self.own_logits().reshape(theirs.shape)
        figures = compare.divergence(ours, theirs)
        if not (figures["kld"] <= KLD and figures["sameTop"] >= SAME_TOP):
            raise Failure(f"KLD {figures['kld']:.1e}, same top {figures['sameTop']:.3f}")
        if self.column.name.endswith("f32"):
            error = np.linalg.norm(ours - self.golden) / np.linalg.norm(self.golden)
            if not error <= RELATIVE:
                raise Failure(f"relative error {error:.1e} to transformers")
        return f"{figures['kld']:.0e}"

    def own_logits(self):
        artifact, (kind, *experts) = self.artifact, (self.column.rounds_to or "none").split()
        if kind != "none" and not (experts and not is_mixture(self.case)):
            artifact = self.path(".rounded")
            self.bench.ingot("convert", self.artifact, "--decode", "f32" if experts else kind, "--format",
                             "safetensors", "-o", artifact)
            if experts:
                round_experts(os.path.join(artifact, "model.safetensors"))
        self.bench.ingot("logits", artifact, "--tokens", self.path(".ids.json"), "-o", self.path(".own"))
        return load_file(self.path(".own"))["logits"]


class Bench:
    """The command, the folder of all artifacts, and the engines' processes."""

    def __init__(self, ingot, work, threads):
        self.command, self.work, self.threads = ingot, work, threads

    def path(self, name):
        return os.path.join(self.work, name)

    def ingot(self, *arguments):
        threads = [] if arguments[0] == "inspect" else ["--threads", "1"]
        done = subprocess.run([self.command, *arguments, *threads], capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            said = next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "nothing said")
            raise Failure(f"ingot {arguments[0]}: {said.removeprefix('error: ')}")

    def dense(self, case, container):
        """What other tools start from: a dense folder, or for GGUF a dense file; a Failure where there is none."""
        source = os.path.join(FIXTURES, case)
        output = self.path(f"dense-{case}{'.gguf' if container == 'gguf' else ''}")
        if container != "gguf" and case.split("-")[0] not in columns.FAMILIES:
            # mlx-lm takes stacks apart as they are published.
            shutil.copytree(source, output)
            shutil.copy(os.path.join(source, "config.legacy.json"), os.path.join(output, "config.json"))
            os.remove(os.path.join(output, "golden.safetensors"))
            return output
        try:
            if container == "gguf":
                self.ingot("convert", source, "--decode", "f32", "--format", "gguf", "-o", output)
            else:
                self.ingot("convert", source, "--decode", "bf16", "--format", "safetensors", "-o", output)
                # In the spelling of releases, which mlx-lm wants.
                with open(os.path.join(source, "config.legacy.json")) as f:
                    config = json.load(f)
                config.pop("quantization_config", None)
                with open(os.path.join(output, "config.json"), "w") as f:
                    json.dump(config, f)
        except Failure as problem:
            return problem
        return output

    def engine(self, name, cells):
        """Answers of one engine's process for each of its cells."""
        begin = time.monotonic()
        jobs = [cell.jobs() for cell in cells]
        file = self.path(f"jobs-{name}.json")
        with open(file, "w") as f:
            json.dump([job for some in jobs for job in some], f)
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
                   "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, os.path.join(HERE, "family_engine.py"), file],
                              capture_output=True, text=True, env=os.environ | offline)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if len(answers) != sum(map(len, jobs)):
            raise SystemExit(f"{name}: {done.stderr[-1000:]}")
        print(f"{time.monotonic() - begin:5.0f} s  {name}, {len(jobs)} artifacts", file=sys.stderr, flush=True)
        return [[answers.pop(0) for _ in some] for some in jobs]

    def run(self, cells):
        """Fills in what was found in each cell."""
        with ThreadPoolExecutor(self.threads) as pool:
            wanted = sorted({(cell.case, cell.dense_kind()) for cell in cells if cell.column.maker and cell.fits()})
            self.sources = dict(zip(wanted, pool.map(self.dense, *zip(*wanted)) if wanted else []))
            list(pool.map(lambda cell: cell.attempt(cell.prepare), cells))
            groups = {name: [c for c in cells if c.column.engine == name and c.found is None] for name in ENGINES}
            groups = {name: some for name, some in groups.items() if some}
            answers = pool.map(self.engine, groups, groups.values())
            judged = [pair for some, given in zip(groups.values(), answers) for pair in zip(some, given)]
            list(pool.map(lambda pair: pair[0].attempt(lambda: pair[0].judge(pair[1])), judged))
