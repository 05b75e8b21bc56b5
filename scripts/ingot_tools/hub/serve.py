#!/usr/bin/env python3
"""Serves folders as models of the Hugging Face Hub, on this machine alone, with faults on demand.

    scripts/tools serve-hub acme/nano=Tests/Fixtures/m2-nano          # prints HF_ENDPOINT=http://127.0.0.1:PORT
    scripts/tools serve-hub acme/nano=A acme/nano@v2=B --gated acme/nano --token hf_secret
    scripts/tools serve-hub acme/big=FOLDER --rate 50                 # a link of 50 MB/s

Two hosts as the Hub has them: an endpoint with the API, and a host of large files that it redirects to by signed
addresses which expire. GET /_stats of the endpoint tells what happened; POST /_faults sets what goes wrong, as in
`{"kinds": ["reset", "429"], "rate": 0.3, "limit": 1000, "seed": 7}` (scripts/ingot_tools/hub/faults.py lists the kinds), and with
`"rate_limit"` the bytes a second of the link. It ends when standard input does; with --detach it goes to the background
once it serves, and ends with POST /_end or with the process of that number.
"""

from __future__ import annotations

import argparse
import http.server
import os
import pathlib
import socketserver
import sys
import threading
import time

from ingot_tools.hub.faults import Pace
from ingot_tools.hub.handlers import Content, Endpoint, State
from ingot_tools.hub.repositories import Repository


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may go away."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="ORGANIZATION/NAME[@REVISION]=FOLDER")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", help="the one token that is known")
    parser.add_argument("--gated", action="append", default=[], metavar="NAME", help="its files need the token")
    parser.add_argument("--private", action="append", default=[], metavar="NAME", help="all of it needs the token")
    parser.add_argument("--rate", type=float, metavar="MB/s", help="of all connections to large files together")
    parser.add_argument("--latency", type=float, default=0, metavar="SECONDS", help="before each answer")
    parser.add_argument("--expiry", type=float, default=3600, metavar="SECONDS", help="of signed addresses")
    parser.add_argument("--detach", type=int, metavar="PROCESS")
    arguments = parser.parse_args()

    state = State()
    for text in arguments.models:
        name, folder = text.split("=", 1)
        name, _, revision = name.partition("@")
        state.repositories.append(Repository(name, pathlib.Path(folder), revision or "main"))
    state.token = arguments.token
    state.gated, state.private = set(arguments.gated), set(arguments.private)
    state.pace = Pace(1e6 * arguments.rate if arguments.rate else None)
    state.latency, state.expiry = arguments.latency, arguments.expiry

    endpoint = Server(("127.0.0.1", arguments.port), type("Endpoint", (Endpoint,), {"state": state}))
    content = Server(("127.0.0.1", 0), type("Content", (Content,), {"state": state}))
    state.content_url = f"http://127.0.0.1:{content.server_address[1]}"
    print(f"HF_ENDPOINT=http://127.0.0.1:{endpoint.server_address[1]}", flush=True)
    for repository in state.repositories:
        print(f"{repository.name}@{repository.revision} {repository.commit}", flush=True)
    if arguments.detach and os.fork():
        return
    if arguments.detach:
        release_files({endpoint.fileno(), content.fileno()})
    for server in (endpoint, content):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if not arguments.detach:
        sys.stdin.read()
        return
    os.setsid()
    while not state.ended.wait(1) and is_running(arguments.detach):
        pass
    # The answer to whoever ended it gets out.
    time.sleep(0.1)


def release_files(kept: set[int]) -> None:
    """Lets go of what this process was given: whoever started it may wait until nobody has it open."""
    for descriptor in range(3, 1024):
        if descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                pass
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    main()
