"""The simulation against arithmetic, shares against what the command made."""
from __future__ import annotations

import functools
import unittest

from ingot_tools.clusters import stages, tables
from ingot_tools.clusters import units as of_models
from ingot_tools.clusters.costs import Costs, fitted, operations
from ingot_tools.clusters.shares import shares
from ingot_tools.clusters.simulation import Job, Link, Node, Statistics, play
from ingot_tools.clusters.stages import BUILT, SPARING, Cluster, Rules
from ingot_tools.clusters.units import Architecture, is_known, minimax_m2, units

FAST = 1e18


def node(jobs: list[Job], cores: int, rate: float = FAST, **more: object) -> Node:
    return Node(jobs, cores, [Link(rate)], [Link(rate)], **more)  # type: ignore[arg-type]


@functools.cache
def deepseek_v3() -> Architecture:
    return of_models.deepseek_v3()


def mini() -> Architecture:
    return minimax_m2(
        layers=6, experts=32, hidden=256, width=256, heads=8, kv_heads=2, head_dim=32, vocabulary=8192, active=4)


COSTS = Costs(
    tokens=5e-12, factors=1e-11, rows=3e-11, streamed=1e-9, forward_operation=1e-11, forward_weight=1e-10, forward_value=1e-9,
    statistics_write=2e-9, statistics_read=1e-9, statistics_ratio=0.8, scaling_layer=2.0, assembled=1e-9, unit=1e-5)


class SimulationTests(unittest.TestCase):
    def test_equal_jobs_share_cores(self) -> None:
        for cores in (1, 3, 16):
            outcome = play([node([Job(2.0) for _ in range(48)], cores)])
            self.assertAlmostEqual(outcome.end, 2.0 * 48 / cores)
            self.assertAlmostEqual(outcome.busy, 1.0)

    def test_long_job_at_the_end_runs_alone(self) -> None:
        outcome = play([node([Job(1.0) for _ in range(16)] + [Job(10.0)], 4)])
        self.assertAlmostEqual(outcome.end, 14.0)
        self.assertAlmostEqual(outcome.busy, 26 / 56)

    def test_link_bounds_what_is_read(self) -> None:
        # Four nodes read 10 bytes a job behind one link of 10 bytes per second.
        link = Link(10)
        nodes = [Node([Job(0.1, 10.0, streams=True) for _ in range(20)], 2, [link], [Link(FAST)]) for _ in range(4)]
        outcome = play(nodes)
        self.assertAlmostEqual(outcome.end, 80 + 0.1)
        self.assertEqual(link.bytes, 800)

    def test_core_waits_for_what_it_reads_itself(self) -> None:
        streamed = play([node([Job(1.0, 10.0, streams=True) for _ in range(50)], 1, 10)])
        mapped = play([node([Job(1.0, 10.0) for _ in range(50)], 1, 10)])
        self.assertAlmostEqual(streamed.end, 51.0)
        self.assertAlmostEqual(mapped.end, 100.0)

    def test_statistics_are_read_once_by_one_core(self) -> None:
        jobs = [Job(1.0, layer=layer) for layer in (0, 1) for _ in range(8)]
        outcome = play([node(jobs, 8, statistics=lambda layer: Statistics(0, 3.0))])
        # Nothing is computed for the first three seconds; the second layer is read beside the units of the first.
        self.assertAlmostEqual(outcome.end, 3 + 3 + 1)

    def test_steps_follow_each_other(self) -> None:
        outcome = play([node([Job(1.0, step=step) for step in (0, 0, 1, 2, 2, 2)], 2)])
        self.assertAlmostEqual(outcome.end, 1 + 1 + 2)

    def test_lock_bounds_the_units_per_second(self) -> None:
        lock = Link(10)
        outcome = play([node([Job(0.001) for _ in range(100)], 64, lock=lock)])
        self.assertGreaterEqual(outcome.end, 10.0)
        self.assertLess(outcome.end, 10.1)


