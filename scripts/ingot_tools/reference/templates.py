#!/usr/bin/env python3
"""Compares IngotTemplates with transformers' own rendering of chat templates.

    templates.py fixture FOLDER              Tests/Fixtures/templates: templates and expressions of our own, with
                                             what transformers makes of them
    templates.py compare PROGRAM             the published templates, each with --count conversations
    templates.py expressions PROGRAM         every filter, test, method and operator on values of every kind
    templates.py fuzz PROGRAM                --count random templates
    templates.py vectors FILE                what `compare` asks PROGRAM for, and the answers, as lines of JSON

PROGRAM reads lines of JSON and answers each but the definitions with a line, {"text": …} or {"error": …}:

    {"define": NAME, "source": TEMPLATE}
    {"use": NAME, "messages": […], "tools": […], "add_generation_prompt": BOOL, "variables": {…}, "now": [Y, M, D, h, m, s]}
    {"expression": TEMPLATE, "variables": {…}, "now": […]}

Two errors are equal whatever they say. The published templates are those of llama.cpp, out of the source of
llama-cpp-python (--templates FOLDER for others); they are fetched to the cache of scripts/tools real-models and not part
of this repository. Exit code 1 when something differs. Needs transformers 5.23 and jinja2 3.1.6.
"""
import argparse
import collections
import copy
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings
from datetime import datetime

from transformers.utils import chat_template_utils

sys.dont_write_bytecode = True
from ingot_tools.reference import template_conversations, template_expressions, template_fuzz, template_sources

LLAMA = "llama-cpp-python==0.3.36"
NOW = datetime(2024, 7, 26, 9, 5, 3)
# What no program can give twice, or this one does not: addresses, sets, bytes, chance, complex numbers, infinite
# literals, `self` and what is left of a variable behind its loop.
KNOWN = re.compile(
    r"random|lipsum|cycler|joiner|\*\* 0\.5|self\.|1e400|namespace\(\) %\}\{% for i in l %\}\{% macro"
    r"|d\.(keys|items)\(\)\) (-|<|>)|- \(d\.(keys|items)\(|separators=\(?1|\[1:.x.\]|\[99999999999"
    r"|\)\.(upper|items|lower|name|real) \}\}|\.(upper|items)\}'|(map\('string'\)|select\('odd'\)|ls\|unique)\)(\|string\||\|replace)"
)

# jinja2 writes a negative constant in front of ** without parentheses, so Python takes the sign last: (-1) ** x is -(1 ** x)
# there. Left out of what is asked, not of the choice, so that the others stay the same.
FOLDED = re.compile(r"\(-\d+(\.\d+)?\) \*\*")


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock


def cache() -> pathlib.Path:
    chosen = os.environ.get("INGOT_REAL_MODELS")
    if chosen:
        return pathlib.Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "ingot/real-models"


def published() -> pathlib.Path:
    """The folder of the published templates, fetched once."""
    target = cache() / "llama-templates"
    if target.is_dir():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as name:
        folder = pathlib.Path(name)
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
        subprocess.run([*command, "--no-binary=llama-cpp-python", "--dest", str(folder), LLAMA], check=True)
        made = folder / "templates"
        made.mkdir()
        with tarfile.open(next(folder.glob("*.tar.gz"))) as source:
            for member in source:
                parts = pathlib.PurePosixPath(member.name).parts
                data = source.extractfile(member) if parts[-1].endswith(".jinja") else None
                if data is not None and parts[1:-1] == ("vendor", "llama.cpp", "models", "templates"):
                    (made / parts[-1]).write_bytes(data.read())
        made.replace(target)
    return target


