"""Makes pages of reports out of the embedded model and looks at them in a headless Chromium. See scripts/tools test-pages."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from ingot_tools import tool
from ingot_tools.pages import browser
from ingot_tools.pages.compare import compare

NANO = "Tests/Fixtures/m2-nano"
TEXTS = [f"{NANO}/text/heldout-agentic.txt", "Tests/Fixtures/text/prose.txt", "Tests/Fixtures/text/code.txt"]
HERE = os.path.dirname(os.path.abspath(__file__))
VIEWS = [(width, scheme) for width in [390, 1280] for scheme in ["light", "dark"]]

# A name of a folder or file that is markup, script, quotes and control characters.
HOSTILE = "<script>harmed=1<\\script>\"'`&lt;\x01\u202e\x1b[2J"
HOSTILE_TEXT = (
    "</script><script>harmed = 1</script><img src=x onerror='harmed = 1'>\u0000\u0007\u202e ]]> <!-- "
    "\"><svg/onload=harmed=1>'&amp;&#60;script&#62; {{7*7}} \\u003cscript\\u003e\r\n\t"
)


class Pages:
    """The pages under test, made by the command."""

    def __init__(self, ingot, work):
        self.ingot = ingot
        self.work = work
        self.made = {}

    def command(self, *arguments, codes=(0,)):
        result = subprocess.run([self.ingot, *arguments], capture_output=True)
        if result.returncode not in codes:
            raise SystemExit(f"ingot {' '.join(arguments)}: exit code {result.returncode}\n{result.stderr.decode()}")
        return result.stdout

    def page(self, name, *arguments, codes=(0,)):
        """A page, and the JSON that the command prints beside it."""
        path = f"{self.work}/{name}.html"
        printed = self.command(*arguments, "--json", "--html", path, codes=codes)
        self.made[name] = (path, json.loads(printed))

    def make(self):
        work = self.work
        self.command("quantize", NANO, "--recipe", "int4", "-o", f"{work}/nano-int4.ingot")
        self.page("verify", "verify", f"{work}/nano-int4.ingot", "--against", NANO, "--chunks", "8", "--text", *TEXTS)
        self.page("verify-itself", "verify", NANO, "--against", NANO, "--chunks", "1", "--text", TEXTS[1])
        self.mixed()
        self.hostile()
        self.page("plan-context", "plan", NANO, "--context", "4k")
        self.page("plan-machine", "plan", NANO, "--machine", "pc-64-24")
        self.page("plan-fit", "plan", NANO, "--fit", "12GB", "--context", "2k", "--cache", "q8_0")
        self.page("plan-recipe", "plan", NANO, "--recipe", f"{work}/mixed.yaml")
        self.planned()
        self.full_size()
        self.page("plan-hostile", "plan", f"{work}/hostile/{HOSTILE}", "--recipe", f"{work}/hostile/recipe.yaml")

    def mixed(self):
        """Experts of different encodings."""
        recipe = f"{self.work}/mixed.yaml"
        with open(recipe, "w", encoding="utf-8") as file:
            file.write(
                "name: mixed\nrules:\n"
                "  - {parts: [attention, embedding, head], encoding: int8 g32 zero f16}\n"
                "  - {parts: down, experts: [1, 5], encoding: int6 g64 zero f16}\n"
                "  - {parts: experts, layers: 1-2, experts: [0, 3, 6-7], encoding: int3 g64 zero f16}\n"
                "  - {parts: experts, layers: 3, experts: 2-4, encoding: int5 g64 zero f16}\n"
                "  - {parts: experts, encoding: int4 g64 zero f16}\n")
        self.command("quantize", NANO, "--recipe", recipe, "-o", f"{self.work}/nano-mixed.ingot")
        self.page("verify-mixed", "verify", f"{self.work}/nano-mixed.ingot", "--against", NANO, "--chunks", "4",
                  "--text", *TEXTS)

    def planned(self):
        """A plan by measured sensitivity, what it became, and the same plan edited."""
        sensitivity, plan = f"{self.work}/nano.sens", f"{self.work}/nano-plan.json"
        self.command("sensitivity", NANO, "--text", *TEXTS[1:], "--context", "64", "--chunks", "3", "-o", sensitivity)
        self.page("plan-sensitivity", "plan", NANO, "--sensitivity", sensitivity, "--bits", "4", "-o", plan)
        artifact = f"{self.work}/nano-planned.ingot"
        self.command("quantize", NANO, "--plan", plan, "-o", artifact)
        self.page("verify-plan", "verify", artifact, "--against", NANO, "--plan", plan, "--chunks", "3", "--context",
                  "64", "--text", *TEXTS[1:], codes=(0, 2))
        fewer, artifact = f"{self.work}/nano-fewer.json", f"{self.work}/nano-fewer.ingot"
        self.page("plan-fewer", "plan", NANO, "--sensitivity", sensitivity, "--bits", "2.5", "--allow-drop", "3", "-o", fewer)
        self.command("quantize", NANO, "--plan", fewer, "-o", artifact)
        self.page("verify-fewer", "verify", artifact, "--against", NANO, "--plan", fewer, "--chunks", "3", "--context",
                  "64", "--text", *TEXTS[1:], codes=(0, 2))
        with open(plan, encoding="utf-8") as file:
            edited = json.load(file)
        edited["tensors"]["head"] = "keep"
        with open(plan, "w", encoding="utf-8") as file:
            json.dump(edited, file)
        self.page("plan-edited", "plan", NANO, "--plan", plan)

    def full_size(self):
        """MiniMax-M2's 62 layers and 256 experts: names and shapes, with holes for weights."""
        model = f"{self.work}/MiniMax-M2"
        subprocess.run([*tool("make-checkpoint"), model, "--sparse"], check=True, stdout=subprocess.DEVNULL)
        recipe = f"{self.work}/m2.yaml"
        with open(recipe, "w", encoding="utf-8") as file:
            file.write(
                "name: by-expert\nrules:\n"
                "  - {parts: [attention, embedding, head], encoding: int8 g32 zero f16}\n"
                "  - {parts: down, layers: first 1/8, encoding: int6 g64 zero f16}\n"
                "  - {parts: experts, experts: [0-30, 77, 90-120], layers: more-bits, encoding: int6 g64 zero f16}\n"
                "  - {parts: experts, experts: [31-60, 200-210], encoding: int3 g64 zero f16}\n"
                "  - {parts: experts, encoding: int4 g64 zero f16}\n")
        self.page("plan-m2", "plan", model)
        self.page("plan-m2-recipe", "plan", model, "--recipe", recipe)

    def hostile(self):
        """A model, a text, its content and a recipe whose names are markup."""
        folder = f"{self.work}/hostile"
        os.makedirs(folder)
        model = f"{folder}/{HOSTILE}"
        shutil.copytree(NANO, model)
        text = f"{folder}/{HOSTILE}.txt"
        with open(text, "w", encoding="utf-8", newline="") as file:
            file.write(HOSTILE_TEXT * 60)
        recipe = f"{folder}/recipe.yaml"
        with open(recipe, "w", encoding="utf-8") as file:
            file.write(
                "name: \"<script>harmed=1</script>\"\nrules:\n"
                "  - {parts: experts, experts: [0-2], encoding: int3 g64 zero f16}\n"
                "  - {parts: down, layers: 1-2, encoding: int6 g64 zero f16}\n"
                "  - {parts: experts, encoding: int4 g64 zero f16}\n")
        artifact = f"{folder}/<b onclick=harmed=1>.ingot"
        self.command("quantize", model, "--recipe", recipe, "-o", artifact)
        self.page("verify-hostile", "verify", artifact, "--against", model, "--text", text, TEXTS[1], "--chunks", "2",
                  "--max-kld", "1e-9", codes=(2,))


