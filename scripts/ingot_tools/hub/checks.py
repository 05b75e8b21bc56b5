"""What must hold of a model that is read from the Hub."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

from ingot_tools.hub.rig import NANO, Rig, Server, digest, serving

TOKEN = "hf_" + "SecretOfThisTest" * 2
SURVIVABLE = [
    "429",
    "500",
    "502",
    "503",
    "reset",
    "reset-early",
    "stall",
    "short",
    "wrong-range",
    "wrong-total",
    "expired",
    "whole",
    "html",
    "not-satisfiable",
]
Say = Callable[[str], None]


class Fault(Exception):
    """A check that failed."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise Fault(what)


def succeeded(run: subprocess.CompletedProcess[str], what: str) -> None:
    require(run.returncode == 0, f"{what}: exit code {run.returncode}: {run.stderr.strip()}")


def real_client(rig: Rig, python: str, say: Say) -> None:
    """The server is enough of a Hub for huggingface_hub, and what is downloaded here is what that would have there."""
    program = (
        "import sys; from huggingface_hub import snapshot_download; "
        "print(snapshot_download(sys.argv[1], local_files_only=len(sys.argv) > 2))"
    )
    with serving(f"acme/nano={NANO}") as server:
        theirs, ours = rig.fresh(), rig.fresh()
        commit = server.commits["acme/nano@main"]

        def call(home: pathlib.Path, *more: str) -> pathlib.Path:
            found = subprocess.run(
                [python, "-c", program, "acme/nano", *more],
                env=rig.environment(server, home),
                capture_output=True,
                text=True,
            )
            require(found.returncode == 0, f"huggingface_hub: {found.stderr.strip()[-400:]}")
            return pathlib.Path(found.stdout.strip())

        snapshot = call(theirs)
        require(digest(snapshot) == digest(NANO), "huggingface_hub gets other files from the server than it serves")
        succeeded(rig.run(server, "inspect", "acme/nano", "--download", home=ours), "--download")
        before = server.stats()["requests"]
        mine = call(ours, "offline")
        require(mine.name == commit and (mine / "config.json").is_file(), f"huggingface_hub finds {mine}")
        require(
            server.stats()["requests"] == before, "huggingface_hub asks the network for what --download has brought"
        )
        blobs = {path.name: path.stat().st_size for path in (ours / "hub/models--acme--nano/blobs").iterdir()}
        known = {path.name: path.stat().st_size for path in (theirs / "hub/models--acme--nano/blobs").iterdir()}
        require(blobs.items() <= known.items(), "--download names blobs otherwise than huggingface_hub")
        call(ours)
        require(digest(mine) == digest(snapshot), "huggingface_hub completes a download to other files")
        again = rig.run(server, "inspect", "acme/nano", "--offline", home=theirs)
        succeeded(again, "--offline with a cache of huggingface_hub")
    say("huggingface_hub downloads from the server, finds what --download keeps, and the other way round")


def same_bytes(rig: Rig, checkpoint: pathlib.Path, say: Say) -> None:
    """Whatever is made of a model on the Hub equals what is made of the same model in the cache."""
    with serving(f"acme/some={checkpoint}") as server:
        home = rig.fresh()
        succeeded(rig.run(server, "inspect", "acme/some", "--download", home=home), "--download")
        text = checkpoint / "text"
        for arguments in (
            ["quantize", "acme/some", "--recipe", "int4"],
            ["quantize", "acme/some", "--recipe", "q4_k_m"],
            ["quantize", "acme/some", "--recipe", "mlx-4bit"],
            ["convert", "acme/some", "--format", "safetensors"],
        ):
            made = []
            for place in (rig.fresh(), home):
                output = rig.fresh() / (
                    "x.gguf" if "q4_k_m" in arguments else "x.ingot" if "int4" in arguments else "x"
                )
                succeeded(rig.run(server, *arguments, "-o", output, home=place), " ".join(arguments))
                made.append(digest(output))
                require(place == home or not (place / "hub").exists(), "something was stored in the cache")
            require(made[0] == made[1], f"{' '.join(arguments)}: other bytes from the Hub than from the cache")
        require(server.stats()["violations"] == [], f"violations: {server.stats()['violations']}")
        if text.is_dir():
            calibrated(rig, server, home, text)
    say(".ingot, GGUF, MLX and SafeTensors from the Hub are byte for byte those from the cache")


def calibrated(rig: Rig, server: Server, home: pathlib.Path, text: pathlib.Path) -> None:
    """Passes over the model, and units that are made whole."""
    files = [text / "calibration-agentic.txt"]
    statistics = rig.fresh() / "x.calib"
    succeeded(rig.run(server, "calibrate", "acme/some", "--text", *files, "--chunks", 4, "-o", statistics), "calibrate")
    made = []
    for place in (rig.fresh(), home):
        output = rig.fresh() / "x.ingot"
        run = rig.run(
            server, "quantize", "acme/some", "--recipe", "int4", "--importance", statistics, "-o", output, home=place
        )
        succeeded(run, "quantize --importance")
        made.append(digest(output))
    require(made[0] == made[1], "quantize --importance: other bytes from the Hub than from the cache")


