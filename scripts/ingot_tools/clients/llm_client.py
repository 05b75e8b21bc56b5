"""Simon Willison's llm, the command, against a server."""
import json
import os
import pathlib
import subprocess
import sys

from ingot_tools.clients.server import Failed, Server, check

TOOL = """
def multiply(x: int, y: int) -> int:
    "Multiplies two numbers."
    return x * y
"""


def llm(folder: pathlib.Path, *words: str) -> str:
    environment = {**os.environ, "LLM_USER_PATH": str(folder), "LLM_LOAD_PLUGINS": ""}
    result = subprocess.run([sys.executable, "-m", "llm", *words], capture_output=True, text=True, env=environment, timeout=300)
    if result.returncode != 0:
        raise Failed(f"llm {' '.join(words)}: {result.stderr.strip()}")
    return result.stdout.rstrip("\n")


def configure(folder: pathlib.Path, server: Server, hasTools: bool) -> None:
    lines = [
        "- model_id: served",
        "  model_name: served",
        f"  api_base: {server.url}/v1",
        "  supports_schema: true",
        f"  supports_tools: {'true' if hasTools else 'false'}",
    ]
    (folder / "extra-openai-models.yaml").write_text("\n".join(lines) + "\n")


def every_mode(server: Server, folder: pathlib.Path, hasTools: bool, isShort: bool = False) -> str:
    configure(folder, server, hasTools)
    ask = ["-m", "served", "-o", "temperature", "0"]
    short = [*ask, "-o", "max_tokens", "12"]
    plain = llm(folder, *short, "--no-stream", "What is an ingot?")
    check(llm(folder, *short, "What is an ingot?") == plain, "streamed as whole")
    longer = llm(folder, *ask, "-o", "max_tokens", "24", "--no-stream", "What is an ingot?")
    check(longer.startswith(plain.rstrip()) or plain == "", f"-o max_tokens: {longer!r} after {plain!r}")
    if not isShort:
        llm(folder, *short, "-c", "And a brick?")
        llm(folder, *short, "-u", "What is an ingot?")
    schema = {"type": "object", "properties": {"kind": {"enum": ["metal", "stone"]}, "count": {"type": "integer"}}, "required": ["kind", "count"]}
    answer = json.loads(llm(folder, *ask, "-o", "max_tokens", "200", "--schema", json.dumps(schema), "What is an ingot? Answer in JSON."))
    check(answer["kind"] in ("metal", "stone") and isinstance(answer["count"], int), f"{answer}")
    if hasTools:
        llm(folder, *short, "--functions", TOOL, "--chain-limit", "2", "What is 6 times 7?")
    return f"{plain[:30]!r}, {answer}"
