#!/usr/bin/env python3
"""Reads .ingot artifacts: the package in python/, called from a checkout without being installed.

    reader.py FILE... --digests          SHA-256 of each tensor's values, as F32 little endian
    reader.py FILE --dump FOLDER         side files, and every tensor as .npy
    reader.py FILE --tensor NAME         values of one tensor
    reader.py FILE...                    what the files hold

It shares no code with the library in Swift; the tests of that compare every value and every refusal.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))
from ingot.__main__ import main  # noqa: E402


def arguments() -> list[list[str]]:
    """The command lines of `python -m ingot` that do the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--digests", action="store_true", help="SHA-256 of each tensor's values")
    parser.add_argument("--tensor", metavar="NAME", help="print the values of one tensor")
    parser.add_argument("--dump", metavar="FOLDER", help="write side files and tensors as .npy")
    options = parser.parse_args()
    if options.digests:
        return [["digests", *options.files]]
    if options.dump is not None:
        return [["dump", path, options.dump] for path in options.files]
    if options.tensor is not None:
        return [["show", path, options.tensor] for path in options.files]
    return [["ls", path] for path in options.files]


if __name__ == "__main__":
    sys.exit(max(main(line) for line in arguments()))
