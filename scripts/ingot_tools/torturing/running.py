"""Running the command with faults, and judging what it left behind."""

import hashlib
import os
import re
import shutil
import subprocess

TIMEOUT = 60
SOURCE = "source"


class Target:
    """One command that writes one output, and what an undisturbed run writes.

    In its arguments {place} is the folder that it runs in, whose files are the ones that faults befall: `source` is a folder
    of which {place}/source has hard links. A command that only prints (`prints`) writes its state to `output`. One that does
    not know how much it will write (`grows`) cannot refuse a disk before it begins.
    """

    def __init__(self, name, arguments, output, before=None, source=None, prints=False, grows=False):
        self.name, self.arguments, self.output = name, arguments, output
        self.source, self.prints, self.grows = source, prints, grows or prints
        # A folder with the artifact that this run replaces, and what stands there.
        self.before = before
        self.old = contents(before) if before else {}
        self.reference = None
        self.calls = 0


class Rig:
    """The command, the library of faults, and a folder to work in."""

    def __init__(self, ingot, faults, folder):
        self.ingot, self.faults, self.folder = ingot, faults, folder

    def run(self, target, place, threads=2, **fault):
        """Runs a target in the folder `place`; `fault` are the library's variables without their prefix."""
        environment = dict(os.environ)
        if fault:
            environment["LD_PRELOAD"] = self.faults
            environment["FAULT_ROOT"] = place
            for key, value in fault.items():
                environment["FAULT_" + key.upper()] = str(value)
        command = [self.ingot, *(word.replace("{place}", place) for word in target.arguments),
                   "--state" if target.prints else "-o", place + "/" + target.output, "--threads", str(threads)]
        outcome = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=TIMEOUT)
        outcome.printed = None  # type: ignore[attr-defined]
        if target.prints and outcome.returncode == 0:
            # But for how it was run.
            outcome.printed = re.sub(  # type: ignore[attr-defined]
                rb'"(seconds|threads|command)": ("[^"]*"|[0-9.e-]+)', b"", outcome.stdout).replace(place.encode(), b"")
        return outcome

    def fresh(self, name, target=None):
        place = os.path.join(self.folder, name)
        shutil.rmtree(place, ignore_errors=True)
        if target and target.before:
            shutil.copytree(target.before, place)
        else:
            os.makedirs(place)
        if target and target.source:
            shutil.copytree(target.source, place + "/" + SOURCE, copy_function=os.link)
        return place

    def prepare(self, targets):
        """An undisturbed run of each target, and the number of its calls on files."""
        for target in targets:
            place = self.fresh("reference", target)
            count = os.path.join(self.folder, "count")
            outcome = self.run(target, place, at=0, count=count)
            if outcome.returncode != 0:
                raise SystemExit(f"{target.name}: {outcome.stderr.decode()}")
            target.reference, target.printed = contents(place), outcome.printed
            with open(count) as file:
                target.calls = int(file.read().split()[0])
            target.size = size(place)
            if target.prints:
                # What it has written before it takes everything away.
                place = self.fresh("reference", target)
                self.run(target, place, at=target.calls * 3 // 4, kind="kill")
                target.size = size(place)
            # With other threads the same.
            place = self.fresh("reference", target)
            outcome = self.run(target, place, threads=1)
            if outcome.returncode != 0 or contents(place) != target.reference or outcome.printed != target.printed:
                raise SystemExit(f"{target.name}: two runs differ")


def size(place):
    """Bytes of every file below a folder but what is read."""
    return sum(os.lstat(os.path.join(place, name)).st_size for name in contents(place))


def contents(place):
    """Hash of every file below a folder but what is read, links as what they say."""
    found = {}
    for folder, folders, names in os.walk(place):
        if folder == place and SOURCE in folders:
            folders.remove(SOURCE)
        for name in names:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, place)
            if os.path.islink(path):
                found[key] = os.readlink(path)
            else:
                with open(path, "rb") as file:
                    found[key] = hashlib.blake2b(file.read(), digest_size=16).hexdigest()
    return found


def published(place):
    """What stands under final names: everything but unfinished forms, what belongs to them, and what stepped aside."""
    return {
        name: value for name, value in contents(place).items() if ".partial" not in name and ".replaced" not in name}


def is_unfinished(target, found):
    """Whether what is published can be taken for nothing else than a part: the first file is not there, and what is
    there is new or old."""
    first = min(target.reference, default=None)
    return first not in found and all(
        value in (target.reference.get(name), target.old.get(name)) for name, value in found.items())


def is_sound(target, place):
    """Whether what stands under final names is the old artifact, the new one, or a part that looks like neither."""
    found = published(place)
    return found in ({}, target.old, target.reference) or is_unfinished(target, found)


def judge(target, place, outcome):
    """What is wrong with how a disturbed run ended; None when it is as it should be."""
    found = published(place)
    text = outcome.stderr.decode(errors="replace")
    if outcome.returncode == 0:
        if outcome.printed != target.printed:
            return "printed other figures"
        return None if found == target.reference else "reported success without the right bytes"
    if outcome.returncode not in (1, 75):
        return f"ended with {outcome.returncode}: {text[:300]}"
    if "error:" not in text and "stopped" not in text:
        return "failed without a word"
    if not is_sound(target, place):
        return f"left a bad artifact: {sorted(found)}"
    if outcome.returncode == 75 and "run the same command again" not in text:
        return "exit 75 without a word"
    return None
