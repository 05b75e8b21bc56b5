"""Running the command with faults, and judging what it left behind."""

import hashlib
import os
import shutil
import subprocess

TIMEOUT = 60


class Target:
    """One command that writes one output, and what an undisturbed run writes."""

    def __init__(self, name, arguments, output, before=None):
        self.name, self.arguments, self.output = name, arguments, output
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
        command = [self.ingot, *target.arguments, "-o", place + "/" + target.output, "--threads", str(threads)]
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=TIMEOUT)

    def fresh(self, name, target=None):
        place = os.path.join(self.folder, name)
        shutil.rmtree(place, ignore_errors=True)
        if target and target.before:
            shutil.copytree(target.before, place)
        else:
            os.makedirs(place)
        return place

    def prepare(self, targets):
        """An undisturbed run of each target, and the number of its calls on files."""
        for target in targets:
            place = self.fresh("reference", target)
            count = os.path.join(self.folder, "count")
            outcome = self.run(target, place, at=0, count=count)
            if outcome.returncode != 0:
                raise SystemExit(f"{target.name}: {outcome.stderr.decode()}")
            target.reference = contents(place)
            target.size = sum(
                os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(place) for name in names)
            with open(count) as file:
                target.calls = int(file.read().split()[0])
            # With other threads the same.
            place = self.fresh("reference", target)
            if self.run(target, place, threads=1).returncode != 0 or contents(place) != target.reference:
                raise SystemExit(f"{target.name}: two runs differ")


def contents(place):
    """Hash of every file below a folder, links as what they say."""
    found = {}
    for folder, _, names in os.walk(place):
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
    first = sorted(target.reference)[0]
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
        return None if found == target.reference else "reported success without the right bytes"
    if outcome.returncode not in (1, 75):
        return f"ended with {outcome.returncode}: {text[:300]}"
    if "error:" not in text and "stopped" not in text:
        return "failed without a word"
    if not is_sound(target, place):
        return f"left a bad artifact: {sorted(found)}"
    if outcome.returncode == 75 and "the same command continues" not in text:
        return "exit 75 without a word"
    return None
