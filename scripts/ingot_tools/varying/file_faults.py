"""Faults of the files that hold a checkpoint's tensors: headers, bytes, index, names."""

import json
import os
import struct

from .checkpoint import file_bytes
from .faults import VALUES, fault, name_in


def some_file(c, rng):
    return rng.choice(sorted(c.shards))


@fault("files")
def cut_file(c, base, rng):
    name = some_file(c, rng)
    data = c.shards[name]
    c.shards[name] = data[:rng.choice([0, 1, 7, 8, 9, rng.randrange(len(data)), len(data) - 1])]
    c.note(f"{name} {len(c.shards[name])} of {len(data)}")
    return [name_in(name)]


@fault("files")
def more_bytes(c, base, rng):
    name = some_file(c, rng)
    c.shards[name] += rng.choice([b"\0", b"\0" * 4096, b"{}"])
    return [name_in(name), "more bytes"]


@fault("files")
def no_file(c, base, rng):
    name = some_file(c, rng)
    c.shards[name] = None
    return [name_in(name) if c.index else r"\.safetensors"]


@fault("files")
def stand_in(c, base, rng):
    name = some_file(c, rng)
    c.shards[name] = rng.choice([
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 99\n",
        b"<!DOCTYPE html>\n<html><body>Not found</body></html>", b"Entry not found", b"PK\x03\x04" + b"\0" * 200,
        b"\x80\x02}q\x00." + b"\0" * 100, b'{"error": "Repository not found"}', b"GGUF\x03\0\0\0" + b"\0" * 100])
    return [name_in(name)]


