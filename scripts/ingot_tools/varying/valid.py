"""Random valid variants of a checkpoint: what a tool must read as the same model."""

import os

import numpy as np

from . import numbers, schemes, spelling
from .checkpoint import Checkpoint, file_bytes

# Names of numbers for activations and the key-value cache, which no weight depends on.
ACTIVATIONS = ["input_scale", "output_scale", "k_scale", "v_scale", "input_zero_point", "q_scale", "act_scale"]


def variant(base, scheme, rng):
    """A checkpoint of the base's values in random spelling, storage and layout; with a scheme, of that scheme's values."""
    checkpoint = Checkpoint({}, {}, {})
    note = checkpoint.note
    checkpoint.config = spelling.varied(base, rng, note)
    checkpoint.side = spelling.side_files(base, rng, note)
    taken = schemes.quantized(base, scheme) if scheme else {}
    tensors = {}
    for name, values in base.values.items():
        if name in taken:
            module = name.removesuffix("weight")
            tensors |= {module + part: tensor for part, tensor in scheme.store(taken[name][0], rng).items()}
        else:
            tensors[name] = values
    if isinstance(scheme, schemes.Float8) and rng.random() < 0.4:
        stack_codes(base, scheme, taken, tensors, rng, note)
    if scheme:
        note(scheme.name)
        linear = [name for name in base.values if base.is_linear(name)]
        left = sorted(name.removesuffix(".weight") for name in linear if name not in taken) + ["lm_head"]
        changes, files = scheme.config(rng, left, sorted(taken))
        checkpoint.config.pop("quantization_config", None)
        checkpoint.config |= changes
        checkpoint.side |= files
    dense = {name: values for name, values in tensors.items() if isinstance(values, np.ndarray)}
    is_plain = not isinstance(scheme, schemes.MLX)
    if is_plain and rng.random() < 0.4:
        fuse(base, dense, rng, note)
    # Of one type, as they are published, or each of its own.
    usual = rng.choice(["F32", "BF16", "F16", None])
    for name, values in dense.items():
        fitting = numbers.lossless(values)
        dense[name] = numbers.encoded(values, usual if usual in fitting else rng.choice(fitting))
    tensors = {name: value for name, value in tensors.items() if not isinstance(value, np.ndarray)} | dense
    if is_plain:
        add_harmless(base, checkpoint, tensors, rng)
    checkpoint.tensors = renamed(tensors, rng, note) if "nested" in base.name else tensors
    checkpoint.spelling = spelling.text_of(checkpoint.config, rng)
    lay_out(checkpoint, rng)
    return checkpoint


def renamed(tensors, rng, note):
    """The text model's tensors inside the others', as transformers 5 names them, or beside them."""
    if rng.random() < 0.5:
        return tensors
    note("model.language_model")

    def name_of(name):
        if name.startswith("language_model.model."):
            return "model.language_model." + name.removeprefix("language_model.model.")
        return name if name.startswith("mtp.") else "model." + name
    return {name_of(name): tensor for name, tensor in tensors.items()}


def stack_codes(base, scheme, taken, tensors, rng, note):
    """FP8 codes of a layer's experts in stacks, their scales too, where no block reaches over two matrices."""
    modules = [name for name in taken if ".experts.0." in name]
    if scheme.block == "tensor" or isinstance(scheme.block, tuple) and any(
            base.values[name].shape[0] % scheme.block[0] for name in modules):
        return
    for layer in sorted({name.split(".experts.")[0] for name in modules}):
        names = [n for n in ("w1", "w3", "w2", "gate_proj", "up_proj", "down_proj") if f"{layer}.experts.0.{n}.weight" in taken]
        count = len([name for name in taken if name.startswith(layer + ".experts.")]) // 3
        stacks = []
        for name in names:
            parts = [taken[f"{layer}.experts.{e}.{name}.weight"][0] for e in range(count)]
            stacks.append([np.stack(planes) for planes in zip(*parts)])
            for key in [k for k in tensors if k.startswith(layer + ".experts.") and f".{name}." in k]:
                del tensors[key]
        joined = [np.concatenate(planes, 1) for planes in zip(*stacks[:2])]
        place = layer.replace("block_sparse_moe", rng.choice(["block_sparse_moe", "mlp"])) + ".experts."
        for name, (codes, scales) in (("gate_up_proj", joined), ("down_proj", stacks[2])):
            if scheme.block == "row" and rng.random() < 0.5:
                scales = scales[..., 0]
            dtype = rng.choice(["F32", "BF16", "F8_E8M0"] if scheme.powers else ["F32", "BF16", "F16"])
            tensors[place + name] = scheme.dtype, list(codes.shape), codes.tobytes()
            tensors[place + name + rng.choice(["_scale_inv", "_scale"])] = numbers.encoded(scales, dtype)
        note("stacked codes")


