#!/usr/bin/env python3
"""Random variants of small checkpoints: valid ones are the same model, invalid ones are refused with a reason.

    scripts/tools variants                          # 100 valid and 100 invalid ones
    scripts/tools variants --count 2000 --seed 7
    scripts/tools variants --only 'gptq*'           # of bases, schemes and faults, those whose name fits a shell pattern
    scripts/tools variants --seed 7 --case valid:12 --keep FOLDER   # one of them, left in a folder

A valid variant spells config.json otherwise, stores the values in other types or codes, puts them into other files, places and
orders, and adds what means nothing (scripts/ingot_tools/varying). `ingot logits` must give the base's logits, or those of the codes'
values in F32 where codes round, within 1e-5 of the largest one; `ingot check` must find nothing.

An invalid variant has one fault. The command must end with exit code 1 and an error that names what is wrong, write
nothing, and neither crash nor hang.

Cases depend on seed and number alone. What fails is printed with the command that repeats it. Needs Python 3.9 and numpy.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import random
import shutil
import sys
import tempfile
import time
import traceback

import ingot_tools.varying.file_faults  # noqa: F401 It adds to the faults.
from ingot_tools import REPOSITORY
from ingot_tools.varying import faults, schemes, valid
from ingot_tools.varying.checkpoint import Base
from ingot_tools.varying.running import Rig

ROOT = str(REPOSITORY)
FAMILIES = ["minimax_m2-plain", "minimax_m2-bf16", "qwen3_moe-norm", "mixtral-plain", "qwen3-untied", "llama-plain",
            "llama-bias", "qwen2-tied", "mistral-full", "gemma3-nested", "deepseek_v3-plain", "qwen2_moe-norm", "olmoe-norm",
            "glm4_moe-norm", "granitemoe-untied", "gemma2-capped"]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", default=os.path.join(ROOT, ".build/release/ingot"))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=100, help="of each kind (default: %(default)s)")
    p.add_argument("--only", action="append", help="bases, schemes and faults by a shell pattern; may be repeated")
    p.add_argument("--case", metavar="KIND:NUMBER", help="one case alone: valid:12")
    p.add_argument("--keep", metavar="FOLDER", help="with --case: leave the checkpoint there")
    p.add_argument("--workers", type=int, default=os.cpu_count(), help="commands at once")
    a = p.parse_args()
    if a.keep and not a.case:
        p.error("--keep goes with --case")
    return a


def chosen(items, patterns, name):
    """The items whose names fit a pattern; all where none does."""
    found = [item for item in items if any(fnmatch.fnmatch(name(item), pattern) for pattern in patterns or ["*"])]
    return found or items


class Cases:
    def __init__(self, a, rig):
        self.a, self.rig = a, rig
        folders = [os.path.join(ROOT, "Tests/Fixtures/m2-nano")]
        folders += [os.path.join(ROOT, "Tests/Fixtures/families", name) for name in FAMILIES]
        self.bases = [Base(f) for f in chosen(folders, a.only, os.path.basename)]
        self.schemes = chosen(schemes.SCHEMES, a.only, lambda scheme: scheme.name)
        self.faults = chosen(faults.FAULTS, a.only, lambda fault: fault.__name__)
        # Schemes are asked for more seldom than the rest of a variant, unless they are what is looked for.
        self.always = len(self.schemes) < len(schemes.SCHEMES)

    def run(self, kind, number, place):
        """What is wrong with a case, as text; None when it is as it should be. And what the case is."""
        rng = random.Random(f"{self.a.seed} {kind} {number}")
        # The larger model takes most of the time.
        base = rng.choice(self.bases[1:] or self.bases) if rng.random() < 0.9 else self.bases[0]
        scheme = rng.choice(self.schemes) if self.always or rng.random() < 0.6 else None
        if scheme and not schemes.quantized(base, scheme):
            scheme = None
        if kind == "valid":
            checkpoint = valid.variant(base, scheme, rng)
            what = f"{base.name}: {', '.join(checkpoint.notes)}"
            given, environment = valid.placed(checkpoint, place, rng)
            return self.rig.accepted(base, scheme, given, environment, place), what
        fault = rng.choice(self.faults)
        checkpoint, expected, commands = faults.broken(fault, base, rng)
        what = f"{base.name}: {fault.__name__}, {', '.join(checkpoint.notes)}"
        given = checkpoint.write(os.path.join(place, "model"))
        return self.rig.refused(given, expected, commands, rng), what


def main():
    a = arguments()
    work = tempfile.mkdtemp(prefix="ingot-variants-")
    begin = time.monotonic()
    try:
        cases = Cases(a, Rig(os.path.abspath(a.ingot), work))
        jobs = [(kind, number) for kind in ("valid", "invalid") for number in range(a.count)]
        if a.case:
            kind, _, number = a.case.partition(":")
            jobs = [(kind, int(number))]
        failed, counts = 0, {"valid": 0, "invalid": 0}

        def one(job):
            place = a.keep or os.path.join(work, "%s-%d" % job)
            os.makedirs(place)
            try:
                kind, number = job
                return cases.run(kind, number, place)
            except Exception:
                return traceback.format_exc(), "a fault of this script"
            finally:
                if not a.keep:
                    shutil.rmtree(place, ignore_errors=True)

        with concurrent.futures.ThreadPoolExecutor(a.workers) as pool:
            for job, (problem, what) in zip(jobs, pool.map(one, jobs)):
                counts[job[0]] += 1
                if problem or a.case:
                    print(f"{'FAILED' if problem else 'ok'} {what}\n  {problem or ''}", flush=True)
                if problem:
                    failed += 1
                    patterns = "".join(f" --only '{pattern}'" for pattern in a.only or [])
                    print(f"  again: scripts/tools variants --seed {a.seed} --case {job[0]}:{job[1]}{patterns}", flush=True)
        print(f"variants, seed {a.seed}: {counts['valid']:,} valid, {counts['invalid']:,} invalid, {failed:,} failed, "
              f"{time.monotonic() - begin:.0f} s")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
