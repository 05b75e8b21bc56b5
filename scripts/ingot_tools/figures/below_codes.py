"""What choices below the codes change: the number of calibration tokens and damping, the order of experts' inner channels, grids.

    scripts/tools below-codes MODEL [--part tokens damping channels grids] [--rows FILE] [--write]

MODEL is a mixture of experts with text/calibration and text/heldout beside its weights. All linear layers are quantized to one
encoding by GPTQ, layers apart, embedding and head in BF16, and 'ingot verify' compares on the held-out texts: KL divergence from
the original in nats with its standard error over contexts, and as a multiple of another row (paired contexts, jackknife).

  tokens     statistics of the first contexts of each calibration text, of all, and of the project's own texts beside them
  damping    of GPTQ ('--damping'), and tokens of the layer at large that are mixed with each expert's ('--pseudo-tokens', with
             '--damping 0.01'); 'by tokens' is what is chosen without these options
  channels   inner channels of experts ordered by their inputs' or their weights' squares, so that groups along a row of a down
             projection hold like columns; the model's function stays the same
  grids      sixteen levels at equal distances (Q4_0) and at unequal ones (IQ4_NL), in blocks of 32 with one scale; in GGUF

Each measured artifact is added to --rows FILE (JSON lines) and is not measured again; --write puts the tables into
docs/results/below-codes.md.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shutil
import struct
import tempfile
from typing import Any

import numpy

from ingot_tools import REPOSITORY
from ingot_tools.figures.commands import call, ratio

PAGE = os.path.join(REPOSITORY, "docs/results/below-codes.md")
OWN_TEXT = os.path.join(REPOSITORY, "calibration/text/calibration")
INTEGERS, TRELLIS = "int3 g64 zero f16", "trellis-2.5"
# Contexts of each calibration text; None for all, more than all with the project's own texts.
CONTEXTS: list[tuple[str, int | None, bool]] = [
    ("11 contexts of each text", 11, False), ("42 contexts of each text", 42, False), ("all contexts", None, False),
    ("all, and the project's texts", None, True)]
# As many tokens an expert, next to its columns, as MiniMax-M2 has of 65,536; twelve times as many; all.
FEW: list[tuple[str, int | None]] = [("1 context of each text", 1), ("11 contexts of each text", 11), ("all contexts", None)]
DAMPING = [0.01, 0.03, 0.1, 0.3, 1]
PSEUDO_TOKENS = [0, 16, 64, 256]
Row = dict[str, Any]


class Measuring:
    def __init__(self, options: argparse.Namespace, work: str) -> None:
        self.options, self.work = options, work
        self.calibration = sorted(glob.glob(f"{options.model}/text/calibration/*.txt"))
        self.held_out = sorted(glob.glob(f"{options.model}/text/heldout/*.txt"))

    def measured(self, part: str, name: str, encoding: str, model: str, statistics: str, *words: str, suffix: str = "ingot") -> None:
        known = {(row["part"], row["name"], row["encoding"]) for row in rows(self.options.rows)}
        if (part, name, encoding) in known:
            return
        recipe, out = f"{self.work}/recipe.yaml", f"{self.work}/x.{suffix}"
        with open(recipe, "w", encoding="utf-8") as file:
            file.write("name: uniform\nrules:\n" + "".join(f"  - {{parts: [{end}], encoding: bf16}}\n" for end in ("embedding", "head"))
                       + f"  - {{encoding: '{encoding}', quantizer: search}}\n")
        call(self.options.ingot, "quantize", model, "--recipe", recipe, "--importance", statistics, "-o", out, "--force",
             "--no-source-hash", *words)
        report = json.loads(call(self.options.ingot, "verify", out, "--against", self.options.model, "--text", *self.held_out,
                                 "--chunks", str(self.options.chunks), "--json"))
        divergence = report["klDivergence"]
        row = {"part": part, "name": name, "encoding": encoding, "mean": divergence["mean"], "error": divergence["standardError"],
               "contexts": divergence["contexts"], "bits": report["candidate"]["bitsPerWeight"]}
        with open(self.options.rows, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{part}: {name}, {encoding}: {row['mean']:.5f} ± {row['error']:.5f}", flush=True)

    def statistics(self, contexts: int | None, with_own: bool) -> str:
        path = f"{self.options.kept or self.work}/{contexts}-{with_own}.calib"
        if not os.path.exists(path):
            texts = self.calibration + (sorted(glob.glob(f"{OWN_TEXT}/*.txt")) if with_own else [])
            call(self.options.ingot, "calibrate", self.options.model, "--text", *texts, "-o", path, "--all-contexts",
                 *(["--chunks", str(contexts)] if contexts else []))
        return path

    def tokens(self) -> None:
        for encoding in (INTEGERS, TRELLIS):
            for name, contexts, with_own in CONTEXTS:
                self.measured("tokens", name, encoding, self.options.model, self.statistics(contexts, with_own))

    def damping(self) -> None:
        for name, contexts in FEW:
            statistics = self.statistics(contexts, False)
            for encoding in (INTEGERS, TRELLIS):
                self.measured("damping", f"{name}, by tokens", encoding, self.options.model, statistics)
                for value in DAMPING:
                    self.measured("damping", f"{name}, damping {value:g}", encoding, self.options.model, statistics,
                                  "--damping", str(value))
                for tokens in PSEUDO_TOKENS:
                    self.measured("damping", f"{name}, {tokens} tokens at large", encoding, self.options.model, statistics,
                                  "--pseudo-tokens", str(tokens), "--damping", "0.01")

    def channels(self) -> None:
        plain = f"{self.work}/plain"
        call(self.options.ingot, "convert", self.options.model, "--decode", "f32", "--format", "safetensors", "-o", plain, "--force")
        importance = f"{self.work}/x.dat"
        call(self.options.ingot, "calibrate", plain, "--text", *self.calibration, "-o", importance, "--force")
        squares = inner_squares(importance)
        for name in ("as they are", "by inputs", "by weights"):
            model = plain
            if name != "as they are":
                model = f"{self.work}/ordered"
                shutil.rmtree(model, ignore_errors=True)
                shutil.copytree(plain, model)
                order_channels(model, squares if name == "by inputs" else None)
            statistics = f"{self.work}/ordered.calib"
            call(self.options.ingot, "calibrate", model, "--text", *self.calibration, "-o", statistics, "--force", "--all-contexts")
            for encoding, suffix in ((INTEGERS, "ingot"), ("int4 g64 zero f16", "ingot"), ("q3_k", "gguf"), ("q4_k", "gguf")):
                self.measured("channels", name, encoding, model, statistics, suffix=suffix)

    def grids(self) -> None:
        for encoding in ("q4_0", "iq4_nl"):
            self.measured("grids", "calibrated", encoding, self.options.model, self.statistics(None, False), suffix="gguf")


def inner_squares(path: str) -> dict[int, numpy.ndarray]:
    """What llama.cpp's old importance matrices have of down projections, by layer: (experts, width)."""
    found = {}
    with open(path, "rb") as file:
        data = file.read()
    count, at = struct.unpack_from("<i", data)[0], 4
    for _ in range(count):
        length = struct.unpack_from("<i", data, at)[0]
        name = data[at + 4:at + 4 + length].decode()
        _, values = struct.unpack_from("<ii", data, at + 4 + length)
        at += 12 + length
        matrix = numpy.frombuffer(data, "<f4", values, at)
        at += 4 * values
        layer = re.fullmatch(r"blk\.(\d+)\.ffn_down_exps\.weight", name)
        if layer:
            found[int(layer[1])] = matrix
    return found


