"""Checkpoints in shards whose index is wrong."""

from making.base import BASE, CONFIG, FIRST, INDEX, SECOND, dump, is_first, model, safetensors, split


def index_cases(c):
    base = {name: FIRST if is_first(name) else SECOND for name in sorted(BASE)}
    total = sum(len(t[2]) for t in BASE.values())

    def index_of(weight_map):
        return dump({"metadata": {"total_size": total}, "weight_map": weight_map})

    def sharded(name, about, expects, put=None, drop=(), text=None, **files):
        weight_map = {k: v for k, v in {**base, **(put or {})}.items() if k not in drop}
        # The shards themselves are those of index/good wherever they are whole.
        made = {"config.json": dump(CONFIG), INDEX: index_of(weight_map) if text is None else text}
        made.update(files.pop("files", None) or split())
        c.folder("index", name, made, expects, about)

    sharded("good-sharded", "control: the base model in two files", None)
    norm = "model.norm.weight"
    shards = split()
    sharded("shard-missing", "a shard that the index names is not there", [SECOND],
            files={FIRST: shards[FIRST]})
    sharded("tensor-not-in-shard", "the index names a tensor that the shard does not hold",
            ["model.layers.0.extra.weight"], put={"model.layers.0.extra.weight": SECOND})
    sharded("tensor-not-in-index", "a shard holds a tensor that the index does not name",
            [SECOND, norm], drop=(norm,))
    sharded("wrong-shard", "the index places a tensor in the other shard", [norm], put={norm: FIRST})
    both = safetensors({k: v for k, v in BASE.items() if is_first(k) or k == norm})
    sharded("tensor-in-both", "both shards hold a tensor", [norm],
            files={FIRST: both, SECOND: shards[SECOND]})
    sharded("shard-cut", "a shard is one byte short", [SECOND],
            files={FIRST: shards[FIRST], SECOND: shards[SECOND][:-1]})
    sharded("shard-empty", "a shard of no bytes", [SECOND, "0 bytes"],
            files={FIRST: shards[FIRST], SECOND: b""})

    few = {FIRST: shards[FIRST]}
    for name, file, shown, about in (
            ("parent", "../good-sharded/" + SECOND, "../good-sharded/", "a path upwards"),
            ("parent-inside", "x/../" + SECOND, "x/../", "a path up and down again"),
            ("absolute", "/etc/passwd", "/etc/passwd", "an absolute path"),
            ("absolute-shard", "/tmp/" + SECOND, "/tmp/", "an absolute path of the right ending"),
            ("folder", "sub/" + SECOND, "sub/", "a path downwards"),
            ("backslash", "..\\" + SECOND, "..\\", "a path upwards on another system"),
            ("drive", "C:" + SECOND, "C:", "a drive on another system"),
            ("nul", SECOND + "\0.txt", "", "a NUL, at which C would end the name"),
            ("nul-inside", "model\0.safetensors", "\\u{0}", "a NUL inside a name"),
            ("terminal-escape", "\x1b[2J.safetensors", "\\u{1b}", "a name that clears a terminal"),
            ("dot-dot", "..", "..", "the folder above"),
            ("empty-name", "", "", "no name"),
            ("hidden", ".safetensors", ".safetensors", "an ending and no name"),
            ("pickle", "pytorch_model.bin", "pytorch_model.bin", "a file of another kind"),
            ("name-long", "n" * 5000 + ".safetensors", "", "a name longer than file systems allow")):
        sharded("path-" + name, about, [INDEX, norm, *([shown] if shown else [])], put={norm: file},
                files=few)

    for name, weight_map, about in (
            ("map-array", [["a", FIRST]], "an array for the map"),
            ("map-string", FIRST, "a string for the map"),
            ("map-null", None, "null for the map"),
            ("map-empty", {}, "no entries"),
            ("file-number", {norm: 1}, "a number for a file"),
            ("file-array", {norm: [FIRST]}, "an array for a file"),
            ("file-null", {norm: None}, "null for a file")):
        sharded(name, about, [INDEX], text=index_of(weight_map), files=few)
    sharded("no-map", "no weight_map", [INDEX, "weight_map"],
            text=dump({"metadata": {"total_size": total}}), files=few)
    whole = index_of(base)
    line = f'"{norm}": "{SECOND}"'.encode()
    assert line in whole
    sharded("duplicate-tensor", "one tensor twice, in different shards", [INDEX, norm],
            text=whole.replace(line, line + f', "{norm}": "{FIRST}"'.encode()))
    sharded("duplicate-map", "two maps", [INDEX, "weight_map"],
            text=whole.rstrip()[:-1] + b', "weight_map": {}}')
    sharded("empty", "no bytes", [INDEX], text=b"", files=few)
    sharded("cut", "the end is missing", [INDEX], text=whole[:300], files=few)
    sharded("array", "an array", [INDEX], text=b"[]", files=few)
    sharded("garbage-after", "a letter after the object", [INDEX], text=whole + b"x", files=few)
    sharded("not-utf-8", "a name that is not UTF-8", [INDEX],
            text=whole.replace(norm.encode(), b"model.\xff.weight"), files=few)
    sharded("deep", "ten thousand arrays in each other", [INDEX], files=few,
            text=whole.rstrip()[:-1] + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}")
    sharded("link-out", "a shard is a link out of the folder", [SECOND],
            files={FIRST: shards[FIRST], SECOND: "../good-sharded/" + SECOND})
    sharded("link-dangling", "a shard is a link to nothing", [SECOND],
            files={FIRST: shards[FIRST], SECOND: "nothing-here.safetensors"})
    sharded("link-loop", "a shard is a link to itself", [SECOND],
            files={FIRST: shards[FIRST], SECOND: SECOND})
