#!/usr/bin/env python3
"""Tests 'ingot serve' with the clients that people use, with what no client should do, and with many at once.

    scripts/tools test-serve                  # some minutes
    scripts/tools test-serve --short          # for every change: under a minute
    scripts/tools test-serve --load 3600      # an hour of mixed requests

Prints a line for each test; exit code 1 when something did not hold. Needs a built command (`swift build -c release
--product ingot`); clients come from the Python package index, into an environment of their own (scripts/tools setup-clients).
SmolLM2 is tested where scripts/tools real-models has fetched it.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from ingot_tools import REPOSITORY

HERE = pathlib.Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ingot", type=pathlib.Path, default=REPOSITORY / ".build/release/ingot")
    p.add_argument("--short", action="store_true")
    p.add_argument("--load", type=float, help="seconds of mixed requests (default: 60, with --short 6)")
    return p.parse_args()


def main() -> int:
    chosen = arguments()
    if os.environ.get("INGOT_CLIENTS_PYTHON") != sys.executable:
        # The same again, by the interpreter that has the clients.
        setup = subprocess.run([HERE / "setup"], stdout=subprocess.PIPE, text=True)
        if setup.returncode != 0:
            return 1
        python = setup.stdout.strip()
        os.execve(python, [python, "-B", *sys.orig_argv[1:]], {**os.environ, "INGOT_CLIENTS_PYTHON": python})
    from ingot_tools.clients import apis, bad, llm_client, load
    from ingot_tools.clients.server import NANO, TEMPLATE, Server, run

    ingot = chosen.ingot.resolve()
    seconds = chosen.load or (6 if chosen.short else 60)
    passed = []
    with Server(ingot, NANO, "--context", "1024", "--chat-template", str(TEMPLATE), "--request-time", "2", "--max-connections", "64") as nano:
        for test in (apis.openai_chat, apis.openai_tools, apis.openai_schema, apis.openai_errors, apis.anthropic_messages, apis.anthropic_tools, apis.anthropic_errors):
            passed.append(run(test.__name__, test, nano))
        for test in (bad.refused, bad.huge, bad.garbage, bad.slow):
            passed.append(run(test.__name__, test, nano))
        passed.append(run("connections", bad.connections, nano, 500))
        if not chosen.short:
            passed.append(run("10,000 connections", bad.many, ingot, 10_000))
        passed.append(run("start", bad.start, ingot, nano))
        passed.append(run("ending", bad.ending, ingot))
        passed.append(run("mixed load", load.mixed, nano, seconds, 8))
    with tempfile.TemporaryDirectory() as folder:
        # llm cannot ask for an answer without thinking.
        template = pathlib.Path(folder) / "silent.jinja"
        template.write_text(TEMPLATE.read_text().replace("enable_thinking is not defined or enable_thinking", "false"))
        with Server(ingot, NANO, "--context", "1024", "--chat-template", str(template)) as server:
            passed.append(run("llm", llm_client.every_mode, server, pathlib.Path(folder), True, chosen.short))
    with Server(ingot, NANO, "--context", "256", INGOT_API_KEY="right") as server:
        passed.append(run("keys", apis.keys, server))
    smol = pathlib.Path(os.environ.get("INGOT_REAL_MODELS") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ingot/real-models") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if smol.exists():
        with tempfile.TemporaryDirectory() as folder, Server(ingot, smol, "--context", "1024") as server:
            passed.append(run("SmolLM2: openai", apis.openai_chat, server))
            passed.append(run("SmolLM2: anthropic", apis.anthropic_messages, server))
            if not chosen.short:
                passed.append(run("SmolLM2: schema", apis.openai_schema, server))
                passed.append(run("SmolLM2: llm", llm_client.every_mode, server, pathlib.Path(folder), False))
    else:
        print(f"SmolLM2 is not tested: {smol} is not there (scripts/tools real-models smollm2)")
    print(f"{sum(passed)} of {len(passed)} hold")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
