"""The reader against the format's vectors, which another writer made from the specification."""

import hashlib
import tempfile
import unittest

import ingot
from tests import vectors


class Vectors(unittest.TestCase):
    good: list[vectors.Good]
    bad: list[vectors.Bad]

    @classmethod
    def setUpClass(cls) -> None:
        cls.good, cls.bad = vectors.read()

    def test_good_files_decode_to_the_expected_values(self) -> None:
        self.assertGreaterEqual(len(self.good), 7)
        for vector in self.good:
            with tempfile.TemporaryDirectory() as folder:
                artifact = ingot.Artifact(vectors.written(vector.parts, folder))
                self.assertEqual(len(artifact), len(vector.tensors))
                for expected in vector.tensors:
                    tensor = artifact[expected["name"]]
                    self.assertEqual((tensor.kind, list(tensor.shape), tensor.encoding.is_decodable),
                                     (expected["kind"], expected["shape"], "values" in expected), tensor.name)
                    content = tensor.values().tobytes() if "values" in expected else tensor.plane(0).tobytes()
                    self.assertEqual(hashlib.sha256(content).hexdigest(), expected.get("values", expected.get("bytes")), tensor.name)
                    if "values" not in expected:
                        with self.assertRaises(ingot.FormatError) as raised:
                            tensor.values()
                        self.assertIn("plane(0)", str(raised.exception))
                files = {name: file for name, file in artifact.files.items() if not file.is_provenance}
                digests = {name: hashlib.sha256(file.content()).hexdigest() for name, file in files.items()}
                self.assertEqual(digests, vector.files)
                artifact.check()
                self.assertIn("tool", artifact.provenance())
                self.assertIn("model_type", artifact.config())

    def test_any_part_opens_the_whole(self) -> None:
        vector = next(vector for vector in self.good if len(vector.parts) == 3)
        with tempfile.TemporaryDirectory() as folder:
            vectors.written(vector.parts, folder)
            for name in vector.parts:
                self.assertEqual(len(ingot.Artifact(f"{folder}/{name}")), len(vector.tensors))

    def test_bad_files_are_refused_in_words(self) -> None:
        bad = [vector for vector in self.bad if vector.found != "model"]
        self.assertGreaterEqual(len(bad), 313)
        for vector in bad:
            with tempfile.TemporaryDirectory() as folder:
                path = vectors.written(vector.parts, folder)
                with self.assertRaises(ingot.FormatError, msg=vector.name) as raised:
                    artifact = ingot.Artifact(path)
                    self.assertEqual(vector.found, "check", vector.name)
                    artifact.check()
                text = str(raised.exception)
                self.assertTrue(text.startswith(folder), text)
                self.assertTrue(text.isprintable(), text)
                for words in vector.says:
                    self.assertIn(words, text, vector.name)

    def test_checksums_can_be_left_out(self) -> None:
        vector = next(vector for vector in self.bad if vector.name == "payload: plane 1 of model.embed_tokens.weight")
        with tempfile.TemporaryDirectory() as folder:
            tensor = ingot.Artifact(vectors.written(vector.parts, folder))["model.embed_tokens.weight"]
            with self.assertRaises(ingot.FormatError):
                tensor.values()
            self.assertEqual(tensor.values(verify=False).shape, (4, 16))


if __name__ == "__main__":
    unittest.main()