def chat(source: str, case: dict) -> dict:
    """What transformers makes of a conversation: apply_chat_template leaves out members that are null, then renders."""
    variables = {key: value for key, value in case["variables"].items() if key not in ("documents", "continue_final_message")}
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            conversations=[[{key: value for key, value in message.items() if value is not None} for message in case["messages"]]],
            tools=case["tools"],
            documents=case["variables"].get("documents"),
            chat_template=source,
            add_generation_prompt=case["add_generation_prompt"],
            **variables,
        )
        return {"text": texts[0]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


ENVIRONMENT = chat_template_utils._compile_jinja_template("").environment


def expression(source: str, variables: dict) -> dict:
    """What it makes of a template with variables alone. Filters may change these."""
    try:
        text = ENVIRONMENT.from_string(source).render(**copy.deepcopy(variables))
        text.encode()
        return {"text": text}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def conversations(count: int, seed: int) -> list[dict]:
    made = template_conversations.conversations(count, seed)
    for case in made:
        case["variables"].pop("continue_final_message", None)
    return made


def ask(program: str, lines: list[dict]) -> list[dict]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    result = subprocess.run([str(pathlib.Path(program).resolve())], input=text, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{program} ended with {result.returncode}: {result.stderr[-2000:]}")
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def stamp() -> list[int]:
    return [NOW.year, NOW.month, NOW.day, NOW.hour, NOW.minute, NOW.second]


def report(names: list[str], wanted: list[dict], given: list[dict], shown: int) -> int:
    """Prints what differs and the numbers; 1 when something does."""
    if len(given) != len(wanted):
        raise SystemExit(f"{len(given)} answers to {len(wanted)} questions")
    tally: collections.Counter = collections.Counter()
    for name, want, have in zip(names, wanted, given):
        if "error" in want and "error" in have:
            tally["errors"] += 1
        elif want.get("text") == have.get("text"):
            tally["texts"] += 1
        else:
            tally["differ"] += 1
            if tally["differ"] <= shown:
                print(f"{name}\n  transformers {str(want)[:400]}\n  here         {str(have)[:400]}")
    print(f"{len(wanted)} cases: {tally['texts']} texts equal, {tally['errors']} errors on both sides, {tally['differ']} differ")
    return 1 if tally["differ"] else 0


def questions(folder: pathlib.Path, count: int, seed: int) -> tuple[list[dict], list[str], list[dict]]:
    """Lines for the program, names of cases, answers of transformers."""
    lines: list[dict] = []
    names: list[str] = []
    wanted: list[dict] = []
    cases = conversations(count, seed)
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_bytes().decode()
        lines.append({"define": path.name, "source": source})
        for number, case in enumerate(cases):
            lines.append({"use": path.name, **case, "now": stamp()})
            names.append(f"{path.name}, conversation {number}")
            wanted.append(chat(source, case))
    return lines, names, wanted


def compare(options: argparse.Namespace) -> int:
    lines, names, wanted = questions(options.templates or published(), options.count or 240, options.seed)
    return report(names, wanted, ask(options.target, lines), options.shown)


def vectors(options: argparse.Namespace) -> int:
    lines, _, wanted = questions(options.templates or published(), options.count or 240, options.seed)
    answers = iter(wanted)
    with open(options.target, "w") as file:
        for line in lines:
            file.write(json.dumps(line if "define" in line else {**line, "answer": next(answers)}, ensure_ascii=False) + "\n")
    return 0


def small(options: argparse.Namespace, sources: list[str], variables: dict) -> int:
    sources = [source for source in sources if not KNOWN.search(source) and not FOLDED.search(source)]
    wanted = [expression(source, variables) for source in sources]
    # An address of an object is another every time.
    kept = [index for index, want in enumerate(wanted) if not re.search(r" at 0x[0-9a-f]+", want.get("text", ""), re.I)]
    sources, wanted = [sources[index] for index in kept], [wanted[index] for index in kept]
    lines = [{"expression": source, "variables": variables, "now": stamp()} for source in sources]
    return report([repr(source) for source in sources], wanted, ask(options.target, lines), options.shown)


def expressions(options: argparse.Namespace) -> int:
    products = template_expressions.products()
    random.Random(options.seed).shuffle(products)
    return small(options, template_expressions.cases() + products[: options.count or 5000], template_expressions.VARIABLES)


def fuzz(options: argparse.Namespace) -> int:
    count = options.count or 2000
    first = options.seed * count
    return small(options, [template_fuzz.template(number) for number in range(first, first + count)], template_fuzz.VARIABLES)


def fixture(options: argparse.Namespace) -> int:
    folder = pathlib.Path(options.target)
    folder.mkdir(parents=True, exist_ok=True)
    cases = conversations(22, 20250801)
    templates = []
    for name, source in template_sources.SOURCES.items():
        answers = [chat(source, case) for case in cases]
        templates.append({"name": name, "source": source, "texts": [answer.get("text") for answer in answers]})
        print(f"{name}: {sum('text' in answer for answer in answers)} texts, {sum('error' in answer for answer in answers)} errors", file=sys.stderr)
    write(folder / "conversations.json", {"now": stamp(), "conversations": cases, "templates": templates})

    rng = random.Random(20250801)
    sources = [source for source in template_expressions.cases() if not KNOWN.search(source)]
    products = [source for source in template_expressions.products() if not KNOWN.search(source)]
    picked = list(dict.fromkeys(sources + rng.sample(products, 500)))
    groups = []
    for variables, sources in ((template_expressions.VARIABLES, picked), (template_fuzz.VARIABLES, [template_fuzz.template(number) for number in range(100)])):
        rows = []
        for source in sources:
            if FOLDED.search(source):
                continue
            answer = expression(source, variables)
            text = answer.get("text")
            if text is None or (len(text) < 4000 and not re.search(r" at 0x[0-9a-f]+", text, re.I)):
                rows.append([source, text])
        groups.append({"variables": variables, "cases": rows})
    write(folder / "expressions.json", {"now": stamp(), "groups": groups})
    return 0


def write(path: pathlib.Path, value: dict) -> None:
    """One line a member of the outer lists, so that changes can be seen."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = text.replace('},{"name":', '},\n{"name":').replace('},{"messages":', '},\n{"messages":').replace('],["', '],\n["')
    assert json.loads(text) == value
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def main() -> int:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = {"fixture": fixture, "compare": compare, "expressions": expressions, "fuzz": fuzz, "vectors": vectors}
    parser.add_argument("mode", choices=modes)
    parser.add_argument("target", help="the program, the folder or the file")
    parser.add_argument("--templates", type=pathlib.Path, help="folder of *.jinja")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shown", type=int, default=20, help="how many differences are printed")
    options = parser.parse_args()
    return modes[options.mode](options)


if __name__ == "__main__":
    sys.exit(main())
