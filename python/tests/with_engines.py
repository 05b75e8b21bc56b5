"""What needs torch, transformers and a built `ingot` ($INGOT): models run from artifacts, compared with `ingot logits`.

scripts/tools test-python --ingot BIN runs it with the python of scripts/tools setup-engines. Artifacts are made of the fixtures'
checkpoints; transformers computes in F32 what Ingot's own forward pass computes of the same file.
"""

import json
import os
import pathlib
import subprocess
import unittest
import warnings
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
import transformers

import ingot
import ingot.transformers
from tests.artifacts import WithArtifacts

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FAMILIES = ROOT / "Tests/Fixtures/families"
INGOT = os.environ["INGOT"]
TOLERANCE = 1e-5
# A checkpoint of each, its recipe, and the class that transformers must choose.
CASES = (
    ("llama-fused", "int4", "LlamaForCausalLM"),
    ("mistral-window", "int3", "MistralForCausalLM"),
    ("mixtral-transposed", "q4_0_pure", "MixtralForCausalLM"),
    ("qwen2_moe-raw", "mxfp4", "Qwen2MoeForCausalLM"),
    ("qwen3-tied", "int8", "Qwen3ForCausalLM"),
    ("qwen3_moe-fp8", "int4", "Qwen3MoeForCausalLM"),
    ("qwen3_next-norm", "int4", "Qwen3NextForCausalLM"),
    ("gpt_oss-mxfp4", "mxfp4", "GptOssForCausalLM"),
    ("deepseek_v3-fp8", "int8", "DeepseekV3ForCausalLM"),
    ("gemma3-nested", "nvfp4", "Gemma3ForConditionalGeneration"),
    ("gemma4-moe", "int4", "Gemma4ForConditionalGeneration"),
    ("glm4_moe-air", "int4", "Glm4MoeForCausalLM"),
    ("granitemoe-even", "int8", "GraniteMoeForCausalLM"),
    ("llama4-scout", "int4", "Llama4ForConditionalGeneration"),
    ("minimax-plain", "int4", "MiniMaxForCausalLM"),
    ("minimax_m2-plain", "mixed-4-8", "MiniMaxM2ForCausalLM"),
)
# Of a vision model the checkpoints have a piece only; logits of text do not go through it.
VISION = r"vision_tower|vision_model|multi_modal_projector"