class UnitTests(unittest.TestCase):
    def test_models_have_the_published_sizes(self) -> None:
        self.assertEqual(minimax_m2().bytes, 230_121_630_720)
        self.assertEqual(deepseek_v3().bytes, 688_574_839_360)

    def test_every_tensor_is_of_a_known_kind(self) -> None:
        for model in (minimax_m2(layers=2), deepseek_v3()):
            self.assertEqual([t.name for t in model.tensors if not is_known(t)], [])

    def test_shares_are_those_of_the_command(self) -> None:
        # Numbers of tensors in 'ingot quantize m2-mini --recipe int4 --shard i/5'.
        self.assertEqual([len(each) for each in shares(mini().tensors, 5, False)], [107, 146, 139, 139, 108])

    def test_shares_have_each_tensor_once(self) -> None:
        model = minimax_m2(layers=3)
        for count in (1, 7, 64):
            names = [t.name for each in shares(model.tensors, count, True) for t in each]
            self.assertEqual(sorted(names), sorted(t.name for t in model.tensors))

    def test_units_have_each_tensor_once(self) -> None:
        model = deepseek_v3()
        for calibrated in (False, True):
            found = [t.name for unit in units(model, calibrated) for t in unit.tensors]
            self.assertEqual(sorted(found), sorted(t.name for t in model.tensors))

    def test_parts_have_all_rows(self) -> None:
        model = minimax_m2(layers=2)
        whole, cut = units(model, True), units(model, True, None, 2_000_000)
        self.assertEqual(sum(u.weights for u in whole), sum(u.weights for u in cut))
        # An expert's down projection needs its gate and up, so experts stay whole.
        self.assertEqual(max(len(u.tensors) for u in cut), 3)
        self.assertTrue(all(u.weights <= 2_000_000 for u in cut if u.statistics and u.tensors[0].expert is None))
        self.assertAlmostEqual(
            sum(COSTS.seconds(u, model, 4096) for u in whole), sum(COSTS.seconds(u, model, 4096) for u in cut), places=6)


class CostTests(unittest.TestCase):
    def test_fit_finds_what_made_the_figures(self) -> None:
        known = [5e-12, 1e-11, 3e-11]
        rows = []
        for hidden, width, tokens in ((3072, 1536, 512), (3072, 1536, 2048), (7168, 2048, 512), (7168, 2048, 2048)):
            values = list(operations([(width, hidden), (width, hidden), (hidden, width)], tokens, True))
            rows.append((values, sum(a * b for a, b in zip(known, values))))
        for found, expected in zip(fitted(rows), known):
            self.assertAlmostEqual(found / expected, 1, places=6)

    def test_coefficients_are_not_negative(self) -> None:
        rows = [([1.0, 2.0], 1.0), ([1.0, 4.0], 0.5), ([1.0, 8.0], 0.25)]
        self.assertTrue(all(value >= 0 for value in fitted(rows)))


class StageTests(unittest.TestCase):
    def test_more_nodes_are_never_slower_without_a_common_link(self) -> None:
        model = mini()
        seconds = [stages.quantize(model, COSTS, Cluster(n, 10, False), SPARING, 4096).seconds for n in (1, 2, 4)]
        self.assertEqual(seconds, sorted(seconds, reverse=True))

    def test_time_is_no_less_than_the_link_and_the_cores_need(self) -> None:
        model = minimax_m2(layers=3)
        for nodes in (1, 4):
            for gigabits in (1.0, 10.0):
                cluster = Cluster(nodes, gigabits)
                found = stages.quantize(model, COSTS, cluster, BUILT, 4096)
                needed = sum(COSTS.seconds(unit, model, 4096) for unit in units(model, True))
                self.assertGreaterEqual(found.seconds, needed / (nodes * cluster.cores))
                self.assertGreaterEqual(found.seconds, model.bytes / cluster.rate)
                self.assertLessEqual(found.busy, 1 + 1e-9)

    def test_large_layers_cut_by_rows_keep_cores_busy(self) -> None:
        model = minimax_m2(layers=8)
        whole = stages.machine(model, COSTS, 64, Rules("whole", False, False, 1 << 60), 65_536, 1e12)
        cut = stages.machine(model, COSTS, 64, SPARING, 65_536, 1e12)
        self.assertLess(cut.seconds, whole.seconds)
        self.assertGreater(cut.busy, whole.busy)

    def test_page_has_all_tables(self) -> None:
        text = tables.page([mini()], COSTS, BUILT, SPARING, 4096, 1024)
        self.assertEqual(text.count("| model | link | nodes |"), 2)
        self.assertNotIn("nan", text)


if __name__ == "__main__":
    unittest.main()