def many_faults(rig: Rig, checkpoints: list[pathlib.Path], count: int, say: Say) -> None:
    """Conversions under faults until there were `count` of them: no wrong byte, no failed run."""
    names = [f"acme/model{index}" for index in range(len(checkpoints))]
    models = [f"{name}={path}" for name, path in zip(names, checkpoints)]
    with serving(*models, "--expiry", "30") as server:
        expected = {}
        for name in names:
            output = rig.fresh() / "x.ingot"
            succeeded(rig.run(server, "quantize", name, "--recipe", "int4", "-o", output), name)
            expected[name] = digest(output)
        done: dict[str, int] = {}
        runs = wrong = 0
        while sum(done.values()) < count:
            for name in names:
                left = count - sum(done.values())
                if left <= 0:
                    break
                server.faults(kinds=SURVIVABLE, rate=0.25, limit=left, seed=runs, stall=2.5)
                output = rig.fresh() / "x.ingot"
                run = rig.run(server, "quantize", name, "--recipe", "int4", "-o", output)
                succeeded(run, f"{name} under faults of seed {runs}, after {sum(done.values())} faults")
                wrong += digest(output) != expected[name]
                shutil.rmtree(output.parent)
                runs += 1
                for kind, number in server.stats()["faults"].items():
                    done[kind] = done.get(kind, 0) + number
        server.faults()
    say(
        f"{sum(done.values())} faults in {runs} runs, {wrong} with wrong bytes: "
        + ", ".join(f"{kind} {number}" for kind, number in sorted(done.items()))
    )
    require(wrong == 0, f"{wrong} runs with wrong bytes")


