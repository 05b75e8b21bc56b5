"""Encodings that Ingot writes as other tools do, bit for bit: MLX with --match-mlx, Q8_0 and Q4_0 by nearest."""

import json
import os

from ingot_tools.engines.session import Failure, remove

# Format, what the other tool makes, its setting, our recipe and flags. Codes of llama.cpp's reference quantizers.
ROWS = [
    *[("mlx", "mlx_lm.convert", setting, f"int{bits} g{group} bias bf16", ["--match-mlx"])
      for setting, bits, group in (("affine 4 g64", 4, 64), ("affine 3 g32", 3, 32), ("affine 8 g128", 8, 128))],
    ("mlx", "mlx_lm.convert", "mxfp4 4 g32", "mx-fp4", ["--match-mlx"]),
    *[("gguf", "llama-quantize", name, name.lower(), []) for name in ("Q8_0", "Q4_0")],
]


def rows_of(row):
    """Lines of a recipe: what the other tool quantizes, and how."""
    container, _, setting, encoding, _ = row
    if container == "gguf":
        # Beside Q4_0 llama-quantize gives the head Q6_K, by its search: not compared.
        head = "  - {parts: [head], encoding: bf16}\n" if setting == "Q4_0" else ""
        return f"{head}  - {{encoding: {encoding}, quantizer: round-to-nearest}}\n"
    return f"  - encoding: {encoding}\n"


def exact(session, models, table, failed):
    """Rows of the table; adds what failed."""
    for model in models:
        name = os.path.basename(os.path.realpath(model))
        dense, gguf = session.fresh("bf16"), session.fresh("bf16.gguf")
        for path, form in ((dense, "safetensors"), (gguf, "gguf")):
            session.ingot("convert", model, "--decode", "bf16", "--format", form, "-o", path)
        for row in ROWS:
            container, maker, setting, _, flags = row
            ending = ".gguf" if container == "gguf" else ""
            ours, other = session.fresh(f"ours{ending}"), session.fresh(f"other{ending}")
            recipe = session.path("recipe.yaml")
            with open(recipe, "w") as f:
                f.write(f"name: exact\nrules:\n{rows_of(row)}")
            try:
                session.ingot("quantize", dense, "--recipe", recipe, "--format", container, "-o", ours, *flags)
                job = {"setting": setting, "output": other}
                answer = session.batch("foreign.py", [job], maker, "--dense", dense, "--gguf", gguf)[0]
                if "error" in answer:
                    raise Failure(answer["error"])
                equal, different, left = (compare_gguf if container == "gguf" else compare_folders)(ours, other)
            except Failure as problem:
                failed.append((name, setting, str(problem)))
                table.row(name, container, setting, maker, "", str(problem))
                continue
            if different or not equal:
                failed.append((name, setting, f"{len(different)} tensors differ, such as {different[:2]}"))
            table.row(name, container, setting, maker, f"{equal} of {equal + len(different)}", left)
            remove(ours)
            remove(other)


def compare_gguf(ours, other):
    """How many tensors have the same bytes; names of the others; what was not compared."""
    import numpy as np
    from gguf import GGUFReader

    theirs = {t.name: t for t in GGUFReader(other).tensors}
    equal, different, left = 0, [], []
    for tensor in GGUFReader(ours).tensors:
        mate = theirs.get(tensor.name)
        if mate is not None and mate.tensor_type != tensor.tensor_type:
            left.append(mate.tensor_type.name)
        elif mate is not None and np.array_equal(tensor.data.view(np.uint8), mate.data.view(np.uint8)):
            equal += 1
        else:
            different.append(tensor.name)
    others = f"{len(left)} that are {' or '.join(sorted(set(left)))} there" if left else ""
    return equal, different, others


def compare_folders(ours, other):
    import numpy as np

    mine, theirs = bytes_of(ours), bytes_of(other)
    # mlx-lm quantizes the router too, to 8 bits; ours stays F32, which mlx-lm loads.
    router = {n for n in mine.keys() | theirs.keys() if ".block_sparse_moe.gate." in n}
    names = sorted((mine.keys() | theirs.keys()) - router)
    different = [n for n in names
                 if n not in mine or n not in theirs or not np.array_equal(mine[n], theirs[n])]
    return len(names) - len(different), different, "router: F32 here, 8 bits there" if router else ""


def bytes_of(folder):
    """Tensors of a folder's SafeTensors files as bytes."""
    import numpy as np

    tensors = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        path = os.path.join(folder, name)
        data = np.memmap(path, np.uint8, "r")
        length = int(np.frombuffer(data[:8].tobytes(), "<u8")[0])
        for key, entry in json.loads(data[8:8 + length].tobytes()).items():
            if key != "__metadata__":
                begin, end = entry["data_offsets"]
                tensors[key] = data[8 + length + begin:8 + length + end]
    return tensors
