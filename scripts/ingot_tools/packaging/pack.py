#!/usr/bin/env python3
"""Packs a folder into a .tar.gz whose bytes depend on names, contents and the executable bit alone.

usage: scripts/tools pack FOLDER FILE.tar.gz --epoch SECONDS
    --epoch     modification time of everything in it, in seconds since 1970
Also writes FILE.tar.gz.sha256, as `sha256sum --check` reads it.
"""
import argparse
import gzip
import hashlib
import pathlib
import sys
import tarfile


def normalized(entry: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = epoch
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def pack(folder: pathlib.Path, output: pathlib.Path, epoch: int) -> None:
    with open(output, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=epoch) as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path in [folder, *sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts)]:
                name = folder.name / path.relative_to(folder)
                archive.add(path, str(name), recursive=False, filter=lambda entry: normalized(entry, epoch))
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    output.with_name(output.name + ".sha256").write_text(f"{digest}  {output.name}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--epoch", type=int, required=True)
    arguments = parser.parse_args()
    pack(arguments.folder.resolve(), arguments.file, arguments.epoch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
