"""Runs commands and measures them: wall and processor seconds, peak memory, bytes on the disk."""

import mmap
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time

from ingot_tools import REPOSITORY, tool

ROOT = str(REPOSITORY)
# $INGOT_BUILD names a folder with both programs when they are not to be built here.
BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, ".build/release")
INGOT = os.path.join(BUILD, "ingot")
NANO = os.path.join(ROOT, "Tests/Fixtures/m2-nano")

RECIPES = {
    "int4 g64 rtn": "rules:\n  - encoding: int4 g64 zero f16\n    quantizer: round-to-nearest\n",
    "int4 g64 search": "rules:\n  - encoding: int4 g64 zero f16\n    quantizer: search\n",
    "mlx rtn": "format: mlx\nrules:\n  - encoding: int4 g64 bias bf16\n    quantizer: round-to-nearest\n",
    "q4_0 rtn": "format: gguf\nrules:\n  - encoding: q4_0\n    quantizer: round-to-nearest\n",
    "w4a16 rtn": "format: compressed-tensors\nrules:\n  - parts: [embedding, head]\n    encoding: bf16\n  - encoding: int4 g128 sym bf16\n    quantizer: round-to-nearest\n",
}


def say(text):
    print(text, file=sys.stderr, flush=True)


class Run:
    """One process: wall and processor seconds, peak memory, and what it had on the disk at most.

    With `writing`, the path that it writes, its files there (and beside it, names that begin alike), in a temporary
    folder of its own and deleted ones that it holds open are looked at a hundred times a second. `disk` is the largest
    sum of their allocated bytes, `written` that of the output at the end.
    """

    def __init__(self, command, environment=None, writing=None):
        start = time.monotonic()
        self.disk = self.written = 0
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryDirectory() as scratch:
            own = {"TMPDIR": scratch} if writing else {}
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **own, **(environment or {})},
                cwd=ROOT)
            ended = threading.Event()
            watcher = threading.Thread(target=self.watch, args=(process.pid, writing, scratch, ended))
            if writing:
                watcher.start()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.wall = time.monotonic() - start
            if writing:
                ended.set()
                watcher.join()
                self.written = allocated(writing)
            output.seek(0)
            self.output = output.read()
        self.cpu = usage.ru_utime + usage.ru_stime
        # What the disk was asked for; on Linux in blocks of 512 bytes.
        self.disk_read, self.disk_written = usage.ru_inblock * 512, usage.ru_oublock * 512
        self.memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{self.output[-2000:]}")

    def watch(self, pid, path, scratch, ended):
        while not ended.wait(0.01):
            self.disk = max(self.disk, allocated(path) + allocated(scratch + os.sep) + deleted(pid))


def allocated(prefix):
    """Bytes on the disk of files whose paths begin so, and in folders whose paths do."""
    total, (folder, begin) = 0, os.path.split(prefix)
    try:
        for entry in os.scandir(folder):
            if not entry.name.startswith(begin):
                continue
            if entry.is_dir(follow_symlinks=False):
                total += allocated(entry.path + os.sep)
            else:
                total += entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        pass
    return total


def deleted(pid):
    """Bytes on the disk of files without a name that a process has open; Linux only."""
    total = 0
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            about = entry.stat()
            if about.st_nlink == 0 and stat.S_ISREG(about.st_mode):
                total += about.st_blocks * 512
    except OSError:
        pass
    return total


def size_of(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(entry.stat().st_size for entry in os.scandir(path))


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def weights_of(checkpoint):
    return sorted(os.path.join(checkpoint, n) for n in os.listdir(checkpoint) if n.endswith(".safetensors"))


def open_direct(path, flags):
    direct = getattr(os, "O_DIRECT", 0)
    try:
        return os.open(path, flags | direct, 0o644)
    except OSError:
        return os.open(path, flags, 0o644)


def raw_copy(checkpoint, out, work):
    """Reads the checkpoint's weights and writes `out` bytes; wall and processor seconds."""
    piece, threads = 1 << 23, 4
    sources = [(path, at) for path in weights_of(checkpoint) for at in range(0, os.path.getsize(path), piece)]
    target = os.path.join(work, "copy.tmp")
    remove(target)
    start, before = time.monotonic(), os.times()
    sink = open_direct(target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(sink, 0, out)
    files = {path: open_direct(path, os.O_RDONLY) for path in weights_of(checkpoint)}
    share = -(-out // len(sources) // 4096) * 4096
    lock, failures = threading.Lock(), []
    queue = list(enumerate(sources))

    def turn():
        buffer = mmap.mmap(-1, max(piece, share))
        view = memoryview(buffer)
        try:
            while True:
                with lock:
                    if not queue or failures:
                        return
                    number, (path, at) = queue.pop(0)
                os.preadv(files[path], [view[:piece]], at)
                if number * share < out:
                    os.pwritev(sink, [view[:share]], number * share)
        except OSError as error:
            failures.append(error)

    workers = [threading.Thread(target=turn) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    os.fsync(sink)
    for file in [sink, *files.values()]:
        os.close(file)
    wall, after = time.monotonic() - start, os.times()
    remove(target)
    if failures:
        raise failures[0]
    return wall, after.user + after.system - before.user - before.system


def checkpoint(work, **options):
    """A synthetic checkpoint, made when it is not there."""
    name = "-".join(f"{key}{value}" for key, value in options.items())
    path = os.path.join(work, "m2-" + name)
    done = os.path.join(path, "done")
    if not os.path.exists(done):
        remove(path)
        say(f"making {path}")
        command = [*tool("make-checkpoint"), path, "--tokenizer", NANO]
        for key, value in options.items():
            command += ["--" + key, str(value)]
        Run(command)
        open(done, "w").close()
    return path


def quantize(source, recipe, work, *options, watched=False):
    """Converts and gives the run and the bytes written."""
    suffix = ".gguf" if recipe.startswith("q") else ".ct" if recipe.startswith("w4") else (
        ".mlx" if recipe.startswith("mlx") else ".ingot")
    name = recipe
    if recipe in RECIPES:
        name = os.path.join(work, recipe.replace(" ", "-") + ".yaml")
        with open(name, "w") as file:
            file.write("name: bench\n" + RECIPES[recipe])
    target = os.path.join(work, "out" + suffix)
    remove(target)
    run = Run(
        [INGOT, "quantize", source, "--recipe", name, "-o", target, *options], writing=target if watched else None)
    return run, size_of(target), target
