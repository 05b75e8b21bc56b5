"""Runs an artifact in transformers: its config and side files, and weights decoded as they are loaded.

    import ingot.transformers

    model = ingot.transformers.load("model.ingot")
    tokenizer = ingot.transformers.load_tokenizer("model.ingot")

Needs torch and transformers 5. No code out of an artifact is run: a model_type must be one that transformers knows.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from . import fused_experts, lazy
from .artifact import Artifact
from .errors import FormatError

# Buffers that models compute from their config: MiniMax's decays.
COMPUTED = re.compile(r"\.(slope_rate|query_decay|key_decay|diagonal_decay)$")


def load(source: str | os.PathLike[str] | Artifact, dtype: torch.dtype = torch.float32, allow_missing: str = "",
         verify: bool = True, **options: Any) -> Any:
    """A model in evaluation mode, with the values that the artifact decodes to, in `dtype`.

    Tensors are decoded one after the other, so memory takes the model in `dtype` and little more. `options` go to
    `from_pretrained`, such as `device_map` or `attn_implementation`. `allow_missing` is a regular expression of
    parameters that the artifact need not have, which transformers then draws at random: a vision tower, say, that plays
    no part for texts. Parameters of the artifact for which the model has no place are named in a warning.

    Raises `FormatError` for a damaged artifact, a model_type that transformers does not know, and weights that are
    missing or have another shape.
    """
    artifact = source if isinstance(source, Artifact) else Artifact(source)
    with side_files(artifact) as folder:
        config = config_of(artifact, folder)
        model_class = class_of(artifact, config)
        weights = {name: lazy.of(tensor, verify) for name, tensor in artifact.items()}
        fused_experts.replace(config, weights)
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True, trust_remote_code=False, **options)
        check(artifact, report, allow_missing)
        if "generation_config.json" in artifact.files and model.can_generate():
            model.generation_config = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model.eval()


def load_tokenizer(source: str | os.PathLike[str] | Artifact) -> Any:
    """The tokenizer of the side files. Raises `FormatError` where there are none that transformers makes one of."""
    artifact = source if isinstance(source, Artifact) else Artifact(source)
    with side_files(artifact) as folder:
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(artifact.path, "side files of a tokenizer", f"none that transformers reads: {error}") from error


@contextmanager
def side_files(artifact: Artifact) -> Iterator[str]:
    """A folder with the artifact's side files while it is used.

    config.json then says nothing of how the source was quantized, since weights come decoded, nor of code of its own.
    """
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        for file in artifact.files.values():
            if file.is_provenance:
                continue
            content = file.content()
            if file.name == "config.json":
                config = artifact.config()
                for part in [config, *(value for value in config.values() if isinstance(value, dict))]:
                    part.pop("quantization_config", None)
                    part.pop("auto_map", None)
                content = json.dumps(config).encode()
            path = os.path.join(folder, file.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(content)
        yield folder


def config_of(artifact: Artifact, folder: str) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, TypeError) as error:
        known = f"a config.json that transformers {transformers.__version__} knows"
        raise FormatError(artifact.path, known, str(error).splitlines()[0], "config.json") from error


def class_of(artifact: Artifact, config: Any) -> Any:
    """The class that config.json names, if transformers has it, else the one that it has for such a config."""
    for name in getattr(config, "architectures", None) or []:
        if re.fullmatch(r"\w+For(CausalLM|ConditionalGeneration)", name) and hasattr(transformers, name):
            return getattr(transformers, name)
    for auto in (transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText):
        if type(config) in auto._model_mapping:
            # Not the automatic class itself, which asks where the files are.
            found = auto._model_mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise FormatError(artifact.path, f"a model_type that transformers {transformers.__version__} generates text with",
                      repr(config.model_type), "config.json")


def check(artifact: Artifact, report: dict[str, Any], allow_missing: str) -> None:
    """Refuses a model that is not made of the artifact alone."""
    missing = sorted(name for name in report["missing_keys"] if not COMPUTED.search(name))
    missing = [name for name in missing if not (allow_missing and re.search(allow_missing, name))]
    if missing:
        raise FormatError(artifact.path, f"weights for all parameters (allow_missing may except some), {missing[0]!r} among them",
                          f"{len(missing)} without any")
    if report.get("mismatched_keys"):
        name, found, expected = min(report["mismatched_keys"])
        raise FormatError(artifact.path, f"the shape {list(expected)}", list(found), name)
    for kind in ("error_msgs", "conversion_errors"):
        if report.get(kind):
            raise FormatError(artifact.path, "weights that transformers takes", report[kind])
    unused = sorted(report.get("unexpected_keys") or [])
    if unused:
        warnings.warn(f"{artifact.path}: {len(unused)} tensors have no place in the model, {unused[0]!r} among them", stacklevel=3)
