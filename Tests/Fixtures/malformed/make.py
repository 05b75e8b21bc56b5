#!/usr/bin/env python3
"""Makes the malformed checkpoints beside this file, and cases.json, which lists them.

    Tests/Fixtures/malformed/make.py            # rewrites everything; the result is checked in
    Tests/Fixtures/malformed/make.py --check    # fails if what is checked in differs

Each case of cases.json has `name`, `path`, `target` (what reads it: "header" for one SafeTensors
file on its own, "safetensors", "config" and "index" for a checkpoint folder, "ingot", "tokenizer",
"recipe"), `expects` (strings that the error message must hold: file, tensor, what was found) and
`about`. Controls have `"ok": true` and must be read without an error.

Standard library only, deterministic: one seeded generator makes the weights, and nothing else is
drawn.
"""

import argparse
import filecmp
import json
import os
import shutil
import sys
import tempfile

from making.base import CONFIG, Cases, dump
from making.configs import config_cases
from making.headers import header_cases
from making.indexes import index_cases
from making.others import other_cases
from making.tensors import tensor_cases

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = {"make.py", "making", "README.md"}


def make(root):
    c = Cases(root)
    # Files on their own need a config beside them when a tool is pointed at one.
    c.write("header/config.json", dump(CONFIG))
    header_cases(c)
    config_cases(c)
    tensor_cases(c)
    index_cases(c)
    other_cases(c)
    with open(os.path.join(root, "cases.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(x, ensure_ascii=True) for x in c.list) + "\n]\n")
    return c.list


def listing(root):
    out = {}
    for folder, folders, files in os.walk(root):
        for name in files + [d for d in folders if os.path.islink(os.path.join(folder, d))]:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, root)
            if key.split(os.sep)[0] not in KEPT:
                out[key] = path
    return out


def same(a, b):
    if os.path.islink(a) or os.path.islink(b):
        return os.path.islink(a) and os.path.islink(b) and os.readlink(a) == os.readlink(b)
    return filecmp.cmp(a, b, shallow=False)


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        cases = make(fresh)
        new, old = listing(fresh), listing(HERE)
        if a.check:
            wrong = sorted(k for k in new.keys() | old.keys()
                           if k not in new or k not in old or not same(new[k], old[k]))
            for key in wrong:
                print(f"differs: {key}", file=sys.stderr)
            return 1 if wrong else 0
        for name in os.listdir(HERE):
            path = os.path.join(HERE, name)
            if name not in KEPT:
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        shutil.copytree(fresh, HERE, symlinks=True, dirs_exist_ok=True)
        size = sum(os.lstat(path).st_size for path in new.values())
        print(f"{len(cases)} cases, {len(new)} files, {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
