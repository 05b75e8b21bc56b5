"""Folders as repositories of the Hub: their files at one commit, with the hashes by which the Hub names content."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import threading

# The Hub keeps these beside Git, whatever their size; others when they are larger than the limit.
LARGE_SUFFIXES = {".safetensors", ".gguf", ".bin", ".pt", ".ingot"}
LARGE_SIZE = 1 << 20


@dataclasses.dataclass
class File:
    """A file of a repository."""

    name: str
    path: pathlib.Path
    size: int
    is_large: bool
    blob: str = ""
    sha256: str = ""

    def hash(self) -> None:
        digest = hashlib.sha256()
        with self.path.open("rb") as stream:
            if not self.is_large:
                self.blob = git_blob(stream.read())
                return
            while piece := stream.read(1 << 22):
                digest.update(piece)
        self.sha256 = digest.hexdigest()
        self.blob = git_blob(self.pointer().encode())

    def pointer(self) -> str:
        """What Git has in place of a large file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"

    @property
    def tag(self) -> str:
        return self.sha256 if self.is_large else self.blob


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Repository:
    """A folder at the commit that its content makes."""

    def __init__(self, name: str, folder: pathlib.Path, revision: str = "main") -> None:
        self.name = name
        self.revision = revision
        self.folder = folder
        self.lock = threading.Lock()
        self.files: dict[str, File] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                size = path.stat().st_size
                large = path.suffix in LARGE_SUFFIXES or size > LARGE_SIZE
                relative = path.relative_to(folder).as_posix()
                self.files[relative] = File(relative, path, size, large)
        for file in self.files.values():
            file.hash()
        listing = "".join(f"{file.name} {file.blob}\n" for file in self.files.values())
        self.commit = hashlib.sha1(f"{name} {revision}\n{listing}".encode()).hexdigest()

    def info(self, blobs: bool) -> dict:
        """The answer of /api/models/NAME/revision/REVISION."""
        siblings = []
        for file in self.files.values():
            entry: dict = {"rfilename": file.name}
            if blobs:
                entry |= {"size": file.size, "blobId": file.blob}
                if file.is_large:
                    entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer())}
            siblings.append(entry)
        return {
            "_id": self.commit[:24],
            "id": self.name,
            "modelId": self.name,
            "author": self.name.split("/")[0],
            "sha": self.commit,
            "lastModified": "2026-11-30T00:00:00.000Z",
            "createdAt": "2026-11-30T00:00:00.000Z",
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
        }

    def tree(self) -> list[dict]:
        """The answer of /api/models/NAME/tree/REVISION?recursive=true."""
        entries: list[dict] = []
        folders = {str(parent) for name in self.files for parent in pathlib.PurePosixPath(name).parents} - {"."}
        for folder in sorted(folders):
            entries.append({"type": "directory", "oid": git_blob(folder.encode()), "size": 0, "path": folder})
        for file in self.files.values():
            entry = {"type": "file", "oid": file.blob, "size": file.size, "path": file.name}
            if file.is_large:
                entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer())}
            entries.append(entry)
        return entries