def fuse(base, dense, rng, note):
    """Dense tensors as transformers' classes hold them: experts in stacks, query, key and value in one."""
    layers = sorted({name.split(".mlp.")[0] for name in dense if ".mlp." in name} | {
        name.split(".block_sparse_moe.")[0] for name in dense if ".block_sparse_moe." in name})
    for layer in layers:
        block = next(b for b in ("block_sparse_moe", "mlp") if any(n.startswith(f"{layer}.{b}.") for n in dense))
        names = ("w1", "w3", "w2") if block == "block_sparse_moe" else ("gate_proj", "up_proj", "down_proj")
        count = 0
        while f"{layer}.{block}.experts.{count}.{names[0]}.weight" in dense:
            count += 1
        attention = [f"{layer}.self_attn.{part}_proj.weight" for part in "qkv"]
        if rng.random() < 0.4 and all(name in dense for name in attention) and base.config["model_type"] not in (
                "gemma3", "granitemoe"):
            if attention[0].replace("weight", "bias") not in dense:
                dense[f"{layer}.self_attn.qkv_proj.weight"] = np.concatenate([dense.pop(name) for name in attention])
                note("fused attention")
        if not count:
            continue
        stacks = [np.stack([dense[f"{layer}.{block}.experts.{e}.{name}.weight"] for e in range(count)]) for name in names]
        if all(f"{layer}.{block}.experts.{e}.{name}.weight" in dense for name in names for e in range(count)):
            for name in names:
                for expert in range(count):
                    del dense[f"{layer}.{block}.experts.{expert}.{name}.weight"]
            place = rng.choice([block, "mlp"]) + ".experts."
            end = rng.choice(["", ".weight"])
            if rng.random() < 0.3:
                made = dict(zip(("gate_proj", "up_proj", "down_proj"), stacks))
            else:
                made = {"gate_up_proj": np.concatenate(stacks[:2], 1), "down_proj": stacks[2]}
            square = any(stack.shape[1] == stack.shape[2] for stack in made.values())
            turned = not square and rng.random() < 0.3
            for name, stack in made.items():
                dense[f"{layer}.{place}{name}{end}"] = stack.transpose(0, 2, 1) if turned else stack
            note(f"stacked experts{' transposed' if turned else ''}")


def add_harmless(base, checkpoint, tensors, rng):
    """Tensors that change nothing: numbers for activations, tables that follow from the config, layers for prediction."""
    modules = [name.removesuffix(".weight") for name in base.values if base.is_linear(name)]
    for name in ACTIVATIONS:
        if rng.random() < 0.12:
            for module in rng.sample(modules, min(len(modules), 3)):
                value = np.array(0 if "zero" in name else 0.5, np.float32).reshape(rng.choice([(), (1,)]))
                tensors[f"{module}.{name}"] = numbers.encoded(value, rng.choice(["F32", "BF16"]))
            checkpoint.note(f"{name} beside modules")
    layer = next(name for name in base.values if ".layers.0." in name).split(".layers.0.")[0] + ".layers.0"
    if rng.random() < 0.2:
        tensors[f"{layer}.self_attn.rotary_emb.inv_freq"] = numbers.encoded(np.ones(8, np.float32), "F32")
        checkpoint.note("inv_freq")
    if rng.random() < 0.2:
        tensors["mtp.layers.0.input_layernorm.weight"] = numbers.encoded(np.ones(4, np.float32), "BF16")
        tensors["mtp.fc.weight"] = numbers.encoded(np.ones((4, 8), np.float32), "BF16")
        checkpoint.note("mtp.")
    if checkpoint.config["model_type"] == "minimax_m2" and rng.random() < 0.3:
        count = checkpoint.config["num_hidden_layers"]
        checkpoint.config |= {"use_mtp": True, "num_mtp_modules": 2, "mtp_transformer_layers": 1}
        for number in range(rng.randint(1, 2)):
            for part in ("eh_proj.weight", "enorm.weight", "shared_head.norm.weight"):
                tensors[f"model.layers.{count + number}.{part}"] = numbers.encoded(np.ones((4, 4), np.float32), "BF16")
        checkpoint.note("layers for prediction")


