"""What is in an artifact, as JSON and as a table of at most 100 columns."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from .artifact import Artifact

WIDTH = 100


def described(artifact: Artifact) -> dict[str, Any]:
    """Names, shapes, encodings and sizes as one object. Sizes are bytes in the file."""
    tensors = [
        {"name": tensor.name, "kind": tensor.kind, "layer": tensor.layer if tensor.layer >= 0 else None,
         "expert": tensor.expert if tensor.expert >= 0 else None, "shape": list(tensor.shape),
         "encoding": tensor.encoding.name, "bytes": tensor.nbytes, "part": tensor.part + 1, "start": tensor.start}
        for tensor in artifact.tensors.values()]
    files = [
        {"name": file.name, "bytes": file.nbytes, "storedBytes": file.stored, "provenance": file.is_provenance}
        for file in artifact.files.values()]
    return {
        "file": artifact.path, "parts": len(artifact.parts), "bytes": sum(part.size for part in artifact.parts),
        "parameters": sum(math.prod(tensor.shape) for tensor in artifact.tensors.values()),
        "tensors": tensors, "sideFiles": files}


def table(artifact: Artifact) -> list[str]:
    """The lines of a table: a row for each tensor, one for each side file, and sums."""
    rows = [(printable(tensor.name), "×".join(map(str, tensor.shape)) or "scalar", tensor.encoding.name, f"{tensor.nbytes:,}")
            for tensor in artifact.tensors.values()]
    rows += [(printable(file.name), "", "provenance" if file.is_provenance else "side file", f"{file.nbytes:,}")
             for file in artifact.files.values()]
    head = ("name", "shape", "encoding", "bytes")
    rows = [(name, shortened(shape, 34), encoding, size) for name, shape, encoding, size in rows]
    widths = [max(columns(row[i]) for row in [head, *rows]) for i in range(4)]
    # Names get what the others leave; the middle of a longer one is left out, so that its layer and its end stay.
    widths[0] = max(min(widths[0], WIDTH - 6 - sum(widths[1:])), 12)
    lines = []
    for row in [head, *rows]:
        cells = [shortened(row[0], widths[0]), row[1], row[2], row[3]]
        padding = [" " * (widths[i] - columns(cells[i])) for i in range(4)]
        lines.append(f"{cells[0]}{padding[0]}  {cells[1]}{padding[1]}  {cells[2]}{padding[2]}  {padding[3]}{cells[3]}")
    parameters = sum(math.prod(tensor.shape) for tensor in artifact.tensors.values())
    size = sum(tensor.nbytes for tensor in artifact.tensors.values())
    density = f", {8 * size / parameters:.3f} bits per weight" if parameters else ""
    lines.append(f"{len(artifact):,} tensors of {parameters:,} parameters in {size:,} bytes{density}")
    return lines


def printable(text: str) -> str:
    """Without characters that drive a terminal or change the direction of writing: names come out of files."""
    return "".join(c if unicodedata.category(c)[0] not in "CZ" or c == " " else f"\\u{{{ord(c):x}}}" for c in text)


def columns(text: str) -> int:
    """Columns that a terminal takes for it."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shortened(text: str, width: int) -> str:
    """With "…" for its middle where it is wider."""
    if columns(text) <= width:
        return text
    head, tail = text, text
    while columns(head) > (width - 1) // 2:
        head = head[:-1]
    while columns(tail) > width - 1 - columns(head):
        tail = tail[1:]
    return head + "…" + tail
