"""What clients do that they should not: the server says so in the API's shape, and lives on."""
import http.client
import json
import pathlib
import resource
import shutil
import socket
import subprocess
import tempfile
import time

from ingot_tools.clients.server import NANO, Server, check

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}


def lives(server: Server) -> None:
    status, text = server.request("/v1/chat/completions", CHAT)
    check(status == 200, f"it does not answer any more: {status} {text}")


def refused(server: Server) -> None:
    """Requests that cannot be understood."""
    message = {"role": "user", "content": "Hi"}
    cases: list[tuple[str, object, int]] = [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"", 400),
        ("/v1/chat/completions", b"\xff\xfe", 400),
        ("/v1/chat/completions", b"[" * 100_000, 400),
        ("/v1/chat/completions", b'{"messages": [], "messages": []}', 400),
        ("/v1/chat/completions", {"messages": [message], "n": 3}, 400),
        ("/v1/chat/completions", {"messages": [{"role": "wizard", "content": "Hi"}]}, 400),
        ("/v1/chat/completions", {"messages": [message], "tools": [{"type": "browser"}]}, 400),
        ("/v1/chat/completions", {"messages": [message], "tool_choice": {"type": "function", "function": {"name": "gone"}}}, 400),
        ("/v1/chat/completions", {"messages": [message], "max_tokens": "many"}, 400),
        ("/v1/completions", {"prompt": "many words " * 20_000}, 400),
        ("/v1/completions", {"prompt": [10**9]}, 400),
        ("/v1/messages", {"messages": [message]}, 400),
        ("/v1/messages", {"messages": [message], "max_tokens": 5, "tool_choice": {"type": "tool", "name": "gone"}}, 400),
        ("/v1/embeddings", {"input": "Hi"}, 404),
        ("/", {"input": "Hi"}, 404),
    ]
    for path, body, expected in cases:
        status, text = server.request(path, body)
        check(status == expected, f"{path} {str(body)[:60]}: {status} {text[:200]}")
        error = json.loads(text)
        check(error.get("type") == "error" if path == "/v1/messages" else "message" in error["error"], f"{path}: {text[:200]}")
    check(server.request("/v1/chat/completions", method="GET")[0] == 405, "GET of an answer")
    check("access-control-allow-origin" not in str(server.request("/health", headers={"origin": "https://page"})), "no CORS unless asked")
    lives(server)


def sent(server: Server, data: bytes, *, seconds: float = 30) -> bytes:
    """What comes back for bytes as they are."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass
        return answer


def huge(server: Server) -> None:
    """Bodies that are announced as a gigabyte, and bodies that turn out to be one."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    before = server.resident
    begin = time.monotonic()
    answer = sent(server, head + b"content-length: 1000000000\r\n\r\n" + b" " * (1 << 20))
    check(b" 413 " in answer[:40] and b"request_too_large" in answer, f"announced: {answer[:200]!r}")
    chunk = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        count = 0
        try:
            for count in range(1000):
                connection.sendall(chunk)
        except OSError:
            pass
        check(count < 999, "a gigabyte in chunks was read to its end")
    check(sent(server, b"GET /health HTTP/1.1\r\n" + b"x-long: " + b"y" * (1 << 20) + b"\r\n\r\n")[:13] != b"HTTP/1.1 200 ", "a head of a megabyte")
    check(time.monotonic() - begin < 60, "huge requests take a minute")
    check(server.resident - before < 200_000_000, f"memory grew by {server.resident - before} bytes")
    lives(server)


def garbage(server: Server) -> None:
    for data in (b"\x00" * 1000, b"GET\r\n\r\n", b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"):
        answer = sent(server, data, seconds=1)
        check(b" 200 " not in answer[:20], f"{data[:20]!r}: {answer[:60]!r}")
    lives(server)


def slow(server: Server) -> None:
    """A body of which a byte comes each half second (--request-time 2)."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        answer = b""
        connection.settimeout(0.5)
        while time.monotonic() - begin < 20:
            try:
                connection.sendall(b" ")
                part = connection.recv(65536)
                if not part:
                    break
                answer += part
            except TimeoutError:
                continue
            except OSError:
                break
    took = time.monotonic() - begin
    check(took < 15, f"a slow body was waited for {took:.1f} s")
    check(answer == b"" or b" 408 " in answer[:40], f"slow: {answer[:100]!r}")
    lives(server)


def opened(server: Server, count: int) -> list[socket.socket]:
    """Connections that say nothing, up to the first that are not taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 100)), hard))
    held: list[socket.socket] = []
    for _ in range(count):
        connection = socket.socket()
        connection.settimeout(2 if count > 1000 else 0.2)
        try:
            connection.connect(("127.0.0.1", server.port))
        except OSError:
            connection.close()
            break
        held.append(connection)
    return held


def connections(server: Server, count: int) -> str:
    """More connections than the server takes (--max-connections): the others wait, and it answers when they have gone."""
    held = opened(server, count)
    taken = len(held)
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            lives(server)
            return f"{taken} of {count} taken by the system"
        except OSError:
            time.sleep(0.2)
    raise AssertionError("it does not answer after many connections")


def many(ingot: pathlib.Path, count: int) -> str:
    """As many connections as the server may take, beside which it answers."""
    with Server(ingot, NANO, "--context", "256", "--max-connections", str(count + 100)) as server:
        before = server.resident
        held = opened(server, count)
        check(len(held) == count, f"{len(held)} of {count} connections")
        lives(server)
        grown = server.resident - before
        for connection in held:
            connection.close()
        lives(server)
        return f"{grown / count / 1000:.0f} kB each"


def ending(ingot: pathlib.Path) -> None:
    """A server that is asked to end lets answers under way end, and takes no others."""
    with Server(ingot, NANO, "--context", "1024") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = {"prompt": "The", "max_tokens": 900, "logit_bias": {"2042": -100}, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read1()
        server.process.terminate()
        while part := response.read1():
            text += part
        check(text.endswith(b"data: [DONE]\n\n") and text.count(b"data: ") > 800, f"an answer under way was cut: {text[-200:]!r}")
        check(server.process.wait(30) == 0, f"exit code {server.process.returncode}")


def start(ingot: pathlib.Path, server: Server) -> None:
    """Servers that cannot be."""
    taken = subprocess.run([ingot, "serve", NANO, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    check(taken.returncode == 1 and "in use" in taken.stderr, f"port in use: {taken.returncode} {taken.stderr}")
    with tempfile.TemporaryDirectory() as folder:
        other = pathlib.Path(folder) / "other"
        shutil.copytree(NANO, other)
        for path in other.iterdir():
            path.chmod(0o644 if path.is_file() else 0o755)
        config = json.loads((other / "config.json").read_text())
        config["model_type"] = "unheard-of"
        (other / "config.json").write_text(json.dumps(config))
        unknown = subprocess.run([ingot, "serve", other, "--port", "0"], capture_output=True, text=True, timeout=60)
        check(unknown.returncode == 1 and "forward pass" in unknown.stderr, f"no forward pass: {unknown.returncode} {unknown.stderr}")
