"""Runs every command with --json and validates what it prints against docs/reference/schemas."""

from __future__ import annotations

import copy
import json
from typing import Any

from jsonschema import Draft202012Validator

from ingot_tools.documents.page import ROOT, Command
from ingot_tools.documents.shell import Place, Session

FOLDER = ROOT / "docs/reference/schemas"
TEXT = "--text my-text.txt --context 64"
MEASURED = "--chunks 1 --exclude trellis --format ingot gguf"
CALLS = "calibration/conversations/held-out.jsonl"
AGENTS = "--conversations --chat-template scripts/ingot_tools/reference/agentic.jinja --json"
SEQUENTIAL = "--importance model.calib --sequential my-text.txt --refit-bias"
# Schema, expected exit code, command; `cat` for files that commands write. They run one after the other.
RUNS: list[tuple[str, int, str]] = [
    ("inspect", 0, "ingot inspect MODEL --claim experts=8 --json"),
    ("inspect", 2, "ingot inspect MODEL --claim experts=9 --json"),
    ("inspect", 0, "ingot inspect Tests/Fixtures/families/llama-plain --json"),
    ("inspect", 0, "ingot inspect Tests/Fixtures/families/gemma3-nested --json"),
    ("inspect-tensors", 0, "ingot inspect MODEL --tensors --json"),
    ("inspect-tensors", 0, "ingot inspect MODEL/model-00001-of-00004.safetensors --json"),
    ("inspect-render", 0, "ingot inspect MODEL --render chats.jsonl --json"),
    ("plan-fits", 0, "ingot plan MODEL --json"),
    ("plan-fits", 0, "ingot plan MODEL --context 4k --json"),
    ("plan-machine", 0, "ingot plan MODEL --machine pc-64-24 --json"),
    ("plan-machine", 0, "ingot plan MODEL --fit 12GB --json"),
    ("plan-recipe", 0, "ingot plan MODEL --recipe int4 --json"),
    ("plan-recipe", 0, "ingot plan Tests/Fixtures/families/llama-plain --recipe q4_k_m --json"),
    ("recipes", 0, "ingot recipes --json"),
    ("calibrate", 0, f"ingot calibrate MODEL {TEXT} --chunks 4 -o model.calib --json"),
    ("calibrate", 0, f"ingot calibrate MODEL {TEXT} --chunks 1 --until-covered 60 -o covered.calib --json"),
    ("calibrate", 0, f"ingot calibrate MODEL {TEXT} --chunks 2 --shard 1/1 -o calibrations --json"),
    ("assemble-calibration", 0, "ingot assemble calibrations -o together.calib --json"),
    ("quantize", 0, "ingot quantize MODEL --recipe int4 --shard 1/1 -o artifacts --json"),
    ("quantize", 0, "ingot assemble artifacts -o together.ingot --json"),
    ("sensitivity-cost", 0, f"ingot sensitivity MODEL {TEXT} --chunks 1 --cost -o x.sens --json"),
    ("sensitivity", 0, f"ingot sensitivity MODEL {TEXT} {MEASURED} -o x.sens --json"),
    ("sensitivity-share", 0, f"ingot sensitivity MODEL {TEXT} {MEASURED} --shard 1/1 -o sensitivities --json"),
    ("sensitivity", 0, "ingot assemble sensitivities -o together.sens --json"),
    ("plan-sensitivity", 0, "ingot plan MODEL --sensitivity x.sens --bits 4 -o plan.json --json"),
    ("plan-sensitivity", 0, "ingot plan MODEL --plan plan.json --json"),
    ("plan-sensitivity", 0, "ingot plan MODEL --sensitivity x.sens --bits 2.5 --allow-drop 2 -o fewer.json --json"),
    ("plan-file", 0, "cat plan.json"),
    ("plan-file", 0, "cat fewer.json"),
    ("inspect-written", 0, "ingot inspect plan.json --json"),
    ("quantize", 0, "ingot quantize MODEL --plan plan.json -o planned.ingot --json"),
    ("quantize", 0, "ingot quantize MODEL --plan fewer.json -o fewer.ingot --json"),
    ("quantize", 0, f"ingot quantize MODEL {SEQUENTIAL} -o calibrated.ingot --json"),
    ("quantize", 0, "ingot quantize MODEL --recipe q4_k_m -o model.gguf --json"),
    ("convert", 0, "ingot convert planned.ingot -o dense --format safetensors --decode bf16 --json"),
    ("verify", 2, "ingot verify planned.ingot --against MODEL --text held-out.txt --chunks 1 --max-kld 1e-9 --json"),
    ("verify", 0, f"ingot verify planned.ingot --against MODEL {TEXT} --plan plan.json --json || test $? = 2"),
    ("verify", 0, f"ingot verify fewer.ingot --against MODEL {TEXT} --chunks 1 --json"),
    ("verify", 0, "ingot verify MODEL --against MODEL --text held-out.txt --chunks 1 --json"),
    ("verify-several", 0, f"ingot verify planned.ingot fewer.ingot --against MODEL {TEXT} --chunks 1 --json"),
    ("verify", 0, f"head -2 {CALLS} > calls.jsonl; ingot verify planned.ingot --against MODEL --text calls.jsonl {AGENTS}"),
    ("verify", 0, f"ingot verify planned.ingot --against MODEL --text calls.jsonl --generate 2 --max-tokens 40 {AGENTS}"),
    ("verify-share", 0, f"ingot verify planned.ingot --against MODEL {TEXT} --chunks 1 --shard 1/1 -o comparisons --json"),
    ("verify", 2, "ingot assemble comparisons --max-kld 1e-9 --json"),
    ("check", 0, "ingot check planned.ingot --json"),
    ("check", 1, "head -c 3000000 planned.ingot > broken.ingot; ingot check broken.ingot --json"),
    ("generate", 0, "ingot generate MODEL --messages chat.json -n 8 --json"),
    ("logits", 0, "echo '[[1, 2, 3]]' > ids.json; ingot logits MODEL --tokens ids.json -o x.safetensors --json"),
    ("fit-decision", 0, "ingot fit MODEL --machine mac-128 --dry-run --json"),
    ("fit", 0, "ingot fit MODEL --machine 1GB --hours 0.01 -o fitted --json"),
    ("fit", 0, "cat fitted/fit.json"),
    ("error", 1, "ingot inspect nothing --json"),
    ("error", 64, "ingot plan MODEL --recipes int4 --json"),
    ("error", 64, "ingot quantize MODEL -o x.gguf --recipe mlx-4bit --json"),
    ("error", 1, "ingot plan MODEL --fit 1MB --json"),
    ("error", 1, "ingot quantize MODEL -o planned.ingot --json"),
]


