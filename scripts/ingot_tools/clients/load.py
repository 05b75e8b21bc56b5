"""Many requests at once, some of which are given up: every answer is the one that comes alone, and memory does not grow."""
import http.client
import json
import random
import threading
import time

from ingot_tools.clients.server import Server, check

TEXTS = ["Read the file.", "What is an ingot?", "The tool returned an error because the file is missing.", "Count to ten.", "Write a function that adds two numbers. " * 6]


def requests() -> list[tuple[str, dict]]:
    """Of both APIs, greedy and by chance."""
    made: list[tuple[str, dict]] = []
    for number, text in enumerate(TEXTS):
        message = [{"role": "user", "content": text}]
        made.append(("/v1/chat/completions", {"messages": message, "temperature": 0, "max_tokens": 10 + 9 * number}))
        made.append(("/v1/chat/completions", {"messages": message, "temperature": 0.8, "seed": number, "max_tokens": 40}))
        made.append(("/v1/messages", {"messages": message, "temperature": 0, "max_tokens": 20 + number}))
        made.append(("/v1/completions", {"prompt": text, "temperature": 0, "max_tokens": 30, "logprobs": 1}))
    return made


def content(path: str, text: str) -> str:
    """What was answered, without names and times."""
    answer = json.loads(text)
    return json.dumps(answer["content"] if path == "/v1/messages" else answer["choices"], sort_keys=True)


def give_up(server: Server, path: str, body: dict, after: float) -> None:
    """Asks for a stream, and goes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path, json.dumps({**body, "max_tokens": 400, "stream": True}), {"content-type": "application/json"})
    time.sleep(after)
    connection.close()


def mixed(server: Server, seconds: float, threads: int) -> str:
    asked = requests()
    alone = []
    for path, body in asked:
        status, text = server.request(path, body)
        check(status == 200, f"{path}: {status} {text}")
        alone.append(content(path, text))
    wrong: list[str] = []
    counts = {"answered": 0, "given up": 0}
    lock = threading.Lock()
    deadline = time.monotonic() + seconds

    def work(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < deadline and not wrong:
            number = chance.randrange(len(asked))
            path, body = asked[number]
            try:
                if chance.random() < 0.25:
                    give_up(server, path, body, chance.random() * 0.2)
                    kind = "given up"
                else:
                    status, text = server.request(path, body)
                    if status != 200 or content(path, text) != alone[number]:
                        wrong.append(f"{path} {body}: {status} {text[:300]}, alone {alone[number][:300]}")
                    kind = "answered"
            except OSError as error:
                wrong.append(f"{path}: {error}")
                return
            with lock:
                counts[kind] += 1

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(threads)]
    for worker in workers:
        worker.start()
    # The first quarter is for what is made once.
    time.sleep(seconds / 4)
    early = server.resident
    for worker in workers:
        worker.join()
    check(not wrong, wrong[0] if wrong else "")
    late = server.resident
    check(late - early < 64_000_000, f"memory grew from {early} to {late} bytes")
    values = server.metrics()
    for _ in range(100):
        if values["ingot_active_answers"] == 0:
            break
        time.sleep(0.1)
        values = server.metrics()
    check(values["ingot_active_answers"] == 0 and values["ingot_waiting_requests"] == 0, "answers that nobody waits for go on")
    shared = values["ingot_pass_sequences_total"] / values["ingot_passes_total"]
    check(shared > 1.2, f"{shared:.2f} sequences a pass: they do not share")
    return f"{counts['answered']} answered as alone, {counts['given up']} given up, {shared:.1f} sequences a pass, memory {early / 1e6:.0f} to {late / 1e6:.0f} MB"