def order_channels(folder: str, squares: dict[int, numpy.ndarray] | None) -> None:
    """Orders the rows of w1 and w3 and the columns of w2 of every expert by the mean square of what comes into w2's columns, or by
    that of their weights."""
    tensors, files = {}, {}
    for path in glob.glob(f"{folder}/*.safetensors"):
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length))
        files[path] = numpy.memmap(path, "u1", "r+", 8 + length)
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                tensors[name] = files[path][begin:end].view("<f4" if entry["dtype"] == "F32" else "u1").reshape(
                    entry["shape"] if entry["dtype"] == "F32" else -1)
    for name in tensors:
        place = re.fullmatch(r"(.*\.layers\.(\d+)\..*experts\.(\d+))\.w2\.weight", name)
        if not place or int(place[2]) not in (squares or {int(place[2]): None}):
            continue
        down = tensors[name]
        if squares is None:
            keys = (down.astype(numpy.float64) ** 2).sum(axis=0)
        else:
            keys = squares[int(place[2])].reshape(-1, down.shape[1])[int(place[3])]
        order = numpy.argsort(keys, kind="stable")
        down[:] = down[:, order]
        for part in ("w1", "w3"):
            rows_of = tensors[f"{place[1]}.{part}.weight"]
            rows_of[:] = rows_of[order]
    for mapped in files.values():
        mapped.flush()


def rows(path: str) -> list[Row]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def table(found: list[Row], part: str, base: str) -> str:
    """Lines of Markdown: a row a name, a column an encoding; multiples are of the row `base`, or of the column before."""
    cells = {(row["name"], row["encoding"]): row for row in found if row["part"] == part}
    names, encodings = list(dict.fromkeys(name for name, _ in cells)), list(dict.fromkeys(encoding for _, encoding in cells))
    if part == "damping":
        # As they are measured, whenever that was.
        options = (["by tokens"] + [f"damping {value:g}" for value in DAMPING] + [f"{count} tokens at large" for count in PSEUDO_TOKENS])
        names = [name for few, _ in FEW for name in (f"{few}, {option}" for option in options) if name in names]
    lines = ["| | " + " | ".join(encodings) + " |", "|---" * (len(encodings) + 1) + "|"]
    for name in names:
        line = [name]
        for encoding in encodings:
            cell = cells.get((name, encoding))
            first = cells.get((base, encoding)) if base else cells.get((name, encodings[0]))
            if part == "damping":
                first = cells.get((name.split(",")[0] + base, encoding))
            if cell is None:
                line.append("")
            elif first is None or first is cell:
                line.append(f"{cell['mean']:.5f} ± {cell['error']:.5f}")
            else:
                value, error = ratio(cell["contexts"], first["contexts"])
                line.append(f"{cell['mean']:.5f} (× {value:.3f} ± {error:.3f})")
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


BASES = {"tokens": "all contexts", "damping": ", damping 0.01", "channels": "as they are", "grids": ""}


def write(found: list[Row]) -> None:
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    for part, base in BASES.items():
        pattern = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
        text = pattern.sub(lambda match: match[1] + table(found, part, base) + match[2], text)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--part", nargs="+", choices=list(BASES), default=list(BASES))
    parser.add_argument("--chunks", type=int, default=14, help="contexts of each held-out text")
    parser.add_argument("--kept", help="folder in which statistics are kept, and taken from when there")
    parser.add_argument("--rows", default="below-codes.jsonl", help="file that rows are added to")
    parser.add_argument("--ingot", default=os.path.join(REPOSITORY, ".build/release/ingot"))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/results/below-codes.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingot-below-codes-") as work:
        measuring = Measuring(options, work)
        for part in options.part:
            getattr(measuring, part)()
    found = rows(options.rows)
    for part, base in BASES.items():
        print(table(found, part, base))
    if options.write:
        write(found)


if __name__ == "__main__":
    main()
