"""HTTP as the Hub speaks it: an endpoint with an API, and a host of content that it redirects to, signed."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import os
import re
import socket
import struct
import threading
import time
import urllib.parse

from ingot_tools.hub.faults import AT_CONTENT, AT_ENDPOINT, Faults, Pace
from ingot_tools.hub.repositories import File, Repository

SECRET = b"a secret of this process: " + os.urandom(16)
PIECE = 1 << 18


class State:
    """What all requests share."""

    def __init__(self) -> None:
        self.repositories: list[Repository] = []
        self.token: str | None = None
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.faults = Faults()
        self.pace = Pace(None)
        self.latency = 0.0
        self.expiry = 3600.0
        self.content_url = ""
        self.lock = threading.Lock()
        # What a client must never do.
        self.violations: list[str] = []
        self.requests = 0
        self.bytes = 0
        self.ended = threading.Event()

    def find(self, name: str, revision: str) -> tuple[Repository | None, bool]:
        """The repository at a revision, and whether there is one of the name at all."""
        named = [repository for repository in self.repositories if repository.name == name]
        for repository in named:
            if revision in (repository.revision, repository.commit):
                return repository, True
        return None, bool(named)

    def by_hash(self, sha256: str) -> File | None:
        for repository in self.repositories:
            for file in repository.files.values():
                if file.sha256 == sha256:
                    return file
        return None

    def sign(self, sha256: str, expires: int) -> str:
        return hmac.new(SECRET, f"{sha256} {expires}".encode(), hashlib.sha256).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State
    wbufsize = 0

    def log_message(self, format: str, *args: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_HEAD(self) -> None:
        self.respond(False)

    def do_GET(self) -> None:
        self.respond(True)

    def respond(self, has_body: bool) -> None:
        raise NotImplementedError

    # ---- answers ----------------------------------------------------------------------------------------------------

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"", has_body: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body and body:
            self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str, has_body: bool) -> None:
        body = json.dumps({"error": message}).encode()
        headers = {"Content-Type": "application/json", "X-Error-Code": code, "X-Error-Message": message}
        self.answer(status, headers, body, has_body)

    def reset(self) -> None:
        """Ends the connection as a crashed machine does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def page(self, has_body: bool) -> None:
        body = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Welcome to our network</body></html>\n"
        self.answer(200, {"Content-Type": "text/html; charset=utf-8"}, body * 20, has_body)

    def simple_fault(self, fault: str | None, has_body: bool) -> bool:
        """Faults that need nothing of the file."""
        if fault == "429":
            self.answer(429, {"Retry-After": str(self.state.faults.random.choice([0, 1]))}, b"", has_body)
        elif fault == "slow-retry":
            self.answer(429, {"Retry-After": "3600"}, b"", has_body)
        elif fault in ("500", "502", "503"):
            self.answer(int(fault), {}, b"upstream", has_body)
        elif fault == "reset-early":
            self.reset()
        elif fault in ("html", "portal"):
            self.page(has_body)
        else:
            return False
        return True

    # ---- content ----------------------------------------------------------------------------------------------------

    def wanted(self, size: int) -> range | None:
        """The range that is asked for; None for the whole."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match:
            return None
        end = int(match[2]) + 1 if match[2] else size
        return range(int(match[1]), min(end, size))

    def content(self, file: File, headers: dict[str, str], has_body: bool, fault: str | None) -> None:
        size = file.size
        span = self.wanted(size)
        if fault in ("whole", "no-ranges"):
            span = None
        headers = headers | {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if fault == "not-satisfiable" or span is not None and span.start >= size:
            self.answer(416, {"Content-Range": f"bytes */{size}"}, b"", has_body)
            return
        start, stop = (span.start, span.stop) if span is not None else (0, size)
        status = 206 if span is not None else 200
        if span is not None:
            shift = 16 if fault == "wrong-range" and start >= 16 else 0
            if fault == "wrong-range" and not shift:
                stop = max(start + 1, stop - 16)
            start -= shift
            total = size + (1 if fault in ("wrong-total", "changed") else 0)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        headers["Content-Length"] = str(stop - start)
        self.answer(status, headers, b"", False)
        if not has_body:
            return
        count = stop - start
        if fault in ("reset", "stall", "short"):
            count = self.state.faults.random.randrange(max(count, 1))
        self.send_bytes(file, start, count, fault == "corrupt")
        if fault == "reset":
            self.reset()
        elif fault == "stall":
            time.sleep(self.state.faults.stall)
            self.close_connection = True
        elif fault == "short":
            self.close_connection = True

    def send_bytes(self, file: File, start: int, count: int, is_corrupt: bool) -> None:
        with self.state.lock:
            self.state.bytes += count
        with file.path.open("rb") as stream:
            if is_corrupt:
                stream.seek(start)
                content = bytearray(stream.read(count))
                if content:
                    content[len(content) // 2] ^= 1
                self.wfile.write(content)
                return
            if not self.state.pace.rate:
                if count:
                    self.connection.sendfile(stream, start, count)
                return
            for offset in range(start, start + count, PIECE):
                piece = min(PIECE, start + count - offset)
                self.state.pace.wait(piece)
                self.connection.sendfile(stream, offset, piece)


class Endpoint(Handler):
    """huggingface.co: descriptions of repositories, small files, and where large ones are."""

    def respond(self, has_body: bool) -> None:
        state = self.state
        address = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(address.path)
        query = urllib.parse.parse_qs(address.query)
        if path == "/_stats":
            self.answer(200, {"Content-Type": "application/json"}, json.dumps(stats(state)).encode())
            return
        with state.lock:
            state.requests += 1
        if state.latency:
            time.sleep(state.latency)
        if self.simple_fault(state.faults.choose(AT_ENDPOINT), has_body):
            return
        # The revision is one part of an address: its slashes are %2F there.
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?/?", address.path):
            name, what, revision = match[1], match[2] or "revision", urllib.parse.unquote(match[3] or "main")
            repository = self.repository(name, revision, has_body)
            if repository is None:
                return
            answer = repository.tree() if what == "tree" else repository.info("blobs" in query)
            self.answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode(), has_body)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", address.path):
            self.resolve(match[1], urllib.parse.unquote(match[2]), urllib.parse.unquote(match[3]), has_body)
        elif match := re.fullmatch(r"/api/resolve-cache/models/([^/]+/[^/]+)/([^/]+)/(.+)", path):
            self.resolve(match[1], match[2], match[3], has_body, is_cache=True)
        else:
            self.refuse(404, "", "Not found", has_body)

    def do_POST(self) -> None:
        """/_faults: what goes wrong from here on; /_end: nothing, since the server ends."""
        if self.path == "/_end":
            self.state.ended.set()
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        wish = json.loads(body or b"{}")
        self.state.faults.configure(wish)
        if "rate_limit" in wish:
            self.state.pace = Pace(wish["rate_limit"])
        self.answer(200, {}, b"")

    def repository(self, name: str, revision: str, has_body: bool) -> Repository | None:
        state = self.state
        given = self.headers.get("Authorization", "")
        is_known = state.token is not None and given == f"Bearer {state.token}"
        if given and not is_known:
            self.refuse(401, "", "Invalid credentials in Authorization header", has_body)
            return None
        found, exists = state.find(name, revision)
        if not exists or name in state.private and not is_known:
            status = 404 if is_known else 401
            self.refuse(status, "RepoNotFound", "Repository not found", has_body)
            return None
        if found is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}", has_body)
        return found

    def resolve(self, name: str, revision: str, path: str, has_body: bool, is_cache: bool = False) -> None:
        repository = self.repository(name, revision, has_body)
        if repository is None:
            return
        given = self.headers.get("Authorization", "")
        if name in self.state.gated and given != f"Bearer {self.state.token}":
            message = f"Access to model {name} is restricted. You must have access to it and be authenticated."
            self.refuse(403 if given else 401, "GatedRepo", message, has_body)
            return
        file = repository.files.get(path)
        if file is None:
            self.refuse(404, "EntryNotFound", "Entry not found", has_body)
            return
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{file.tag}"'}
        if not file.is_large and not is_cache:
            quoted = urllib.parse.quote(path)
            location = f"/api/resolve-cache/models/{name}/{repository.commit}/{quoted}?etag=%22{file.tag}%22"
            linked = {"X-Linked-ETag": f'"{file.tag}"', "X-Linked-Size": str(file.size)}
            self.answer(307, headers | linked | {"Location": location}, b"", has_body)
        elif not file.is_large:
            self.content(file, headers, has_body, None)
        else:
            expires = int(1000 * (time.time() + self.state.expiry))
            signature = self.state.sign(file.sha256, expires)
            location = f"{self.state.content_url}/{file.sha256}?Expires={expires}&Signature={signature}"
            linked = {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size), "Location": location}
            self.answer(302, headers | linked, b"Found. Redirecting", has_body)


class Content(Handler):
    """The host of large files, another one than the endpoint: it must not see the token."""

    def respond(self, has_body: bool) -> None:
        state = self.state
        with state.lock:
            state.requests += 1
        if state.latency:
            time.sleep(state.latency)
        if self.headers.get("Authorization"):
            with state.lock:
                state.violations.append("a token at the host of content")
            self.refuse(400, "", "Only one auth mechanism allowed", has_body)
            return
        address = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(address.query)
        file = state.by_hash(address.path.strip("/"))
        expires = int(query.get("Expires", ["0"])[0])
        fault = state.faults.choose(AT_CONTENT)
        is_signed = file is not None and query.get("Signature", [""])[0] == state.sign(file.sha256, expires)
        if file is None or not is_signed or expires < 1000 * time.time() or fault == "expired":
            body = (
                b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            )
            self.answer(403, {"Content-Type": "application/xml"}, body, has_body)
            return
        if self.simple_fault(fault, has_body):
            return
        self.content(file, {"ETag": f'"{file.sha256[:32]}"'}, has_body, fault)


def stats(state: State) -> dict:
    return {
        "faults": dict(state.faults.done),
        "violations": state.violations,
        "requests": state.requests,
        "bytes": state.bytes,
    }
