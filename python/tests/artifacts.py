"""Artifacts of the vectors as files, for tests of what is made of them."""

import tempfile
import unittest

import ingot
from tests import vectors


class WithArtifacts(unittest.TestCase):
    """`self.artifact("encodings")` is the vector of that name, `self.folder` a folder that goes when the tests are done."""

    vectors: dict[str, vectors.Good]
    folder: str

    @classmethod
    def setUpClass(cls) -> None:
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = scratch.name
        cls.vectors = {vector.name: vector for vector in vectors.read()[0]}

    def path(self, name: str) -> str:
        return vectors.written(self.vectors[name].parts, self.folder)

    def artifact(self, name: str) -> ingot.Artifact:
        return ingot.Artifact(self.path(name))

    def damaged(self, tensor: str) -> str:
        """A file of the vector `tiny` whose tensor has one bit flipped."""
        content = bytearray(self.vectors["tiny"].parts["tiny.ingot"])
        content[self.artifact("tiny")[tensor].start] ^= 1
        return vectors.written({"damaged.ingot": content}, self.folder)
