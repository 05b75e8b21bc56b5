"""What is made of artifacts: arrays, SafeTensors files, listings, and what the command prints."""

import contextlib
import io
import json
import os
import struct
import unittest
from typing import Any
from unittest import mock

import numpy as np

import ingot
from ingot import listing, zstd
from ingot.__main__ import main
from ingot.safetensors import rounded
from ingot.xxh3 import computed, xxh3
from tests import vectors
from tests.artifacts import WithArtifacts

NORM = "model.norm.weight"
# numpy's types of SafeTensors' names; of the others the bytes are compared.
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4",
    "U16": "<u2", "U8": "u1", "BOOL": "?", "C64": "<c8"}


def read_safetensors(path: str) -> dict[str, tuple[str, list[int], bytes]]:
    """Type, shape and bytes of every tensor, by the format's description and not by our writer."""
    with open(path, "rb") as file:
        content = file.read()
    size, = struct.unpack("<Q", content[:8])
    assert size % 8 == 0
    header = json.loads(content[8:8 + size])
    metadata = header.pop("__metadata__")
    assert metadata == {"format": "pt"}
    data, end = content[8 + size:], 0
    for entry in header.values():
        start, stop = entry["data_offsets"]
        assert start == end
        end = stop
    assert end == len(data)
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in header.items()}