def strict(schema: Any) -> Any:
    """The schema, refusing keys that it does not describe: open for readers, it has to describe all that is printed."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        return schema
    return [strict(one) for one in schema] if isinstance(schema, list) else schema


def validators() -> dict[str, Draft202012Validator]:
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
        found[path.stem] = Draft202012Validator(strict(copy.deepcopy(schema)))
    return found


def problems(place: Place) -> tuple[list[str], int]:
    """Faults, and how many results fit their schema."""
    known = validators()
    found: list[str] = [f"docs/reference/schemas/{name}.json: no command is run for it"
                        for name in known.keys() - {name for name, _, _ in RUNS}]
    session = Session(place, place.page("schemas"))
    count = 0
    for name, code, text in RUNS:
        session.run(Command(f"({text}) 2>/dev/null", 0))
        if session.code != code:
            found.append(f"{text}: exit code {session.code}, expected {code}")
            continue
        try:
            result = json.loads(session.printed)
        except json.JSONDecodeError as error:
            found.append(f"{text}: {error}")
            continue
        faults = sorted(known[name].iter_errors(result), key=str)
        for fault in faults[:3]:
            where = "/".join(map(str, fault.absolute_path)) or "the whole"
            found.append(f"docs/reference/schemas/{name}.json: {text}: {where}: {fault.message[:300]}")
        count += not faults
    return found, count
