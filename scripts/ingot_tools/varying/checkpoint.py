"""A checkpoint in memory, and how it is read and laid out on disk."""

import json
import os
import struct

from . import numbers

INDEX = "model.safetensors.index.json"


def read_file(path):
    """Stored tensors of a SafeTensors file: name → (dtype, shape, bytes)."""
    with open(path, "rb") as f:
        data = f.read()
    length = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = entry["dtype"], entry["shape"], data[8 + length + begin:8 + length + end]
    return tensors


class Base:
    """A model of the fixtures: its config, the values of its tensors in F32 and the side files."""

    def __init__(self, folder):
        self.name = os.path.basename(folder)
        with open(os.path.join(folder, "config.json")) as f:
            self.config = json.load(f)
        self.config.pop("quantization_config", None)
        # The same as transformers 4 or a release writes it.
        self.configs = [self.config]
        if os.path.exists(os.path.join(folder, "config.legacy.json")):
            with open(os.path.join(folder, "config.legacy.json")) as f:
                self.configs.append(json.load(f))
        stored = {}
        for name in sorted(os.listdir(folder)):
            if name.startswith("model") and name.endswith(".safetensors"):
                stored |= read_file(os.path.join(folder, name))
        self.values = {}
        for name, tensor in stored.items():
            if name.endswith("_scale_inv"):
                continue
            values = numbers.decoded(tensor)
            scales = stored.get(name + "_scale_inv")
            if scales:
                grid = numbers.decoded(scales).repeat(128, 0).repeat(128, 1)
                values = values * grid[:values.shape[0], :values.shape[1]]
            self.values[name] = values
        self.side = {}
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
            if os.path.exists(os.path.join(folder, name)):
                with open(os.path.join(folder, name), "rb") as f:
                    self.side[name] = f.read()
        text = self.config.get("text_config", self.config)
        self.vocabulary = text["vocab_size"]

    def is_linear(self, name):
        """Whether a tensor is what quantizers quantize."""
        return (name.endswith(".weight") and self.values[name].ndim == 2 and ".layers." in name
                and not name.endswith(".gate.weight") and "vision" not in name)


class Checkpoint:
    """What stands in a folder: `files` are its names and contents, `given` what the command is told."""

    def __init__(self, config, tensors, side):
        self.config, self.tensors, self.side = config, tensors, dict(side)
        # Side files are bytes, or objects of JSON. `spelling` may be text of config.json that json.dumps would not write.
        self.shards, self.index, self.given, self.spelling = None, None, "folder", None
        self.notes = []

    def note(self, text):
        self.notes.append(str(text))

    def plain(self):
        """The usual layout in one file."""
        self.shards = {"model.safetensors": file_bytes(self.tensors)}
        return self

    def write(self, folder):
        """Writes everything; returns what the command is told to read."""
        os.makedirs(folder)
        text = self.spelling if self.spelling is not None else json.dumps(self.config, indent=2)
        files = {"config.json": text if isinstance(text, bytes) else text.encode(), **(self.side or {}), **self.shards}  # type: ignore[dict-item]
        if self.index is not None:
            files[INDEX] = self.index if isinstance(self.index, bytes) else json.dumps(self.index, indent=2).encode()
        for name, data in files.items():
            if data is None:
                continue
            data = json.dumps(data).encode() if isinstance(data, dict) else data
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
        return folder


def file_bytes(tensors, rng=None, metadata=None):
    """A SafeTensors file of tensors, in their order; with `rng` the header as other writers may have it. metadata "null" is
    JSON's null, as MLX writes it for none."""
    entries, place = [], 0
    for name, (dtype, shape, data) in tensors.items():
        entry = [("dtype", dtype), ("shape", shape), ("data_offsets", [place, place + len(data)])]
        entries.append((name, dict(rng.sample(entry, 3) if rng else entry)))
        place += len(data)
    if rng:
        # Entries need not stand in the order of the data.
        rng.shuffle(entries)
    if metadata is not None:
        entries.insert(rng.randint(0, len(entries)) if rng else 0, ("__metadata__", None if metadata == "null" else metadata))  # type: ignore[arg-type]
    spaces = (rng.choice([None, (",", ":"), (" , ", " : ")])) if rng else (",", ":")
    text = json.dumps(dict(entries), separators=spaces, ensure_ascii=bool(rng and rng.random() < 0.5)).encode()
    padding = rng.choice([0, 1, 3, 8, 57, 4096]) if rng else -len(text) % 8
    text += b" " * padding
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())