def called(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `python -m ingot ARGUMENTS`."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = main(arguments)
        except SystemExit as exit:
            code = int(exit.code or 0)
    return code, out.getvalue(), error.getvalue()


class Arrays(WithArtifacts):
    def test_dense_types_stay_what_they_are(self) -> None:
        artifact = self.artifact("encodings")
        for name, dtype in DTYPES.items():
            tensor = artifact[f"dense.{name}"]
            values = tensor.to_numpy()
            self.assertEqual((values.dtype.str.lstrip("|<"), values.shape), (np.dtype(dtype).str.lstrip("|<"), tensor.shape))
            self.assertEqual(values.tobytes(), tensor.plane(0).tobytes())
        for name in ("BF16", "F8_E4M3", "F8_E5M2"):
            self.assertEqual(artifact[f"dense.{name}"].to_numpy().dtype, np.float32)
        for name in ("F4", "F6_E2M3", "F6_E3M2", "F8_E8M0"):
            with self.assertRaisesRegex(ingot.FormatError, f"dense.{name}.*decodes to F32.*found {name}"):
                artifact[f"dense.{name}"].to_numpy()

    def test_shapes(self) -> None:
        artifact = self.artifact("encodings")
        for name, shape in (("dense.scalar", ()), ("dense.empty", (0, 8)), ("dense.none", (8, 0)), ("affine.stack", (2, 3, 21)),
                            ("dense.rank8", (2, 1, 2, 1, 3, 1, 2, 1))):
            self.assertEqual((artifact[name].to_numpy().shape, artifact[name].values().shape), (shape, shape))

    def test_patterns(self) -> None:
        artifact = self.artifact("tiny")
        self.assertEqual(list(artifact.to_numpy("*norm.weight")), [name for name in artifact if name.endswith("norm.weight")])
        self.assertEqual(artifact.to_numpy("nothing"), {})

    def test_arrays_are_their_owners(self) -> None:
        values = self.artifact("encodings")["dense.F16"].to_numpy()
        values[...] = 0
        plane = self.artifact("encodings")["dense.F16"].plane(0)
        with self.assertRaises(ValueError):
            plane[...] = 0


class SafeTensors(WithArtifacts):
    def test_every_tensor_comes_out(self) -> None:
        for name in ("encodings", "blocks", "trellis", "tiny-split"):
            artifact, path = self.artifact(name), f"{self.folder}/{name}.safetensors"
            artifact.to_safetensors(path)
            written = read_safetensors(path)
            self.assertEqual(set(written), set(artifact))
            for tensor in artifact.values():
                kind, shape, content = written[tensor.name]
                dense = tensor.encoding.kind == "dense"
                self.assertEqual((kind, shape), (tensor.encoding.type if dense else "F32", list(tensor.shape)))
                self.assertEqual(content, tensor.plane(0).tobytes() if dense else tensor.values().tobytes(), tensor.name)

    def test_other_types_and_some_tensors(self) -> None:
        artifact, path = self.artifact("tiny"), f"{self.folder}/half.safetensors"
        for dtype, numpy in (("F16", "<f2"), ("BF16", "<u2")):
            artifact.to_safetensors(path, "*experts*", dtype, overwrite=True)
            written = read_safetensors(path)
            self.assertEqual(set(written), {name for name in artifact if "experts" in name})
            for name, (kind, _, content) in written.items():
                self.assertEqual(kind, dtype)
                self.assertEqual(content, rounded(artifact[name].values().reshape(-1), dtype).astype(numpy).tobytes())
        with self.assertRaisesRegex(ValueError, "F32, BF16, F16"):
            artifact.to_safetensors(path, dtype="I8")

    def test_rounding_to_bf16(self) -> None:
        pairs = {0x3F800000: 0x3F80, 0x3F808000: 0x3F80, 0x3F808001: 0x3F81, 0x3F818000: 0x3F82, 0x7F7FFFFF: 0x7F80,
                 0xFF800000: 0xFF80, 0x80000001: 0x8000, 0x00018000: 0x0002}
        values = np.array(list(pairs), np.uint32).view(np.float32)
        self.assertEqual(rounded(values, "BF16").tolist(), list(pairs.values()))
        for bits in (0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF):
            near = int(rounded(np.array([bits], np.uint32).view(np.float32), "BF16")[0])
            self.assertTrue(near & 0x7F80 == 0x7F80 and near & 0x7F, hex(near))

    def test_nothing_is_replaced_or_left(self) -> None:
        artifact, folder = self.artifact("tiny"), f"{self.folder}/only"
        os.mkdir(folder)
        artifact.to_safetensors(f"{folder}/a.safetensors")
        with self.assertRaisesRegex(FileExistsError, "output already exists"):
            artifact.to_safetensors(f"{folder}/a.safetensors")
        with self.assertRaisesRegex(ingot.FormatError, f"{NORM}.*checksum"):
            ingot.Artifact(self.damaged(NORM)).to_safetensors(f"{folder}/b.safetensors")
        self.assertEqual(os.listdir(folder), ["a.safetensors"])


class Listing(WithArtifacts):
    def test_json_has_everything(self) -> None:
        for name in self.vectors:
            code, out, _ = called("ls", "--json", self.path(name))
            listed: dict[str, Any] = json.loads(out)
            self.assertEqual(code, 0)
            expected = [(tensor["name"], tensor["kind"], tensor["shape"], tensor["encoding"]) for tensor in self.vectors[name].tensors]
            self.assertEqual([(t["name"], t["kind"], t["shape"], t["encoding"]) for t in listed["tensors"]], expected)
            self.assertEqual(listed["bytes"], sum(map(len, self.vectors[name].parts.values())))
            self.assertEqual({file["name"] for file in listed["sideFiles"] if not file["provenance"]}, set(self.vectors[name].files))

    def test_tables_have_at_most_100_columns(self) -> None:
        for name in self.vectors:
            artifact = self.artifact(name)
            lines = listing.table(artifact)
            self.assertEqual(len(lines), 2 + len(artifact) + len(artifact.files))
            for line in lines:
                self.assertLessEqual(listing.columns(line), 100, line)
                self.assertTrue(line.isprintable(), line)

    def test_long_names_keep_both_ends(self) -> None:
        self.assertEqual(listing.shortened("model.layers.17.experts.3.weight", 17), "model.la…3.weight")
        self.assertEqual(listing.columns(listing.shortened("漢" * 30, 16)), 15)
        self.assertEqual(listing.printable("a\x1b[1m\u202e b"), "a\\u{1b}[1m\\u{202e} b")


class Command(WithArtifacts):
    def test_exit_codes(self) -> None:
        tiny = self.path("tiny")
        self.assertEqual(called("check", tiny), (0, f"{tiny}: all checksums are right\n", ""))
        code, out, error = called("check", self.damaged(NORM), tiny)
        self.assertEqual((code, out), (1, f"{tiny}: all checksums are right\n"))
        self.assertIn(NORM, error)
        for arguments in (["ls"], ["nothing"], ["ls", tiny, "--what"], []):
            self.assertEqual(called(*arguments)[0], 64, arguments)
        code, _, error = called("ls", tiny + ".not")
        self.assertEqual(code, 1)
        self.assertIn("tiny.ingot.not", error)
        code, _, error = called("show", tiny, "nothing")
        self.assertEqual((code, error), (1, f"{tiny}: expected a tensor 'nothing', found none of this name\n"))

    def test_dump(self) -> None:
        folder, artifact = f"{self.folder}/dump", self.artifact("tiny")
        self.assertEqual(called("dump", artifact.path, folder), (0, "", ""))
        self.assertEqual(len(os.listdir(folder)), len(artifact) + len(artifact.files))
        np.testing.assert_array_equal(np.load(f"{folder}/{NORM}.npy"), artifact[NORM].values())
        with open(f"{folder}/config.json", "rb") as file:
            self.assertEqual(file.read(), artifact.files["config.json"].content())

    def test_safetensors(self) -> None:
        tiny, out = self.path("tiny"), f"{self.folder}/command.safetensors"
        self.assertEqual(called("safetensors", tiny, out, "--dtype", "BF16", "--only", "lm_head.*")[0], 0)
        self.assertEqual(list(read_safetensors(out)), ["lm_head.weight"])
        code, _, error = called("safetensors", tiny, out)
        self.assertEqual((code, error), (1, f"output already exists: {out} (use --force to replace it)\n"))
        self.assertEqual(called("safetensors", tiny, out, "--force")[0], 0)


class Frames(WithArtifacts):
    """With whatever unpacks zstd here; without any of it, the refusal says what to install."""

    def test_frames(self) -> None:
        frame = vectors.framed(b"0123456789")
        try:
            self.assertEqual(zstd.decompress(frame, 10), b"0123456789")
            self.assertNotEqual(zstd.decompress(frame, 9), b"012345678")
            self.assertNotEqual(zstd.decompress(frame[:-1], 10), b"0123456789")
        except zstd.Missing as missing:
            self.assertIn("zstandard", str(missing))

    def test_side_files(self) -> None:
        config = self.artifact("tiny").files["config.json"].content()
        content = vectors.with_frame(self.vectors["tiny"], xxh3)
        artifact = ingot.Artifact(vectors.written({"framed.ingot": content}, self.folder))
        try:
            self.assertEqual(artifact.files["config.json"].content(), config)
        except ingot.FormatError as error:
            self.assertIn("the package zstandard", str(error))
        broken = mock.patch("ingot.zstd.decompress", lambda frame, size: None)
        with broken, self.assertRaisesRegex(ingot.FormatError, f"zstd frame of {len(config)} bytes"):
            artifact.files["config.json"].content()


class Checksums(unittest.TestCase):
    def test_both_ways_give_the_same(self) -> None:
        """By the package xxhash where it is installed, and in numpy."""
        for size in (0, 3, 8, 16, 128, 240, 241, 1024, 1025, 5000):
            content = bytes(i * 7 % 251 for i in range(size))
            self.assertEqual(xxh3(content), computed(content), size)
        with mock.patch("ingot.xxh3.library", lambda content: 12):
            self.assertEqual(xxh3(b"x"), 12)
        with mock.patch("ingot.xxh3.library", None):
            self.assertEqual(xxh3(b""), 0x2D06800538D394C2)


if __name__ == "__main__":
    unittest.main()