def look(tab, path):
    tab.open(path)
    with open(f"{HERE}/look.js", encoding="utf-8") as file:
        return tab.value(file.read())


def check(chromium, pages, name):
    """Problems of a page in every view."""
    path, printed = pages.made[name]
    problems = []
    for width, scheme in VIEWS:
        tab = browser.Tab(chromium, width, 844 if width < 600 else 900, scheme, mobile=width < 600)
        seen = look(tab, path)
        found = tab.complaints() + compare(seen, printed)
        tab.close()
        problems += [f"{name} at {width} {scheme}: {problem}" for problem in found]
    return problems, len(seen["figures"]), sum(len(one["marks"]) for one in seen["charts"])


def policy(chromium, path):
    """Whether the page's policy refuses requests and scripts that are not its own."""
    tab = browser.Tab(chromium, 1280, 900, "light", mobile=False)
    tab.open(path)
    answer = tab.value(
        "Promise.all([fetch('https://example.invalid/').then(() => 'sent', () => 'refused'),"
        " new Promise((done) => { const one = document.createElement('script'); one.textContent = 'window.ran = 1';"
        " document.body.appendChild(one); done(typeof window.ran); }),"
        " new Promise((done) => { const one = new Image(); one.onload = () => done('loaded'); one.onerror = () => done('refused');"
        " one.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='; })])")
    said = " ".join(tab.complaints())
    tab.close()
    ok = answer == ["refused", "undefined", "refused"] and said.count("Content Security Policy") >= 3
    return [] if ok else [f"the policy lets through: {answer}: {said[:600]}"]


