"""What the tools compute by themselves: pages, numbers, checkpoints, archives."""
from __future__ import annotations

import gzip
import pathlib
import tempfile
import unittest

import numpy as np

from ingot_tools import REPOSITORY
from ingot_tools.checkpoints import MODELS
from ingot_tools.checks import check_language
from ingot_tools.documents import links, shell
from ingot_tools.fixtures import make_checkpoint, make_man_pages
from ingot_tools.hub.faults import AT_CONTENT, AT_ENDPOINT, Faults
from ingot_tools.packaging.pack import pack
from ingot_tools.pages import compare
from ingot_tools.torturing.parts import spread
from ingot_tools.varying import numbers


class DocumentTests(unittest.TestCase):
    def test_output_fits_but_for_times_and_last_digits(self) -> None:
        self.assertEqual(shell.wrong_cases(), [])

    def test_anchors_are_those_of_git_hosts(self) -> None:
        self.assertEqual(links.slug("The `.ingot` format, in *ten* lines"), "the-ingot-format-in-ten-lines")

    def test_names_of_scripts_are_checked(self) -> None:
        self.assertEqual(list(links.scripts("run scripts/test and scripts/tools test-docs")), [])
        self.assertEqual(len(list(links.scripts("run scripts/no-such, then scripts/tools no-such"))), 2)

    def test_options_of_the_command_are_checked(self) -> None:
        options = links.Options({"command": {"subcommands": [
            {"commandName": "check", "arguments": [{"names": [{"kind": "long", "name": "json"}]}]}]}})
        self.assertEqual(list(options.problems("ingot check X --json | ingot check Y")), [])
        self.assertEqual(len(list(options.problems("ingot check X --jsn ; ingot chek X"))), 2)

    def test_manual_pages_escape(self) -> None:
        self.assertNotIn("\n.x", "\n" + make_man_pages.escaped(".x"))

    def test_replaced_words_are_found(self) -> None:
        self.assertEqual(list(check_language.findings(iter([("page.md", 1, "The statistics of an expert.")]))), [])


class NumberTests(unittest.TestCase):
    def test_small_floats_round_to_nearest(self) -> None:
        for table in (numbers.E4M3, numbers.E5M2, numbers.E2M1):
            self.assertTrue(np.array_equal(numbers.of_codes(numbers.nearest(table, table), table), table))
            values = np.random.default_rng(1).normal(0, 1, 500).astype(np.float32)
            distance = np.abs(numbers.of_codes(numbers.nearest(values, table), table) - values)
            best = np.abs(np.concatenate([table, -table])[None, :] - values[:, None]).min(1)
            self.assertTrue(np.allclose(distance, best))

    def test_stored_types_come_back(self) -> None:
        values = np.array([[0.0, 1.5, -2.0, 0.25]], np.float32)
        for dtype in ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"):
            self.assertTrue(np.array_equal(numbers.decoded(numbers.encoded(values, dtype)), values), dtype)

    def test_packed_codes_are_a_stream_of_bits(self) -> None:
        codes = np.array([[1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]])
        words = numbers.packed(codes, 3)
        stream = sum(int(word) << 32 * index for index, word in enumerate(words[0]))
        self.assertEqual([stream >> 3 * index & 7 for index in range(11)], codes[0].tolist())


class CheckpointTests(unittest.TestCase):
    def test_published_models_have_their_sizes(self) -> None:
        for make in MODELS.values():
            model = make()
            model.check(shape for _, _, shape in model.tensors())

    def test_shards_are_filled_in_order(self) -> None:
        entries = [(str(index), "F32", [10]) for index in range(10)]
        files = make_checkpoint.shards(entries, 100)
        self.assertEqual([len(file) for file in files], [2, 2, 2, 2, 2])
        self.assertEqual([entry for file in files for entry in file], entries)


class HubTests(unittest.TestCase):
    def test_faults_are_as_many_as_asked_for(self) -> None:
        faults = Faults()
        faults.configure({"kinds": ["429", "reset"], "rate": 1.0, "limit": 5})
        kinds = [faults.choose(AT_CONTENT) for _ in range(20)]
        self.assertEqual(sum(kind is not None for kind in kinds), 5)
        self.assertEqual(faults.choose(AT_ENDPOINT), None)

    def test_faults_follow_from_the_seed(self) -> None:
        def drawn() -> list[str | None]:
            faults = Faults()
            faults.configure({"kinds": list(AT_CONTENT), "rate": 0.5, "seed": 3})
            return [faults.choose(AT_CONTENT) for _ in range(50)]

        self.assertEqual(drawn(), drawn())


class PackTests(unittest.TestCase):
    def test_bytes_depend_on_content_alone(self) -> None:
        made = []
        for order in (("a", "b"), ("b", "a")):
            with tempfile.TemporaryDirectory() as scratch:
                folder = pathlib.Path(scratch, "ingot")
                folder.mkdir()
                for name in order:
                    (folder / name).write_text(name)
                output = pathlib.Path(scratch, "x.tar.gz")
                pack(folder, output, 1_700_000_000)
                made.append(output.read_bytes())
        self.assertEqual(made[0], made[1])
        self.assertIn(b"ingot/a", gzip.decompress(made[0]))


class PageTests(unittest.TestCase):
    def test_figures_are_read_back_from_text(self) -> None:
        self.assertTrue(compare.shows("1,234", 1234))
        self.assertFalse(compare.shows("1,235", 1234))

    def test_spread_takes_first_and_last(self) -> None:
        taken = spread(list(range(100)), 5)
        self.assertEqual(len(taken), 5)
        self.assertEqual(spread([1, 2, 3], 10), [1, 2, 3])

    def test_repository_is_found(self) -> None:
        self.assertTrue((REPOSITORY / "Package.swift").is_file())


if __name__ == "__main__":
    unittest.main()
