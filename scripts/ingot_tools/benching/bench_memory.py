#!/usr/bin/env python3
"""How near decoding comes to what the disk allows, of a model that is larger than memory.

    scripts/tools bench-memory [FILE] [--memory 512] [--tokens 60] [--rounds 3] [--threads 2] [--ingot FILE]

FILE is a mixture of experts (default: the layer of scripts/tools bench-generate --stack in Q4_K, 2 GB, of which a token needs 65 MB of
experts). A memory control group of --memory MiB (a quarter of the default file; Linux, root) holds the process and the pages that it
reads; the page cache is dropped before each run. Decoding then waits for the disk: each run is held against this program reading, with
O_DIRECT and as many threads as ingot has for it (4), random slices of the file of an expert's size, right before and after.

    what the disk allows = its bytes a second / (bytes of experts that a token needs and that are not in memory)

ingot says how many bytes of experts it used and read (`experts` in --json); the control group says how many came from the disk. Prints the
share of what the disk allows, without read-ahead (neither --memory nor a file above the machine's memory asks for it) and with it. Last: the time
to the first token of files of two sizes, holes of as many layers, with 16 and with 256 experts.
"""
import argparse
import json
import mmap
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from ingot_tools import REPOSITORY, tool

GROUP = "/sys/fs/cgroup/memory/ingot-bench" if os.path.isdir("/sys/fs/cgroup/memory") else "/sys/fs/cgroup/ingot-bench"
LIMIT = os.path.join(GROUP, "memory.limit_in_bytes" if "memory/" in GROUP else "memory.max")
SLICE, THREADS = 2 << 20, 4


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def drop(path):
    """Lets go of what is cached of a file."""
    os.sync()
    write("/proc/sys/vm/drop_caches", "1")
    with open(path, "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_rate(path, seconds=4):
    """Bytes a second of random slices, past the page cache."""
    size, total, end = os.path.getsize(path) // SLICE, [0] * THREADS, time.monotonic() + seconds

    def work(index):
        descriptor, memory = os.open(path, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, SLICE)
        draw = random.Random(index)
        while time.monotonic() < end:
            total[index] += os.preadv(descriptor, [memory], draw.randrange(size) * SLICE)
        os.close(descriptor)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(total) / (time.monotonic() - begin)


def generate(options, path, tokens, *more):
    """What ingot says of a run within the group, and bytes that came from the disk."""
    drop(path)
    words = [options.ingot, "generate", path, "--raw", "--prompt", "The tool returned", "-n", str(tokens), "--temperature", "1", "--json",
             "--threads", str(options.threads), *more]
    # The shell enters the group, then becomes ingot; what it read is told by its last line.
    script = f'echo $$ > {GROUP}/cgroup.procs && "$0" "$@"; code=$?; grep read_bytes /proc/$$/io >&2; exit $code'
    done = subprocess.run(["bash", "-c", script, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-1000:])
    read = next(int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("read_bytes"))
    return json.loads(done.stdout), read


def first_token(options, folder, experts):
    if not os.path.isdir(folder):
        subprocess.run([*tool("make-checkpoint"), folder, "--sparse", "--layers", "8", "--experts", str(experts), "--vocabulary", "2048",
                        "--context", "8192", "--tokenizer", options.tokenizer], check=True, stdout=subprocess.DEVNULL)
    times = []
    for _ in range(options.rounds):
        begin = time.monotonic()
        done = subprocess.run([options.ingot, "generate", folder, "--raw", "--prompt", "The", "-n", "1", "--temperature", "0", "--json",
                               "--threads", str(options.threads)], capture_output=True, text=True)
        times.append(time.monotonic() - begin)
        if done.returncode:
            sys.exit(done.stderr[-1000:])
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    return size, statistics.median(times)


def main():
    p = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file", nargs="?")
    p.add_argument("--memory", type=int, default=512, help="MiB (default: %(default)s)")
    p.add_argument("--tokens", type=int, default=60)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "ingot-bench"))
    p.add_argument("--tokenizer", default=str(REPOSITORY / "Tests/Fixtures/m2-nano"))
    p.add_argument("--ingot", default=str(REPOSITORY / ".build/release/ingot"))
    options = p.parse_args()
    path = options.file or os.path.join(options.work, "m2-layer-q4_k_pure.gguf")
    if not os.path.exists(path):
        sys.exit(f"{path}: is not there; scripts/tools bench-generate --stack makes it")
    os.makedirs(GROUP, exist_ok=True)
    write(LIMIT, str(options.memory << 20))
    # Beside weights: code, the cache of keys and values, what the kernel counts.
    budget = f"{options.memory * 3 // 4}MiB"
    print(f"{os.path.basename(path)}, {os.path.getsize(path):,} bytes, in {options.memory} MiB of memory; weights at most {budget}")
    print(f"{'':24}{'tokens/s':>9}{'experts read':>14}{'from disk':>11}{'disk':>12}{'allows':>9}{'share':>7}")
    for name, more in (("left to the system", ()), ("read ahead", ("--memory", budget)), ("read ahead, --fast", ("--memory", budget, "--fast"))):
        rounds = []
        for _ in range(options.rounds):
            before = disk_rate(path)
            found, read = generate(options, path, options.tokens, *more)
            disk = (before + disk_rate(path)) / 2
            # What a run that reads nothing but a prompt took from the disk is not decoding's.
            _, prompt = generate(options, path, 1, *more)
            needed = (read - prompt) / (options.tokens - 1)
            allowed = disk / needed
            rounds.append((found["tokensPerSecond"], (found["experts"] or {}).get("readBytes", 0) / options.tokens, needed, disk, allowed,
                           found["tokensPerSecond"] / allowed))
        m = [statistics.median(column) for column in zip(*rounds)]
        print(f"{name:24}{m[0]:>9.2f}{m[1] / 1e6:>11.1f} MB{m[2] / 1e6:>8.1f} MB{m[3] / 1e6:>7.0f} MB/s{m[4]:>9.2f}{m[5]:>7.2f}"
              f"  {min(r[5] for r in rounds):.2f} to {max(r[5] for r in rounds):.2f}", flush=True)
    os.rmdir(GROUP)
    for experts in (16, 256):
        size, seconds = first_token(options, os.path.join(options.work, f"holes-{experts}"), experts)
        print(f"first token of {size / 1e9:5.1f} GB, 8 layers of {experts} experts: {seconds:.2f} s with the start of the program")


main()