# Name, page, width, height, scheme, scale, id of the section to begin with.
SCREENSHOTS = [
    ("verify-light", "verify", 1180, 1500, "light", 1, None),
    ("verify-dark", "verify", 1180, 1180, "dark", 1, "worst"),
    ("verify-phone", "verify", 390, 1180, "dark", 1.5, None),
    ("verify-experts", "verify-mixed", 1180, 940, "light", 1, "bytes"),
    ("plan-curve", "plan-sensitivity", 1180, 1180, "light", 1, None),
    ("plan-light", "plan-m2", 1180, 1330, "light", 1, None),
    ("plan-phone", "plan-m2-recipe", 390, 1180, "dark", 1.5, "bytes"),
]


def screenshots(chromium, pages, folder):
    os.makedirs(folder, exist_ok=True)
    for name, page, width, height, scheme, scale, section in SCREENSHOTS:
        tab = browser.Tab(chromium, width, 900, scheme, mobile=width < 600, scale=scale)
        tab.open(pages.made[page][0])
        top = tab.value(f"document.getElementById('{section}').getBoundingClientRect().top - 12") if section else 0
        tab.screenshot(f"{folder}/{name}.png", {"x": 0, "y": top, "width": width, "height": height})
        tab.close()
        print(f"{folder}/{name}.png: {os.path.getsize(f'{folder}/{name}.png')} bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--screenshots")
    parser.add_argument("--work")
    options = parser.parse_args()
    start = time.monotonic()
    work = options.work or tempfile.mkdtemp(prefix="ingot-pages-")
    os.makedirs(work, exist_ok=True)
    chromium = browser.Browser(browser.find())
    problems = []
    try:
        pages = Pages(options.ingot, work)
        pages.make()
        for name in pages.made:
            found, figures, marks = check(chromium, pages, name)
            problems += found
            size = os.path.getsize(pages.made[name][0])
            print(f"{name}: {size} bytes, {figures} figures and {marks} marks held against the JSON, "
                  + (f"{len(found)} problems" if found else "no problem"))
        problems += policy(chromium, pages.made["verify"][0])
        if options.screenshots:
            screenshots(chromium, pages, options.screenshots)
    finally:
        chromium.close()
        if not options.work:
            shutil.rmtree(work, ignore_errors=True)
    for problem in problems[:40]:
        print(f"FAILED {problem}"[:1000])
    print(f"{len(pages.made)} pages in {len(VIEWS)} views, {len(problems)} problems, {time.monotonic() - start:.0f} s")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
