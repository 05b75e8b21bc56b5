"""What mkdocs asks while it builds the site: pages link to files of the repository outside of docs, which it does not
know. Those files become part of the site, under repository/, and links to them are written anew."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from mkdocs.structure.files import File, Files

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
PREFIX = "repository/"
LINK = re.compile(r"(\]\(<?)([^)\s>#]+)((?:#[^)\s>]*)?>?(?:\s+\"[^\"]*\")?\))")


def place(page: str) -> str:
    """Where a page of the site is in the repository."""
    return page.removeprefix(PREFIX) if page.startswith(PREFIX) else "docs/" + page


def page_of(path: str) -> str:
    """The page of the site that a file of the repository becomes."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else PREFIX + path


def target(page: str, link: str) -> str | None:
    """The file of the repository that a link of a page means; None for an address, or what is not there."""
    if re.match(r"[a-z]+:|/", link):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place(page)), link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def on_files(files: Files, *, config: Any) -> Files:
    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for match in LINK.finditer((ROOT / place(page)).read_text(encoding="utf-8")):
            path = target(page, match[2])
            if path is None or path.startswith("docs/") or path == "README.md":
                continue
            added = page_of(path)
            if files.get_file_from_path(added) is None:
                files.append(File.generated(config, added, abs_src_path=str(ROOT / path)))
                if path.endswith(".md"):
                    waiting.append(added)
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    source = page.file.src_uri

    def written(match: re.Match[str]) -> str:
        path = target(source, match[2])
        if path is None:
            return match[0]
        return match[1] + posixpath.relpath(page_of(path), posixpath.dirname(source) or ".") + match[3]

    return LINK.sub(written, markdown)
