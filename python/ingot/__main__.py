"""python -m ingot: what an artifact holds, and its tensors for other tools.

    python -m ingot ls FILE [--json]                names, shapes, encodings and sizes
    python -m ingot show FILE NAME                  the values of one tensor
    python -m ingot digests FILE...                 SHA-256 of each tensor's values, as F32 little endian
    python -m ingot dump FILE FOLDER                side files, and every tensor as .npy
    python -m ingot safetensors FILE OUT            every tensor in a SafeTensors file
    python -m ingot check FILE...                   reads everything once, against its checksums

Any part of an artifact in parts is the whole of it. Exit code 1: a file is damaged or cannot be read, 64: usage.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence

import numpy as np

from . import Artifact, FormatError, listing
from .safetensors import TARGETS


def digests(artifact: Artifact) -> None:
    """A line for each tensor: its digest, or that F32 does not hold its values."""
    for tensor in artifact.values():
        digest = "no-values-in-f32"
        if tensor.encoding.is_decodable:
            digest = hashlib.sha256(tensor.values().astype("<f4", copy=False).tobytes()).hexdigest()
        print(digest, tensor.name)


def dump(artifact: Artifact, folder: str) -> None:
    """Side files under their names and values in .npy, where F32 holds them."""
    os.makedirs(folder, exist_ok=True)
    for tensor in artifact.values():
        if tensor.encoding.is_decodable:
            np.save(os.path.join(folder, tensor.name.replace("/", "_") + ".npy"), tensor.values())
    for file in artifact.files.values():
        path = os.path.join(folder, file.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(file.content())


def show(artifact: Artifact, name: str) -> None:
    if name not in artifact:
        raise FormatError(artifact.path, f"a tensor {name!r}", "none of this name")
    print(artifact[name].to_numpy())


def ls(artifact: Artifact, as_json: bool) -> None:
    if as_json:
        print(json.dumps(listing.described(artifact), indent=1, ensure_ascii=False))
    else:
        print("\n".join(listing.table(artifact)))


class Parser(argparse.ArgumentParser):
    """Exit code 64 for wrong usage, as `ingot` has it."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m ingot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, text, several in (
            ("ls", "names, shapes, encodings and sizes", False), ("show", "the values of one tensor", False),
            ("digests", "SHA-256 of each tensor's values", True), ("dump", "side files, and tensors as .npy", False),
            ("safetensors", "every tensor in a SafeTensors file", False), ("check", "read everything against checksums", True)):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("files", nargs="+" if several else 1, metavar="FILE")
        if name == "ls":
            command.add_argument("--json", action="store_true", help="one object with all names in full")
        elif name == "show":
            command.add_argument("name", metavar="NAME")
        elif name == "dump":
            command.add_argument("folder", metavar="FOLDER")
        elif name == "safetensors":
            command.add_argument("output", metavar="OUT")
            command.add_argument("--dtype", choices=TARGETS, default="F32", help="of what is not dense (default F32)")
            command.add_argument("--only", metavar="PATTERN", default="*", help="names such as 'model.layers.0.*'")
            command.add_argument("--force", action="store_true", help="replace OUT")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, path: str) -> None:
    artifact = Artifact(path)
    if options.command == "ls":
        ls(artifact, options.json)
    elif options.command == "show":
        show(artifact, options.name)
    elif options.command == "digests":
        digests(artifact)
    elif options.command == "dump":
        dump(artifact, options.folder)
    elif options.command == "safetensors":
        if os.path.lexists(options.output) and not options.force:
            raise FileExistsError(f"output already exists: {options.output} (use --force to replace it)")
        artifact.to_safetensors(options.output, options.only, options.dtype, overwrite=options.force)
    else:
        artifact.check()
        print(f"{path}: all checksums are right")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    failed = 0
    for path in options.files:
        try:
            run(options, path)
        except BrokenPipeError:
            # Whoever reads has seen enough, as `head` has.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (FormatError, OSError) as error:
            print(error, file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
