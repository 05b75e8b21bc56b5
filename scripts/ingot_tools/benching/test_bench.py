#!/usr/bin/env python3
"""Tests that scripts/tools bench writes its report whatever fails: another tool, a part of its own. Needs nothing that is built."""

import os
import tempfile
import unittest

from ingot_tools.benching import forward, peers
from ingot_tools.benching.report import Report


def fails(text):
    def run(*_):
        raise RuntimeError(f"python: exit code 1\nTraceback\n{text}\n")
    return run


class Failures(unittest.TestCase):
    def peers(self, python="python"):
        self.report = Report()
        self.work = tempfile.mkdtemp()
        made = peers.Peers(self.report, "source", self.work, 2, python, None, None)
        made.ours = lambda *_: lambda: (1.0, 2.0, 5e8)  # type: ignore[method-assign]
        made.mlx = made.llama_convert = lambda: (20.0, 40.0, 4e9)  # type: ignore[method-assign]
        made.llama_quantize = lambda *_: (10.0, 30.0, 1e9)  # type: ignore[method-assign]
        return made

    def text(self):
        return "\n".join(self.report.lines)

    def test_all_rows_are_there_where_nothing_fails(self):
        self.peers().measure()
        self.assertEqual(self.text().count("| 20.0 (20.0–20.0) |"), 4)
        self.assertEqual([verdict for *_, verdict, _ in self.report.figures], ["yes"] * 3)

    def test_a_peer_that_fails_costs_its_rows(self):
        made = self.peers()
        made.llama_quantize = fails("ModuleNotFoundError: No module named 'llama_cpp'")
        made.measure()
        self.assertIn("Q4_K_M: failed: ModuleNotFoundError: No module named 'llama_cpp'", self.text())
        self.assertIn("| mlx_lm.convert, affine 4 bits g64 | 20.0", self.text())
        self.assertEqual([verdict for *_, verdict, _ in self.report.figures], ["yes", "not measured", "not measured"])
        self.assertEqual(self.report.failed, [])

    def test_a_peer_that_is_missing_costs_its_rows(self):
        made = self.peers("/nonexistent/python")
        del made.mlx, made.llama_quantize
        made.measure()
        self.assertIn("/nonexistent/python", self.text())
        self.assertEqual({verdict for *_, verdict, _ in self.report.figures}, {"not measured"})
        self.assertEqual(self.report.failed, [])

    def test_what_fails_of_our_own_is_no_peers_fault(self):
        made = self.peers()
        made.ours = lambda *_: fails("Error: no space left on device")
        made.measure()
        self.assertEqual(self.report.failed, ["Other tools"])
        self.assertIn("**failed**: Error: no space left on device", self.text())

    def test_llamas_forward_pass_may_fail(self):
        self.report, work = Report(), tempfile.mkdtemp()
        with open(os.path.join(work, "config.json"), "w") as file:
            file.write('{"vocab_size": 64}')
        made = {"bf16": forward.bf16, "q8_0": forward.q8_0, "q4_k": forward.q4_k}
        try:
            forward.bf16 = forward.q8_0 = forward.q4_k = lambda *_: None
            forward.against_llama(self.report, "/nonexistent/python", work, work, 512)
        finally:
            forward.bf16, forward.q8_0, forward.q4_k = made["bf16"], made["q8_0"], made["q4_k"]
        self.assertEqual(self.text().count("failed: "), 4)
        self.assertEqual(self.report.failed, [])


if __name__ == "__main__":
    unittest.main()
