#!/usr/bin/env python3
"""Runs every reader under libFuzzer with address sanitizer.

    scripts/tools fuzz                          # 10 seconds for each target
    scripts/tools fuzz 60 --target gguf         # one of them for a minute
    scripts/tools fuzz 2 --debug                # what is checked in, and a little more
    scripts/tools fuzz 0                        # only what is checked in, once
    scripts/tools fuzz 600 --keep /var/fuzz     # and keeps what it finds interesting, for the next run
    scripts/tools fuzz --keep /var/fuzz --minimize OUT  # the fewest of those that reach as much, and no run

An input that stops a reader (a crash, more than 64 MiB and 32 bytes for each of its own, more than a second of
processor time, an error with control characters in it) is kept in Fuzz/found, and the run ends with exit code 1.
Counts are added to Fuzz/record.json with --record.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
FUZZ = ROOT / "Fuzz"
BINARY = FUZZ / ".build/release/ingot-fuzz"
DEBUG = FUZZ / ".build/debug/ingot-fuzz"
RECORD = FUZZ / "record.json"
TARGETS = ["json", "safetensors", "index", "config", "tokenizer", "recipe", "gguf", "ingot", "imatrix", "calib",
           "gptq", "awq", "compressed-tensors", "mlx", "exl3", "plan", "sensitivity", "machines", "requests", "calls", "header"]
# include/ingot.h, which needs clang alone; it begins with what `ingot` does as well.
HEADER = FUZZ / ".build/header"
# Longest input that mutation makes, in bytes. Long ones are slow and seldom reach more.
LENGTHS = {"json": 512, "recipe": 2048, "config": 2048, "imatrix": 2048, "tokenizer": 8192, "gguf": 12_000,
           "ingot": 16_000, "safetensors": 14_000, "calib": 14_000, "plan": 2048, "sensitivity": 4096, "machines": 512,
           "requests": 1024, "calls": 512,
           "header": 16_000}
LENGTH = 6_000
ENVIRONMENT = {
    # Swift's own report of a crash would wait for a debugger.
    "SWIFT_BACKTRACE": "enable=no",
    # Where memory was allocated is not kept, which takes a fifth of the time: run an input again without these options.
    "ASAN_OPTIONS": "detect_leaks=0:malloc_context_size=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=64",
}


def build(configuration):
    """The readers in Swift with sanitizers: the package above too. Minutes the first time."""
    command = ["swift", "build", "--package-path", str(FUZZ), "-c", configuration, "--sanitize=address",
               "-Xswiftc", "-sanitize=fuzzer", "--product", "ingot-fuzz"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit("\n".join(done.stdout.splitlines()[-30:]) + "\nthe fuzz targets do not build")


def build_header():
    """The reader in C. Seconds."""
    HEADER.parent.mkdir(exist_ok=True)
    command = [
        os.environ.get("CC", "clang"), "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror",
        "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", str(FUZZ / "header/header.c"),
        str(FUZZ / "Sources/ingot-fuzz/main.c"), "-o", str(HEADER)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nFuzz/header does not build")


def corpus(target, folder):
    """Unpacks what a target begins with."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ingot", "header") if target == "header" else (target,):
        file = FUZZ / f"corpus/{name}.zip"
        if file.exists():
            with zipfile.ZipFile(file) as packed:
                packed.extractall(folder)


def statistics(log):
    """Executions, inputs in the corpus and features, from libFuzzer's log."""
    executions, inputs, features = 0, 0, 0
    for line in log.splitlines():
        found = re.match(r"#(\d+)\s.*?\bft: (\d+) corp: (\d+)", line)
        if found:
            executions, features, inputs = map(int, found.groups())
        found = re.match(r"stat::number_of_executed_units:\s*(\d+)", line)
        if found:
            executions = max(executions, int(found[1]))
    return executions, inputs, features


