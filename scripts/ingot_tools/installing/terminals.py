"""Shells on a terminal of their own, asked what they offer at a Tab."""
from __future__ import annotations

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterable

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][A-Z0-9]?|\x1b\][^\x07]*\x07|.?\x08|[\r\x07]")
TIMEOUT = 20.0


def names(words: Iterable[str]) -> set[str]:
    """Without the mark of a folder."""
    return {word.removesuffix("/") for word in words}


class Terminal:
    """A shell with a key, Ctrl-G, that prints the line so far between << and >>, and empties it."""

    def __init__(self, command: list[str], folder: pathlib.Path, environment: dict[str, str]):
        self.process, self.file = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, environment)
        # Wide and high enough that no list is cut or paged.
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", 1000, 200, 0, 0))

    def send(self, text: str) -> None:
        os.write(self.file, text.encode())

    def read(self, end: str) -> str:
        """What is printed up to a pattern."""
        text, until = "", time.monotonic() + TIMEOUT
        while not re.search(end, text):
            if not select.select([self.file], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"expected {end!r}, found {text!r}")
            text += ESCAPES.sub("", os.read(self.file, 65536).decode(errors="replace"))
        return text

    def run(self, line: str) -> None:
        self.send(line + "; printf 'do''ne\\n'\n")
        self.read("done\n")

    def offered(self, line: str) -> set[str]:
        """What Tab lists after a line, and what it makes of the last word."""
        self.send(line + "\t\x07")
        listed, completed, _ = re.split(r"<<(.*)>>", self.read(r"<<.*>>"))
        begun = line.rpartition(" ")[2]
        word = completed.removeprefix(line.removesuffix(begun))
        return names([*listed.replace(line, " ").split(), *word.split()]) - {begun}

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.file)


class Bash(Terminal):
    def __init__(self, prefix: pathlib.Path, folder: pathlib.Path, environment: dict[str, str]):
        super().__init__(["bash", "--norc", "--noprofile", "-i"], folder, environment)
        for setting in ("show-all-if-ambiguous on", "completion-query-items 0", "page-completions off", "bell-style none",
                        "enable-bracketed-paste off"):
            self.run(f"bind 'set {setting}'")
        self.run(r"""show() { printf '\n<<%s>>\n' "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }""")
        self.run(r"""bind -x '"\C-g": show'""")
        self.run(f"source {prefix}/share/bash-completion/completions/ingot")


class Zsh(Terminal):
    def __init__(self, prefix: pathlib.Path, folder: pathlib.Path, environment: dict[str, str]):
        super().__init__(["zsh", "-f", "-i"], folder, environment)
        self.run("unsetopt prompt_cr prompt_sp; setopt no_auto_menu no_list_ambiguous no_beep; LISTMAX=10000; PROMPT='$ '")
        self.run(f"fpath=({prefix}/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D; bindkey -e")
        self.run(r"""show() { print; print -r -- "<<$BUFFER>>"; BUFFER=; }; zle -N show; bindkey '^G' show""")


class Fish(Terminal):
    """Fish has a command that lists what it offers; on a terminal, since functions ask what has been typed."""

    def __init__(self, prefix: pathlib.Path, folder: pathlib.Path, environment: dict[str, str]):
        super().__init__(["fish", "--no-config", "-i"], folder, environment)
        self.run("function fish_prompt; end; function fish_greeting; end; set fish_autosuggestion_enabled 0")
        self.run(f"source {prefix}/share/fish/vendor_completions.d/ingot.fish")

    def offered(self, line: str) -> set[str]:
        self.send(f"printf '<''<%s>>\\n' begin; complete -C '{line}'; printf '<''<%s>>\\n' end\n")
        listed = self.read(r"<<end>>").partition("<<begin>>")[2].partition("<<end>>")[0]
        return names(candidate.partition("\t")[0] for candidate in listed.splitlines() if candidate)


SHELLS = {"bash": Bash, "zsh": Zsh, "fish": Fish}
