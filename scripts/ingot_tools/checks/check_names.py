#!/usr/bin/env python3
"""Checks where names are spelled, so that a new kind of block or format is added in one place:

- kinds of tensors that blocks have (`.query`, `"attention_output"` …) only under Blocks and Families, and in the tables of names
  that formats have;
- a format's name as a literal only in the folder of that format.

What must be spelled elsewhere stands below, with the reason. A line that is no longer there is reported too.

usage: check-names [--list]        --list also prints what is allowed
"""
import re
import sys

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
SOURCES = ROOT / "Sources"

# Kinds of embedding, head and norms between blocks belong to the blueprint, which every pass walks along.
WALKED = {"attentionOutputNorm", "feedForwardOutputNorm"}
KINDS = {
    match[1]: match[2] for path in sorted((SOURCES / "IngotModels/Blocks").glob("*.swift")) if path.stem != "TensorKinds"
    for match in re.finditer(r'static let (\w+) = TensorKind\(rawValue: "(\w+)"\)', path.read_text())
    if match[1] not in WALKED}
# Folders and files that are made of kinds' names.
KIND_PLACES = (
    "IngotModels/Blocks/", "IngotModels/Families/", "IngotInference/Blocks/", "IngotFormats/GGUF/GGUFFamily.swift",
    "IngotFormats/GGUF/Blocks/", "IngotFormats/MLX/Blocks/",
    "IngotFormats/MLX/MLXNames.swift", "IngotTensors/TensorKind.swift")
# Words that are members of other types as well: only where a kind can stand.
COMMON = {"key", "value", "up", "down", "gate", "query"}
FORMATS = {
    "gguf": "GGUF", "mlx": "MLX", "compressed-tensors": "CompressedTensors", "gptq": "GPTQ", "awq": "AWQ",
    "exl3": "EXL3", "safetensors": "SafeTensors", "ingot": "Ingot"}

# (file, text of the line or a part of it, reason)
ALLOWED_KINDS = [
    ("IngotWorkflows/SensitivityCompletion.swift", ".router", "perturbed routers are reported by layer, not as a group of linear layers"),
    ("IngotWorkflows/SequentialRun.swift", ".routerBias", "what BiasRefit refits takes the place of the tensor"),
    ("IngotInference/MatchedExperts.swift", "(.router, layer", "the rows by which experts of two models are matched"),
    ("IngotInference/SensitivityPass.swift", "[.router]", "a group of perturbed runs that no linear layer has"),
    ("IngotInference/SequentialPass.swift", "(.routerBias", "what BiasRefit refits"),
]
ALLOWED_FORMATS = [
    ("IngotCommand/RootCommand.swift", 'commandName: "ingot"', "the command's name"),
    ("IngotCommand/PageOption.swift", '(["ingot"] + words)', "the command's name"),
    ("IngotFormats/ModelCard.swift", '?? "ingot"', "the tool's name"),
    ("IngotQuantization/PackedRecipes.swift", '"compressed-tensors"',
     "a built-in recipe says which container it is for; recipes know no formats"),
    ("IngotQuantization/PackedRecipes.swift", '"gptq-4bit", "gptq"', "as above"),
    ("IngotQuantization/PackedRecipes.swift", '"awq-4bit", "awq"', "as above"),
]


def code(line):
    """The line without a comment behind it."""
    return re.sub(r"(?<!:)//.*", "", line)


MEMBER = re.compile(r"(?<![\w)\]?!])\.(%s)\b(?![(\w])" % "|".join(set(KINDS) - COMMON))
# `.key` behind an opening bracket, a comma, `case` or `==`, but not as a key path or a member of something.
COMMON_MEMBER = re.compile(
    r"(?:Role\(|kind: |kind [=!]= |TensorKind|values\(|required\(|weights\(|\[|\bcase )\.(%s)\b(?!\()" % "|".join(COMMON))
# "router" is a key of reports too.
LITERAL = re.compile(r'"(%s)"' % "|".join(sorted(set(KINDS.values()) - COMMON - {"router"})))
RAW = re.compile(r'TensorKind\(rawValue: "')
FORMAT = re.compile(r'"(%s)"' % "|".join(FORMATS))


def findings():
    for path in sorted(SOURCES.rglob("*.swift")):
        name = path.relative_to(SOURCES).as_posix()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = code(line)
            bare = re.sub(r'"[^"]*"', '""', text)
            if not name.startswith(KIND_PLACES) and (
                    MEMBER.search(bare) or COMMON_MEMBER.search(bare) or LITERAL.search(text) or RAW.search(text)):
                yield "kind", name, number, line.strip()
            for match in FORMAT.finditer(text):
                if not name.startswith(f"IngotFormats/{FORMATS[match[1]]}/"):
                    yield "format", name, number, line.strip()


def main():
    failed, used = False, set()
    for what, name, number, line in findings():
        allowed = ALLOWED_KINDS if what == "kind" else ALLOWED_FORMATS
        entry = next((e for e in allowed if e[0] == name and e[1] in line), None)
        if entry is None:
            failed = True
            print(f"Sources/{name}:{number}: a {'tensor kind' if what == 'kind' else 'format name'} spelled here: {line}")
        else:
            used.add(entry)
            if "--list" in sys.argv:
                print(f"allowed: Sources/{name}:{number}: {line}  ({entry[2]})")
    for entry in ALLOWED_KINDS + ALLOWED_FORMATS:
        if entry not in used:
            failed = True
            print(f"scripts/tools check-names allows what is no longer there: {entry[0]}: {entry[1]}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