def processor_time():
    """Seconds that finished children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(binary, target, seconds, folder, nice):
    """One target for so long: a row of the table, and what it stopped at."""
    corpus(target, folder / target)
    found = FUZZ / "found" / target
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    words = "ingot" if target == "header" else target
    command = [
        str(HEADER if target == "header" else binary), f"--target={target}", str(folder / target),
        f"-max_total_time={seconds}" if seconds else "-runs=0",
        f"-max_len={LENGTHS.get(target, LENGTH)}", f"-dict={FUZZ / f'dictionaries/{words}.dict'}",
        "-malloc_limit_mb=64", "-rss_limit_mb=3000", "-timeout=30", "-print_final_stats=1", "-len_control=20",
        f"-artifact_prefix={found}/"]
    if nice:
        command = ["nice", "-n", str(nice), *command]
    start, cpu = time.monotonic(), processor_time()
    try:
        done = subprocess.run(command, env=os.environ | ENVIRONMENT, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=seconds * 3 + 300)
        log, code = done.stderr.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as stopped:
        log, code = (stopped.stderr or b"").decode(errors="replace"), -1
    wall, cpu = time.monotonic() - start, processor_time() - cpu
    executions, inputs, features = statistics(log)
    new = sorted(set(found.iterdir()) - before)
    if not any(found.iterdir()):
        found.rmdir()
    return {"target": target, "executions": executions, "seconds": wall, "cpu": cpu, "corpus": inputs, "features": features,
            "code": code, "found": [str(path.relative_to(ROOT)) for path in new], "log": log}


def minimize(binary, target, folder, out):
    """The fewest inputs of `folder` that reach as much: for scripts/tools make-fuzz-corpus --take."""
    (out / target).mkdir(parents=True, exist_ok=True)
    length = LENGTHS.get(target, LENGTH)
    subprocess.run(
        [str(HEADER if target == "header" else binary), f"--target={target}", "-merge=1", f"-max_len={length}", str(out / target), str(folder / target)],
        env=os.environ | ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def record(rows):
    """Adds to the sums that are kept."""
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for row in rows:
        entry = kept.setdefault(row["target"], {"executions": 0, "seconds": 0, "cpuSeconds": 0, "runs": 0})
        entry["executions"] += row["executions"]
        entry["seconds"] = round(entry["seconds"] + row["seconds"])
        entry["cpuSeconds"] = round(entry["cpuSeconds"] + row["cpu"])
        entry["runs"] += 1
        entry["features"] = max(entry.get("features", 0), row["features"])
        entry["last"] = datetime.date.today().isoformat()
    RECORD.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


def table():
    """The sums as a table in Markdown."""
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    print("| reader | executions | processor minutes | executions/s of processor | hours more to 10⁸ | features |\n"
          "|---|---:|---:|---:|---:|---:|")
    all_hours = 0
    for target in TARGETS:
        if target in kept:
            row = kept[target]
            rate = row["executions"] / max(row["cpuSeconds"], 1)
            hours = max(0, 1e8 - row["executions"]) / rate / 3600
            all_hours += hours
            print(f"| {target} | {row['executions']:,} | {row['cpuSeconds'] / 60:.1f} | {rate:,.0f} | {hours:.1f} | "
                  f"{row['features']:,} |")
    print(f"| all | {sum(row['executions'] for row in kept.values()):,} | "
          f"{sum(row['cpuSeconds'] for row in kept.values()) / 60:.1f} | | {all_hours:.1f} | |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=int, default=10, help="for each target")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this one; may be repeated")
    parser.add_argument("--keep", type=pathlib.Path, help="folder of inputs that stays; else a temporary one")
    parser.add_argument("--minimize", type=pathlib.Path, metavar="OUT", help="with --keep")
    parser.add_argument("--rounds", type=int, default=1, help="how often to go through the targets")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="add to Fuzz/record.json")
    parser.add_argument("--build", action="store_true", help="only build")
    parser.add_argument("--no-build", action="store_true", help="use what is built")
    parser.add_argument("--debug", action="store_true", help="without optimizing: built sooner, runs a tenth as often")
    parser.add_argument("--binary", type=pathlib.Path, help="which, with --no-build")
    parser.add_argument("--table", action="store_true", help="only print the record")
    options = parser.parse_args()
    if options.table:
        return table()
    options.binary = options.binary or (DEBUG if options.debug else BINARY)
    targets = options.target or TARGETS
    if not options.no_build:
        if "header" in targets:
            build_header()
        if targets != ["header"]:
            build("debug" if options.debug else "release")
    if options.build:
        return
    if options.minimize:
        for target in targets:
            minimize(options.binary, target, options.keep, options.minimize)
        return
    folder = options.keep or pathlib.Path(tempfile.mkdtemp(prefix="ingot-fuzz-"))
    failed = False
    try:
        for _ in range(options.rounds):
            print(f"{'target':20} {'executions':>12} {'per CPU s':>10} {'corpus':>7} {'features':>9}  found", flush=True)
            for target in targets:
                row = run(options.binary, target, options.seconds, folder, options.nice)
                print(f"{target:20} {row['executions']:12,} {row['executions'] / max(row['cpu'], 0.01):10,.0f} "
                      f"{row['corpus']:7,} {row['features']:9,}  {len(row['found']) or 'nothing'}", flush=True)
                if options.record:
                    record([row])
                if row["code"] or row["found"]:
                    failed = True
                    told = [line for line in row["log"].splitlines() if re.search(
                        r"ERROR:|Fatal error|^MEMORY|^TIME|SUMMARY|no target", line)]
                    print("  " + "\n  ".join(line[:300] for line in told[:6] or row["log"].splitlines()[-5:]))
                    for path in row["found"]:
                        print(f"  again: SWIFT_BACKTRACE=enable=no {HEADER if target == 'header' else options.binary} --target={target} {path}")
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
