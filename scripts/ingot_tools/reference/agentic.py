#!/usr/bin/env python3
"""Synthetic agent transcripts in MiniMax-M2's chat format.

Each conversation has a system turn with tools, then one to three episodes of user, assistant
(<think> and an XML tool call), tool and assistant again. Everything is drawn from one seeded
generator: the same seed and size give the same text on every Python 3.

    agentic.py --seed 777 --bytes 200000                       # m2-nano's text/calibration-agentic.txt
    agentic.py --seed 10011 --bytes 120000 --cut               # m2-nano's text/heldout-agentic.txt
    agentic.py --seed 20264 --conversations 200                # calibration/conversations/held-out.jsonl

With --conversations they are written as chat APIs have them, an object per line; agentic.jinja beside this file renders them as the
same text.

A change in the order of draws below changes those files: the fixtures' manifest holds their sums.
"""

import argparse
import json
import random
import sys
from dataclasses import dataclass

# The marks of the chat format: begin of text, begin of a turn, end of a turn.
BEGIN, TURN, END = "]~!b[", "]~b]", "[e~["

CITIES = ["Paris", "London", "Berlin", "Madrid", "Rome", "Vienna", "Lisbon", "Dublin", "Oslo",
          "Prague", "Athens", "Cairo", "Lima", "Tokyo", "Seoul", "Delhi", "Sydney", "Toronto",
          "Boston", "Denver"]
PEOPLE = ["Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald", "Leslie", "Frances", "Ken",
          "Margaret", "Niklaus", "Radia", "Tim", "Shafi", "Silvio"]
PATHS = ["main.py", "server.go", "parser.rs", "index.ts", "config.yaml", "README.md", "utils.c",
         "tests/test_parser.py", "src/app.swift", "Makefile"]
TOPICS = ["solar power", "steam engines", "medieval guilds", "coral reefs", "binary search",
          "tide tables", "glass making", "the printing press", "sorting networks", "river deltas",
          "chess openings", "bread baking", "map projections"]
UNITS = ["celsius", "fahrenheit"]


def schema(description, **properties):
    """A tool's JSON schema; every property is required, and a list stands for an enumeration."""
    kinds = {
        name: {"type": "string", "enum": kind} if isinstance(kind, list) else {"type": kind}
        for name, kind in properties.items()
    }
    return {
        "description": description,
        "parameters": {"type": "object", "properties": kinds, "required": list(properties)},
    }


TOOLS = {
    "get_weather": schema("Get the current weather for a city.", city="string", unit=UNITS),
    "search_web": schema("Search the web.", query="string", limit="integer"),
    "read_file": schema(
        "Read a file of the repository.", path="string", start="integer", end="integer"),
    "run_tests": schema("Run the test suite.", path="string", verbose="boolean"),
    "calculate": schema("Evaluate an arithmetic expression.", expression="string"),
    "send_email": schema("Send an email.", to="string", subject="string", body="string"),
}


@dataclass
class Episode:
    """One request and how it was answered with one call."""
    tool: str
    request: str
    plan: str
    arguments: dict
    response: str
    conclusion: str
    answer: str


@dataclass
class Things:
    """What an episode may speak of; all are drawn for each, whatever its tool uses."""
    city: str
    person: str
    path: str
    topic: str
    a: int
    b: int
    c: int


def get_weather(rng, it):
    unit, degrees = rng.choice(UNITS), rng.randint(-5, 35)
    request = rng.choice([
        f"What's the weather like in {it.city}? Use {unit}.",
        f"Is it cold in {it.city} right now? Answer in {unit}.",
        f"Tell me the temperature in {it.city} in {unit}."])
    return Episode(
        "get_weather", request,
        f"The user asks about the weather in {it.city}. I should call get_weather with unit {unit}.",
        {"city": it.city, "unit": unit},
        json.dumps({"city": it.city, "temperature": degrees, "unit": unit}),
        f"The tool says {degrees} degrees {unit} in {it.city}.",
        f"It is {degrees} degrees {unit} in {it.city} right now.")


def search_web(rng, it):
    n = rng.randint(1, 5)
    request = rng.choice([
        f"Find {n} articles about {it.topic}.",
        f"Search for {it.topic} and give me {n} results.",
        f"I want to learn about {it.topic}. Show me {n} sources."])
    found = [f"{it.topic} part {i}" for i in range(1, n + 1)]
    return Episode(
        "search_web", request,
        f"I need to search the web for {it.topic} with a limit of {n}.",
        {"query": it.topic, "limit": n},
        json.dumps({"results": found}),
        f"The search returned {n} results about {it.topic}.",
        f"Here are {n} results about {it.topic}: {', '.join(found)}.")


def read_file(rng, it):
    start = rng.randint(1, 200)
    end = start + rng.randint(5, 60)
    request = rng.choice([
        f"Show me lines {start} to {end} of {it.path}.",
        f"What is in {it.path} between line {start} and line {end}?",
        f"Open {it.path} from line {start} to line {end}."])
    return Episode(
        "read_file", request,
        f"I will read {it.path} from line {start} to line {end}.",
        {"path": it.path, "start": start, "end": end},
        f"def step(x):\n    return x + {it.a}",
        f"The file defines a function that adds {it.a}.",
        f"Lines {start} to {end} of {it.path} define step, which returns x plus {it.a}.")