def lay_out(checkpoint, rng):
    """Files: one or many, with an index or numbered, tensors in any order."""
    names = list(checkpoint.tensors)
    if rng.random() < 0.7:
        rng.shuffle(names)
    count = rng.choice([1, 1, 2, 3, 8, min(len(names), 40)])
    numbered = rng.random() < 0.7
    files = [{} for _ in range(count)]
    for number, name in enumerate(names):
        files[number % count if number < count else rng.randrange(count)][name] = checkpoint.tensors[name]
    indexed = rng.random() < 0.6 or count > 1 and not numbered
    checkpoint.shards, places = {}, {}
    for number, tensors in enumerate(files):
        stem = f"model-{number + 1:05}-of-{count:05}" if numbered else rng.choice(["part", "weights.a b", "x-y_"]) + f"{number}"
        file = f"{stem}.safetensors"
        if count == 1 and not numbered and not indexed and rng.random() < 0.6:
            file = "model.safetensors"
        places |= dict.fromkeys(tensors, file)
        metadata = rng.choice([None, "null", {}, {"format": "pt"}, {"format": "pt", "ä": "\n\u2028", "total": "1"}])
        checkpoint.shards[file] = file_bytes(tensors, rng, metadata)
    if indexed:
        total = sum(len(data) for _, _, data in checkpoint.tensors.values())
        checkpoint.index = {"metadata": rng.choice([{"total_size": total}, {"total_size": float(total)}, {}, {"x": None}]),
                            "weight_map": places}
        if rng.random() < 0.2:
            del checkpoint.index["metadata"]
        if rng.random() < 0.3:
            checkpoint.side["stray.safetensors"] = file_bytes({"x": numbers.encoded(np.ones(3, np.float32), "F32")})
    ways = ["folder", "folder/", "linked folder", "relative", "cache", "cache folder", "cache revision"]
    # Of several files of one set without an index, one alone is a part.
    checkpoint.given = rng.choice(ways + ["file"] * 2 if count == 1 and not indexed else ways)
    checkpoint.note(f"{count} files{'' if indexed else ' without index'}, {checkpoint.given}")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def placed(checkpoint, place, rng):
    """Writes a checkpoint under the folder `place`; what the command is given, and its environment."""
    given = checkpoint.given
    if not given.startswith("cache"):
        folder = checkpoint.write(os.path.join(place, "model"))
        if given == "folder/":
            return folder + "/", {}
        if given == "linked folder":
            os.symlink("model", os.path.join(place, "link"))
            return os.path.join(place, "link"), {}
        if given == "relative":
            return os.path.relpath(folder), {}
        return (os.path.join(folder, next(iter(checkpoint.shards))) if given == "file" else folder), {}
    root = os.path.join(place, "hub", "models--some--model")
    snapshot = os.path.join(root, "snapshots", COMMIT)
    os.makedirs(os.path.dirname(snapshot))
    checkpoint.write(snapshot)
    os.makedirs(os.path.join(root, "blobs"))
    os.makedirs(os.path.join(root, "refs"))
    for reference in ("main", "v1"):
        with open(os.path.join(root, "refs", reference), "w") as f:
            f.write(COMMIT + rng.choice(["", "\n"]))
    for number, name in enumerate(sorted(os.listdir(snapshot))):
        path = os.path.join(snapshot, name)
        if os.path.isfile(path):
            blob = os.path.join(root, "blobs", f"{number:064x}")
            os.rename(path, blob)
            os.symlink(os.path.relpath(blob, snapshot), path)
    environment = {"HF_HUB_CACHE": os.path.join(place, "hub")}
    if given == "cache folder":
        return root, environment
    revision = rng.choice(["", "@main"]) if given == "cache" else "@" + rng.choice(["v1", COMMIT, COMMIT[:10]])
    return "some/model" + revision, environment
