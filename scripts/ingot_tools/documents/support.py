"""The table of docs/reference/families.md that says which formats have a place for which family: `ingot plan` is
asked for the fixtures of each family, of which one that fits counts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ingot_tools.documents.page import ROOT

PATH = ROOT / "docs/reference/families.md"
FIXTURES = ROOT / "Tests/Fixtures/families"
BEGIN, END = "<!-- support -->\n", "<!-- /support -->"


def packed(encoding: str) -> list[str]:
    """Rules for linear layers alone, which is what engines hold packed; once with shared experts too."""
    parts = "attention, experts, mlp"
    return [f"parts: [{parts}{more}], encoding: {encoding}" for more in ("", ", shared_gate, shared_up, shared_down")]


# Columns: title, format, rules of which one has to fit.
COLUMNS = [
    (".ingot", "ingot", ["encoding: int4 g32 zero f16"]),
    ("SafeTensors", "safetensors", ["encoding: bf16"]),
    ("GGUF", "gguf", ["encoding: q8_0", "encoding: f16"]),
    ("MLX", "mlx", ["encoding: int4 g32 bias bf16", "encoding: bf16"]),
    ("compressed-tensors", "compressed-tensors", packed("int4 g32 sym bf16")),
    ("GPTQ", "gptq", packed("int4 g32 sym f16")),
    ("AWQ", "awq", packed("int4 g32 zero f16")),
    ("EXL3", "exl3", packed("exl3-3")),
]
# No fixture of these has rows of whole groups.
NARROW = {("phimoe", "compressed-tensors"), ("phimoe", "gptq"), ("phimoe", "awq")}


def families() -> dict[str, list[Path]]:
    """Fixtures by family, those that are made for groups first."""
    found: dict[str, list[Path]] = {}
    for case in sorted(FIXTURES.iterdir(), key=lambda path: (not path.name.endswith("-even"), path.name)):
        if case.is_dir() and case.name != "unheardof":
            found.setdefault(case.name.split("-")[0], []).append(case)
    return dict(sorted(found.items()))


def table(ingot: Path, folder: Path) -> str:
    def fits(case: Path, name: str, rule: str) -> bool:
        recipe = folder / "rule.yaml"
        recipe.write_text(f"name: one\nrules:\n  - {{{rule}}}\n", encoding="utf-8")
        command = [str(ingot), "plan", str(case), "--recipe", str(recipe), "--format", name, "--json"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    titles = " | ".join(title for title, _, _ in COLUMNS)
    lines = [f"| `model_type` | {titles} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for family, cases in families().items():
        cells = [
            "not tried" if (family, name) in NARROW
            else "yes" if any(fits(case, name, rule) for rule in rules for case in cases) else "–"
            for _, name, rules in COLUMNS]
        lines.append(f"| `{family}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def problems(ingot: Path, folder: Path, writes: bool) -> list[str]:
    text = PATH.read_text(encoding="utf-8")
    made = table(ingot, folder)
    wanted = re.sub(f"({BEGIN}).*?({END})", lambda match: match[1] + made + match[2], text, flags=re.DOTALL)
    if wanted == text:
        return []
    if writes:
        PATH.write_text(wanted, encoding="utf-8")
        print("docs/reference/families.md: table written")
        return []
    return ["docs/reference/families.md: formats differ from what 'ingot plan' says: scripts/tools test-docs --write"]