def interrupted(rig: Rig, checkpoint: pathlib.Path, say: Say) -> None:
    """Runs and downloads that are killed go on with the same command."""
    with serving(f"acme/some={checkpoint}") as server:
        expected = rig.fresh() / "x.ingot"
        succeeded(rig.run(server, "quantize", "acme/some", "--recipe", "int4", "-o", expected), "quantize")
        home, output = rig.fresh(), rig.fresh() / "x.ingot"
        size = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
        server.faults(rate_limit=size / 1.5)
        for arguments, place in (
            (["quantize", "acme/some", "--recipe", "int4", "-o", output], rig.fresh()),
            (["inspect", "acme/some", "--download"], home),
        ):
            kills = 0
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
                process = subprocess.Popen(
                    [rig.ingot, *map(str, arguments)],
                    env=rig.environment(server, place),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                time.sleep(0.5)
                process.send_signal(number)
                code = process.wait()
                kills += code != 0
                require(
                    code in (0, 75, -signal.SIGKILL, -signal.SIGTERM),
                    f"{arguments[0]}: exit code {code} after {number}",
                )
            require(kills > 0, f"{arguments[0]} was never interrupted")
            server.faults()
            succeeded(rig.run(server, *arguments, home=place), f"{arguments[0]} after it was killed")
            server.faults(rate_limit=size / 1.5)
        require(digest(output) == digest(expected), "other bytes after interruptions")
        blobs = home / "hub/models--acme--some/blobs"
        require(not list(blobs.glob("*.incomplete")), "an unfinished file is left in the cache")
        for path in blobs.iterdir():
            if len(path.name) == 64:
                require(digest_of(path) == path.name, f"blob {path.name} has other content")
        server.faults()
    say("killed conversions and downloads resume, with the same bytes")


def digest_of(path: pathlib.Path) -> str:
    return subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout.split()[0]


def gguf(rig: Rig, say: Say) -> None:
    """GGUF files by name, by a part of the name, and in numbered parts."""
    folder = rig.fresh()
    for name, more in (("nano-Q8_0.gguf", []), ("nano-Q4_0.gguf", ["--split-size", "2MB"])):
        recipe = "q8_0" if "Q8_0" in name else "q4_0_pure"
        succeeded(rig.run(None, "quantize", NANO, "--recipe", recipe, "-o", folder / name, *more), name)
    parts = sorted(path.name for path in folder.glob("nano-Q4_0-*.gguf"))
    require(len(parts) > 1, f"parts: {sorted(path.name for path in folder.iterdir())}")
    with serving(f"acme/nano-GGUF={folder}") as server:
        for name in ("nano-Q8_0.gguf", "q8_0", parts[0], "Q4_0"):
            run = rig.run(server, "inspect", f"acme/nano-GGUF:{name}", "--json")
            succeeded(run, f"inspect :{name}")
            file = {"q8_0": "nano-Q8_0.gguf", "Q4_0": parts[0]}.get(name, name)
            local = rig.run(None, "inspect", folder / file, "--json")
            require(run.stdout == local.stdout, f":{name}: another description than of the file")
        made = []
        for model in (f"acme/nano-GGUF:{parts[0]}", str(folder / parts[0])):
            output = rig.fresh() / "x"
            succeeded(
                rig.run(server, "convert", model, "--format", "safetensors", "--decode", "bf16", "-o", output), model
            )
            made.append({path.name: digest(path) for path in output.iterdir() if path.name.endswith(".safetensors")})
        require(made[0] == made[1], "other bytes from GGUF parts on the Hub than on the disk")
        home = rig.fresh()
        succeeded(rig.run(server, "inspect", "acme/nano-GGUF:Q4_0", "--download", home=home), "--download of parts")
        succeeded(rig.run(None, "inspect", f"acme/nano-GGUF:{parts[0]}", "--offline", home=home), "--offline of parts")
        run = rig.run(server, "inspect", "acme/nano-GGUF:nano")
        require(run.returncode == 1 and "several" in run.stderr, f"an ambiguous name: {run.stderr}")
    say("GGUF files and parts are read and downloaded by name")


def refusals(rig: Rig, say: Say) -> None:
    """One clear error for each thing that cannot go well; the token is nowhere."""
    other = rig.fresh() / "m"
    shutil.copytree(NANO, other)
    models = [f"{name}={NANO}" for name in ("acme/nano", "acme/gated", "acme/private")]
    with serving(*models, "--gated", "acme/gated", "--private", "acme/private", "--token", TOKEN) as server:
        count = 0

        def refused(words: list[str], *arguments: object, code: int = 1, **more: str) -> None:
            nonlocal count
            count += 1
            began = time.monotonic()
            run = rig.run(server, *arguments, **more)  # type: ignore[arg-type]
            seconds = time.monotonic() - began
            text = f"{' '.join(map(str, arguments))}: exit code {run.returncode}: {run.stderr.strip()}"
            require(run.returncode == code, f"expected {code}; {text}")
            require(run.stderr.count("error:") == 1, f"not one error; {text}")
            for word in words:
                require(word in run.stderr, f"no '{word}'; {text}")
            for secret in (TOKEN, "Signature=", "Expires="):
                require(secret not in run.stderr + run.stdout, f"'{secret[:9]}' in a message; {text}")
            require(seconds < 30, f"after {seconds:.0f} s; {text}")

        refused(["acme/none", "none of this name, or a private one"], "inspect", "acme/none")
        refused(["branch, tag or commit of acme/nano"], "inspect", "acme/nano@v9")
        refused(["gated", f"{server.endpoint}/acme/gated", "without a token"], "inspect", "acme/gated")
        refused(["without a token"], "inspect", "acme/private")
        refused(["with the token"], "inspect", "acme/private", HF_TOKEN="hf_wrong")
        refused(["not to be used"], "inspect", "acme/nano", "--offline")
        refused(["not to be used"], "inspect", "acme/nano", HF_HUB_OFFLINE="1")
        refused(["HF_ENDPOINT"], "inspect", "acme/nano", HF_ENDPOINT="ftp://example.org")
        refused(["other characters"], "inspect", "acme/nano", HF_TOKEN="hf_ä")
        refused(["a file 'x.gguf'"], "inspect", "acme/nano:x.gguf")
        refused(["tried"], "inspect", "acme/nano", HF_ENDPOINT="http://127.0.0.1:1")
        for kind, words in (
            ("portal", ["HTML", "log in"]),
            ("no-ranges", ["ranges"]),
            ("changed", ["changed"]),
            ("slow-retry", ["429", "3600"]),
        ):
            server.faults(kinds=[kind], rate=1)
            output = rig.fresh() / "x.ingot"
            refused(words, "quantize", "acme/nano", "--recipe", "int4", "-o", output)
            require(not output.exists(), f"{kind}: an output is there")
        server.faults(kinds=["corrupt"], rate=1)
        refused(
            ["SHA-256", "which the Hub states"],
            "convert",
            "acme/nano",
            "--allow-nonfinite",
            "-o",
            rig.fresh() / "x.ingot",
        )
        refused(["SHA-256"], "convert", "acme/nano", "--download", "-o", rig.fresh() / "x.ingot")
        server.faults()
        for name in ("acme/gated", "acme/private"):
            output = rig.fresh() / "x.ingot"
            run = rig.run(server, "quantize", name, "--recipe", "int4", "-o", output, HF_TOKEN=TOKEN)
            succeeded(run, f"{name} with the token")
            require(TOKEN.encode() not in output.read_bytes(), "the token is in an artifact")
            home = rig.fresh()
            (home / "token").write_text(TOKEN + "\n")
            succeeded(rig.run(server, "inspect", name, home=home), f"{name} with the token in its file")
        require(server.stats()["violations"] == [], f"violations: {server.stats()['violations']}")
    say(f"{count} refusals, each with one clear error; the token went to the endpoint alone")


def without_room(rig: Rig, say: Say) -> None:
    """A download that the disk has no room for is refused before it begins; left out where no disk can be mounted."""
    place = rig.fresh()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True
        ).returncode
        == 0
    )
    if not mounted:
        say("left out: a disk without room, which needs root to mount one")
        return
    try:
        with serving(f"acme/nano={NANO}") as server:
            run = rig.run(server, "inspect", "acme/nano", "--download", home=place)
            require(run.returncode == 1 and "bytes free" in run.stderr, f"a full disk: {run.returncode} {run.stderr}")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    say("a disk without room is refused before the weights")