@fault("files", commands=VALUES)
def zeros(c, base, rng):
    """What a broken download leaves: from the middle of a row to an end."""
    name = some_file(c, rng)
    data = bytearray(c.shards[name])
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    large = [(n, e) for n, e in header.items() if n != "__metadata__" and len(e["shape"]) == 2 and e["shape"][0] >= 12
             and e["data_offsets"][1] - e["data_offsets"][0] > 20480]
    if not large:
        c.shards[name] = bytes(data[:-1])
        return [name_in(name)]
    tensor, entry = rng.choice(large)
    begin, end = (8 + length + place for place in entry["data_offsets"])
    row = (end - begin) // entry["shape"][0]
    # Of 8 KB a page is zero whole, wherever pages begin.
    least = max(8192, 3 * row) + row
    start = begin + rng.randrange(0, (end - begin - least) // row) * row + row // 2
    data[start:end] = bytes(end - start)
    c.shards[name] = bytes(data)
    c.note(tensor)
    return [name_in(tensor), "zero"]


@fault("files")
def bad_header(c, base, rng):
    name = some_file(c, rng)
    data = c.shards[name]
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    tensor = rng.choice([n for n in header if n != "__metadata__"])
    entry = header[tensor]
    begin, end = entry["data_offsets"]
    patterns = [name_in(name)]

    def offsets(a, b):
        entry["data_offsets"] = [a, b]

    def length_of(value):
        return lambda: struct.pack("<Q", value)

    ways = {
        "overlap": lambda: offsets(max(begin - 2, 0), max(begin - 2, 0) + end - begin) if begin else offsets(2, end + 2),
        "hole": lambda: offsets(begin + 2, end + 2), "turned": lambda: offsets(end, begin), "far": lambda: offsets(begin, 1 << 62),
        "negative": lambda: offsets(-2, end), "fraction": lambda: offsets(begin + 0.5, end), "three": lambda: entry[
            "data_offsets"].append(end), "short": lambda: offsets(begin, end - 1), "no dtype": lambda: entry.pop("dtype"),
        "no shape": lambda: entry.pop("shape"), "dtype": lambda: entry.__setitem__("dtype", "F12"),
        "extra": lambda: entry.__setitem__("stride", [1]), "extents": lambda: entry.__setitem__("shape", [1 << 40, 1 << 40]),
        "rank": lambda: entry.__setitem__("shape", [1] * 40), "text": lambda: entry.__setitem__("shape", "[1]"),
        "metadata": lambda: header.__setitem__("__metadata__", {"format": 1}), "list": lambda: header.__setitem__(tensor, [1])}
    way = rng.choice(sorted(ways) + ["long", "short length", "huge", "garbage", "twice"])
    c.note(f"{name} {way} {tensor}")
    text = data[8:8 + length]
    if way in ways:
        ways[way]()
        text = json.dumps(header).encode()
        if way != "metadata":
            patterns.append(name_in(tensor))
    elif way == "twice":
        text = text.rstrip()[:-1] + b"," + json.dumps({tensor: entry}).encode()[1:]
        patterns.append(name_in(tensor))
    elif way == "garbage":
        text = bytes(rng.randrange(256) for _ in range(len(text)))
    stated = {"long": len(text) + 1, "short length": len(text) // 2, "huge": 1 << 63}.get(way, len(text))
    c.shards[name] = struct.pack("<Q", stated) + text + body
    return patterns


@fault("files")
def bad_index(c, base, rng):
    if not c.index:
        c.index = {"weight_map": dict.fromkeys(c.tensors, "model.safetensors")}
    places = c.index["weight_map"]
    tensor = rng.choice(sorted(places))
    way = rng.choice(["missing file", "other file", "left out", "stranger", "outside", "absolute", "no map", "empty", "number",
                      "garbage", "twice"])
    c.note(f"{way} {tensor}")
    if way == "missing file":
        places[tensor] = "model-00009-of-00009.safetensors"
        return ["model-00009-of-00009"]
    if way == "other file":
        if len(c.shards) == 1:
            c.shards["other.safetensors"] = file_bytes({})
        places[tensor] = next(file for file in {**c.shards, "other.safetensors": 0} if file != places[tensor])
        return [name_in(tensor), "index"]
    if way == "left out":
        del places[tensor]
        return [name_in(tensor), "index"]
    if way == "stranger":
        places["model.layers.0.stranger"] = places[tensor]
        return ["model.layers.0.stranger", "index"]
    if way in ("outside", "absolute"):
        places[tensor] = rng.choice(["../x.safetensors", "a/../../x.safetensors"]) if way == "outside" else "/etc/x.safetensors"
        return [r"index\.json", r"x\.safetensors"]
    if way == "twice":
        c.index = json.dumps(c.index).replace(json.dumps(tensor), json.dumps(tensor) + ': "x.safetensors", ' + json.dumps(
            tensor), 1).encode()
        return [r"index\.json|x\.safetensors", name_in(tensor) + "|once"]
    c.index = {"no map": {"metadata": {}}, "empty": {"weight_map": {}}, "number": {"weight_map": {tensor: 3}},
               "garbage": b'{"weight_map": {"a'}[way]
    return [r"index\.json"]


@fault("files")
def not_a_folder(c, base, rng):
    way = rng.choice(["nothing", "no config", "link", "pickle", "two sets"])
    c.note(way)
    if way == "nothing":
        c.shards, c.index = {}, None
        return [r"\.safetensors"]
    if way == "no config":
        original = c.write

        def write(folder):
            given = original(folder)
            os.remove(os.path.join(folder, "config.json"))
            return given
        c.write = write
        return [r"config\.json"]
    if way == "link":
        original, name = c.write, some_file(c, rng)

        def linked(folder):
            given = original(folder)
            path = os.path.join(folder, name)
            os.rename(path, os.path.join(os.path.dirname(folder), "elsewhere.safetensors"))
            os.symlink("../elsewhere.safetensors", path)
            return given
        c.write = linked
        return [name_in(name), "link"]
    if way == "pickle":
        c.shards, c.index = {"pytorch_model.bin": b"\x80\x02}"}, None
        return ["pickle"]
    c.index = None
    c.shards = {f"{stem}-0000{n}-of-00002.safetensors": file_bytes({}) for stem in "ab" for n in (1, 2)}
    return [r"index\.json"]