def run_tests(rng, it):
    verbose = rng.random() < 0.5
    request = rng.choice([
        f"Run the tests in {it.path}" + (" with verbose output." if verbose else "."),
        f"Do the tests of {it.path} pass?" + (" Be verbose." if verbose else "")])
    return Episode(
        "run_tests", request,
        f"I should run the tests at {it.path}" + (" verbosely." if verbose else "."),
        {"path": it.path, "verbose": verbose},
        f"{it.a} passed, {it.c} failed",
        f"{it.a} tests passed and {it.c} failed, so the change is not ready.",
        f"{it.a} tests passed and {it.c} failed in {it.path}.")


def calculate(rng, it):
    sign = rng.choice(["+", "-", "*"])
    result = {"+": it.a + it.b, "-": it.a - it.b, "*": it.a * it.b}[sign]
    sum_ = f"{it.a} {sign} {it.b}"
    request = rng.choice([
        f"What is {sum_}?", f"Compute {sum_} for me.", f"Please calculate {sum_}."])
    return Episode(
        "calculate", request, f"I can use the calculator for {sum_}.", {"expression": sum_},
        str(result), f"The result is {result}.", f"{sum_} = {result}.")


def send_email(rng, it):
    request = rng.choice([
        f"Email {it.person} about {it.topic}.",
        f"Send {it.person} a short note on {it.topic}.",
        f"Write to {it.person} and mention {it.topic}."])
    return Episode(
        "send_email", request,
        f"The user wants an email to {it.person} about {it.topic}.",
        {"to": f"{it.person.lower()}@example.com", "subject": it.topic.capitalize(),
         "body": f"Dear {it.person}, a few words about {it.topic}."},
        "sent",
        f"The email to {it.person} was sent.",
        f"I sent {it.person} an email about {it.topic}.")


EPISODES = {f.__name__: f for f in (
    get_weather, search_web, read_file, run_tests, calculate, send_email)}


def episode(rng):
    tool = rng.choice(sorted(TOOLS))
    it = Things(
        city=rng.choice(CITIES), person=rng.choice(PEOPLE), path=rng.choice(PATHS),
        topic=rng.choice(TOPICS),
        a=rng.randint(2, 99), b=rng.randint(2, 99), c=rng.randint(2, 9))
    return EPISODES[tool](rng, it)


def turn(role, text):
    return f"{TURN}{role}\n{text}{END}\n"


def tool_call(tool, arguments):
    lines = [
        f'<parameter name="{k}">{v if isinstance(v, str) else json.dumps(v)}</parameter>'
        for k, v in arguments.items()
    ]
    return "\n".join(
        ["<minimax:tool_call>", f'<invoke name="{tool}">', *lines, "</invoke>",
         "</minimax:tool_call>"])


def system(tools):
    listed = "\n".join(
        "<tool>" + json.dumps({"name": t, **TOOLS[t]}) + "</tool>" for t in tools)
    return turn(
        "system",
        "You are a helpful assistant.\n\n# Tools\n"
        "You may call one or more tools to assist with the user query.\n"
        "Here are the tools available in JSONSchema format:\n\n"
        f"<tools>\n{listed}\n</tools>")


def drawn(rng):
    """The episodes of one conversation and the tools offered: those used and one more at random."""
    episodes = [episode(rng) for _ in range(rng.randint(1, 3))]
    return episodes, sorted({e.tool for e in episodes} | set(rng.sample(sorted(TOOLS), 1)))


def conversation(rng):
    """One conversation as text."""
    episodes, tools = drawn(rng)
    out = [BEGIN, system(tools)]
    for e in episodes:
        out += [
            turn("user", e.request),
            turn("ai", f"<think>\n{e.plan}\n</think>\n\n{tool_call(e.tool, e.arguments)}"),
            turn("tool", f"<response>{e.response}</response>"),
            turn("ai", f"<think>\n{e.conclusion}\n</think>\n\n{e.answer}"),
        ]
    return "".join(out)


def messages(rng):
    """One conversation as chat APIs have it."""
    episodes, tools = drawn(rng)
    out = [{"role": "system", "content": "You are a helpful assistant."}]
    for e in episodes:
        call = {"type": "function", "function": {"name": e.tool, "arguments": e.arguments}}
        out += [
            {"role": "user", "content": e.request},
            {"role": "assistant", "reasoning_content": e.plan, "content": "", "tool_calls": [call]},  # type: ignore[dict-item]
            {"role": "tool", "content": e.response},
            {"role": "assistant", "reasoning_content": e.conclusion, "content": e.answer},
        ]
    return {"messages": out, "tools": [{"type": "function", "function": {"name": t, **TOOLS[t]}} for t in tools]}


def corpus(seed, size):
    """Conversations until their characters reach `size`."""
    rng, out, length = random.Random(seed), [], 0
    while length < size:
        out.append(conversation(rng))
        length += len(out[-1])
    return out


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bytes", type=int, default=6000)
    p.add_argument("--cut", action="store_true", help="end after exactly --bytes")
    p.add_argument("--conversations", type=int, help="as many as JSON lines, instead of text")
    a = p.parse_args()
    if a.conversations:
        rng = random.Random(a.seed)
        for _ in range(a.conversations):
            print(json.dumps(messages(rng)))
        return
    text = "\n".join(corpus(a.seed, a.bytes))
    sys.stdout.write(text[:a.bytes] if a.cut else text)


if __name__ == "__main__":
    main()