def called(*arguments: str) -> None:
    run = subprocess.run([INGOT, *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        raise AssertionError(f"ingot {' '.join(arguments)}: {run.stderr.strip()}")


class Models(WithArtifacts):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        torch.set_num_threads(1)
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def quantized(self, case: str, recipe: str) -> str:
        out = f"{self.folder}/{case}.ingot"
        called("quantize", str(FAMILIES / case), "-o", out, "--format", "ingot", "--recipe", recipe, "--force")
        return out

    def logits(self, artifact: str, ids: Any) -> Any:
        tokens, out = f"{self.folder}/ids.json", f"{self.folder}/logits.safetensors"
        pathlib.Path(tokens).write_text(json.dumps(ids.tolist()))
        called("logits", artifact, "--tokens", tokens, "--output", out, "--force")
        return safetensors.numpy.load_file(out)["logits"].astype(np.float64)

    def test_logits_are_those_of_ingot(self) -> None:
        for case, recipe, model_class in CASES:
            path = self.quantized(case, recipe)
            ids = safetensors.numpy.load_file(FAMILIES / case / "golden.safetensors")["ids"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = ingot.transformers.load(path, allow_missing=VISION, attn_implementation="eager",
                                                experts_implementation="eager")
            self.assertEqual((type(model).__name__, model.training), (model_class, False))
            with torch.no_grad():
                theirs = torch.stack([model(torch.tensor(context)[None]).logits[0] for context in ids]).double().numpy()
            ours = self.logits(path, ids)
            self.assertEqual(theirs.shape, ours.shape)
            error = np.linalg.norm(theirs - ours) / np.linalg.norm(ours)
            print(f"{case:20} {recipe:10} {model_class:32} {error:.1e}", flush=True)
            self.assertLessEqual(error, TOLERANCE, case)

    def test_tokenizers(self) -> None:
        source, out = ROOT / "Tests/Fixtures/m2-nano", f"{self.folder}/nano.ingot"
        called("quantize", str(source), "-o", out, "--recipe", "int4", "--force")
        text = "def f(x):\n    return x + 1  # ä 漢"
        expected = transformers.AutoTokenizer.from_pretrained(source)(text)["input_ids"]
        tokenizer = ingot.transformers.load_tokenizer(out)
        self.assertEqual((tokenizer(text)["input_ids"], tokenizer.decode(expected)), (expected, text))
        with self.assertRaisesRegex(ingot.FormatError, "side files of a tokenizer"):
            ingot.transformers.load_tokenizer(self.path("tiny"))

    def test_a_model_in_bf16_and_generation(self) -> None:
        model = ingot.transformers.load(self.quantized("llama-plain", "int4"), torch.bfloat16)
        self.assertEqual({parameter.dtype for parameter in model.parameters()}, {torch.bfloat16})
        self.assertEqual(model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False).shape[0], 1)

    def test_refusals(self) -> None:
        with self.assertRaisesRegex(ingot.FormatError, "unheard-of.ingot: tensor 'config.json'.*transformers .* knows.*unheard_of"):
            ingot.transformers.load(self.path("unheard-of"))
        # One that transformers takes as it is, one that it stacks, and one that is stacked here.
        for case, name in (("qwen3-untied", "model.norm.weight"), ("qwen3_moe-raw", "model.layers.0.mlp.experts.1.up_proj.weight"),
                           ("gpt_oss-plain", "model.layers.0.mlp.experts.1.up_proj.weight")):
            path = self.quantized(case, "int4")
            content = bytearray(pathlib.Path(path).read_bytes())
            content[ingot.Artifact(path)[name].start] ^= 1
            pathlib.Path(path).write_bytes(content)
            with self.assertRaisesRegex(ingot.FormatError, f"{name}.*checksum"):
                ingot.transformers.load(path)
        with self.assertRaisesRegex(ingot.FormatError, "weights for all parameters.*vision"):
            ingot.transformers.load(self.quantized("gemma3-nested", "int4"))


class Torch(WithArtifacts):
    def test_every_tensor(self) -> None:
        for name in ("encodings", "tiny"):
            artifact = self.artifact(name)
            for tensor in artifact.values():
                if tensor.encoding.name in ("F4", "F6_E2M3", "F6_E3M2", "F8_E8M0"):
                    with self.assertRaises(ingot.FormatError):
                        tensor.to_torch()
                    continue
                values = tensor.to_torch()
                self.assertEqual(values.shape, tensor.shape)
                if tensor.encoding.is_decodable:
                    self.assertEqual(values.float().numpy().tobytes(), tensor.values().tobytes(), tensor.name)
                else:
                    self.assertEqual(values.numpy().tobytes(), tensor.plane(0).tobytes(), tensor.name)
        self.assertEqual(artifact["model.norm.weight"].to_torch().dtype, torch.bfloat16)
        self.assertEqual(artifact["lm_head.weight"].to_torch(torch.float16).dtype, torch.float16)
        self.assertEqual(set(artifact.to_torch("*experts.1*")), {name for name in artifact if "experts.1" in name})

    def test_files_for_the_safetensors_package(self) -> None:
        artifact, path = self.artifact("tiny"), f"{self.folder}/tiny.safetensors"
        for dtype, native in (("F32", torch.float32), ("BF16", torch.bfloat16), ("F16", torch.float16)):
            artifact.to_safetensors(path, dtype=dtype, overwrite=True)
            with safetensors.safe_open(path, "pt") as file:
                self.assertEqual(set(file.keys()), set(artifact))
                for name in artifact:
                    values = artifact[name].to_torch(None if artifact[name].encoding.kind == "dense" else native)
                    self.assertTrue(torch.equal(file.get_tensor(name), values), name)


if __name__ == "__main__":
    unittest.main()
