"""include/ingot.h against the format's vectors, under address and undefined-behaviour sanitizers.

Needs a C compiler: $CC, clang or gcc. scripts/tools test-python runs it.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "python"))
import ingot  # noqa: E402
from ingot.xxh3 import computed, xxh3  # noqa: E402
from tests import vectors  # noqa: E402

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
# The compiler may then fuse a product and a sum, as it may on other processors anyway; values must not show it.
CPU = pathlib.Path("/proc/cpuinfo")
FUSING = ["-mfma"] if CPU.exists() and " fma " in CPU.read_text() else []
SOURCE = ROOT / "include/tests/values.c"


def compilers() -> list[str]:
    """$CC, or those of clang and gcc that are there."""
    found = [os.environ["CC"]] if "CC" in os.environ else [name for name in ("clang", "gcc") if shutil.which(name)]
    if not found:
        raise SystemExit("a C compiler is needed: $CC, clang or gcc")
    return found


def called(*command: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, capture_output=True, check=False)


def built(folder: str, compiler: str, *options: str) -> str:
    """The test program, made with these options."""
    path = f"{folder}/values-{compiler.rsplit('/', 1)[-1]}-{hashlib.sha256(repr(options).encode()).hexdigest()[:8]}"
    # The linker's remarks on sanitizers are no fault.
    made = called(compiler, *options, *WARNINGS, str(SOURCE), "-o", path)
    if made.returncode:
        raise SystemExit(made.stderr.decode())
    return path


def records(output: bytes) -> Iterator[tuple[str, str, bytes]]:
    """(kind, name, bytes) of each record that the program prints."""
    at = 0
    while at < len(output):
        stop = output.index(b"\n", at)
        kind, length, count = output[at:stop].split()
        name, content = stop + 1 + int(length), stop + 1 + int(length) + int(count)
        yield kind.decode(), output[stop + 1:name].decode(), output[name:content]
        at = content


class Header(unittest.TestCase):
    good: list[vectors.Good]
    bad: list[vectors.Bad]
    folder: str
    programs: list[str]

    @classmethod
    def setUpClass(cls) -> None:
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = scratch.name
        cls.good, cls.bad = vectors.read()
        first, *others = compilers()
        cls.programs = [built(cls.folder, first, "-std=c99", "-O1", *SANITIZERS)]
        # What programs are built with; another compiler's too, and files read instead of mapped.
        cls.programs += [built(cls.folder, compiler, "-std=gnu11", "-O2", *FUSING) for compiler in [first, *others]]
        cls.programs += [built(cls.folder, first, "-std=c99", "-O1", "-DINGOT_NO_MMAP")]

    def written(self, name: str, parts: dict[str, bytearray]) -> str:
        folder = f"{self.folder}/{name}"
        os.makedirs(folder, exist_ok=True)
        return vectors.written(parts, folder)

    def check_good(self, vector: vectors.Good, run: "subprocess.CompletedProcess[bytes]") -> None:
        self.assertEqual((run.returncode, run.stderr), (0, b""), vector.name)
        found = list(records(run.stdout))
        self.assertEqual(found.pop(), ("end", "", b""))
        tensors = {name: (kind, hashlib.sha256(content).hexdigest()) for kind, name, content in found if kind != "file"}
        expected = {
            tensor["name"]: ("values", tensor["values"]) if "values" in tensor else ("bytes", tensor["bytes"])
            for tensor in vector.tensors}
        for name, value in expected.items():
            self.assertEqual(tensors[name], value, f"{vector.name}: {name}")
        self.assertEqual(len(tensors), len(expected))
        files = {name: hashlib.sha256(content).hexdigest() for kind, name, content in found if kind == "file"}
        self.assertEqual({name: value for name, value in files.items() if name in vector.files}, vector.files)

    def test_good_files_decode_to_the_expected_values(self) -> None:
        self.assertGreaterEqual(len(self.good), 7)
        for index, vector in enumerate(self.good):
            path = self.written(f"good-{index}", vector.parts)
            for program in self.programs:
                for part in vector.parts:
                    self.check_good(vector, called(program, f"{os.path.dirname(path)}/{part}"))
                if len(vector.parts) == 1:
                    self.check_good(vector, called(program, "--memory", path))

    def test_bad_files_are_refused_in_words(self) -> None:
        bad = [vector for vector in self.bad if vector.found != "model"]
        self.assertGreaterEqual(len(bad), 313)
        paths = []
        for index, vector in enumerate(bad):
            self.written(f"bad-{index}", vector.parts)
            paths.append(f"{self.folder}/bad-{index}/{vector.opened}")
        run = called(self.programs[0], *paths)
        self.assertEqual(run.returncode, 1, run.stderr[-2000:])
        lines = run.stderr.decode().splitlines()
        self.assertEqual(len(lines), len(bad))
        for vector, path, line in zip(bad, paths, lines, strict=True):
            self.assertTrue(line.startswith(os.path.dirname(path)) and line.isprintable(), line)
            for words in vector.says:
                self.assertIn(words, line, vector.name)
        # In memory there are no other parts, and no path to name.
        single = [(vector, path) for vector, path in zip(bad, paths, strict=True) if len(vector.parts) == 1]
        run = called(self.programs[0], "--memory", *(path for _, path in single))
        lines = run.stderr.decode().splitlines()
        self.assertEqual((run.returncode, len(lines)), (1, len(single)), run.stderr[-2000:])

    def test_xxh3(self) -> None:
        """Against this package's, and both against what the reference library gave for Tests/KernelsTests."""
        content = bytes((i * 2654435761 & 0xFFFFFFFF) >> 24 for i in range(300_000))
        text = (ROOT / "Tests/KernelsTests/HashVectors.swift").read_text()
        pairs = re.findall(r"\((\d[\d_]*), 0x([0-9A-F_]+)\)", text)
        self.assertGreater(len(pairs), 20)
        for count, digits in pairs:
            self.assertEqual(computed(content[:int(count)]), int(digits, 16), count)
        path = f"{self.folder}/hashed"
        pathlib.Path(path).write_bytes(content)
        for program in self.programs:
            lines = subprocess.run([program, "--hash", path], capture_output=True, text=True, check=True).stdout.split()
            self.assertEqual(int(lines.pop(), 16), computed(content))
            for count, line in enumerate(lines):
                if count < 400 or count % 64 in (0, 1, 63):
                    self.assertEqual(int(line, 16), computed(content[:count]), count)

    def test_zstd(self) -> None:
        """With a decoder of frames that are not compressed in place of zstd's, and without one."""
        tiny = next(vector for vector in self.good if vector.name == "tiny")
        path = self.written("framed", {"framed.ingot": vectors.with_frame(tiny, xxh3)})
        run = called(self.programs[0], path)
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stderr.decode(), "'config.json': byte [0-9]+: expected a program built with INGOT_ZSTD")
        include = f"{self.folder}/include"
        os.makedirs(include)
        pathlib.Path(f"{include}/zstd.h").write_text(
            "static size_t ZSTD_decompress(void *out, size_t room, const void *frame, size_t stored) {\n"
            "  if (stored < 12 || stored - 12 > room) return (size_t)-1;\n"
            "  memcpy(out, (const char *)frame + 12, stored - 12);\n  return stored - 12;\n}\n")
        program = built(self.folder, compilers()[0], "-std=c99", "-O1", "-DINGOT_ZSTD", f"-I{include}", *SANITIZERS)
        self.check_good(tiny, called(program, path))

    def test_refuses_names_that_lie_on_each_other(self) -> None:
        """A directory in which many records name the same bytes must not take memory for each."""
        tensors, names = 4000, 100_000
        records = b"".join(
            (0).to_bytes(4, "little") + (names - i).to_bytes(4, "little") + bytes(96) for i in range(tensors))
        directory = b"".join(n.to_bytes(4, "little") for n in (0, 0, tensors, 0)) + names.to_bytes(8, "little") + records + b"a" * names
        head = bytearray(b"\x89INGOT\r\n" + bytes(112))
        for at, size, value in ((8, 2, 1), (20, 4, 1), (24, 8, 128 + len(directory)), (32, 8, 128), (40, 8, len(directory)),
                                (48, 8, xxh3(directory))):
            head[at:at + size] = value.to_bytes(size, "little")
        path = f"{self.folder}/names.ingot"
        pathlib.Path(path).write_bytes(bytes(head) + xxh3(head).to_bytes(8, "little") + directory)
        run = called(self.programs[0], path)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"byte 128: expected names that lie apart", run.stderr)

    def test_headers_compile_beside_each_other(self) -> None:
        """Declarations in two files and definitions in one; and all of it as C++, where there is a compiler."""
        folder, compiler = f"{self.folder}/two", compilers()[0]
        os.makedirs(folder)
        pathlib.Path(f"{folder}/one.c").write_text(f'#define INGOT_IMPLEMENTATION\n#include "{ROOT}/include/ingot.h"\n')
        pathlib.Path(f"{folder}/two.c").write_text(
            f'#include "{ROOT}/include/ingot.h"\nint main(void) {{ return ingot_open("none", NULL) != NULL; }}\n')
        subprocess.run([compiler, "-std=c99", *WARNINGS, f"{folder}/one.c", f"{folder}/two.c", "-o", f"{folder}/out"], check=True)
        subprocess.run([f"{folder}/out"], check=True)
        other = {"clang": "clang++", "gcc": "g++"}.get(compiler)
        if other and shutil.which(other):
            subprocess.run([other, "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"{folder}/one.c"], check=True)

    def test_tables_are_those_of_the_specification(self) -> None:
        subprocess.run([sys.executable, str(ROOT / "scripts/tools"), "make-c-header", "--check"], check=True)

    def test_both_readers_name_encodings_alike(self) -> None:
        names = {tensor.encoding.name for vector in self.good for tensor in ingot.Artifact(
            self.written("named-" + next(iter(vector.parts)), vector.parts)).values()}
        self.assertEqual(names, {tensor["encoding"] for vector in self.good for tensor in vector.tensors})


if __name__ == "__main__":
    unittest.main()
