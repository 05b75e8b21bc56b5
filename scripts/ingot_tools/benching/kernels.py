"""Kernels on one thread, against copying the same traffic, the scalar reference and the peak of multiply-adds."""

import json
import os

from .report import shown
from .running import BUILD, Run


def measure(report, rounds):
    result = json.loads(Run([os.path.join(BUILD, "ingot-bench"), str(rounds)]).output)
    report.heading("Kernels, one thread, from FP8 unless it says otherwise")
    report.text(
        f"{result['isa']}. Ratios of processor time: to copying the same traffic (bytes read and written), and to the "
        "scalar reference.")
    report.lines.append("")
    report.table(
        ["kernel", "of the copy", "times the scalar", "10⁹ weights/s", "the copy"],
        [(k["name"], shown(k["perCopy"], 3), shown(k["perScalar"], 1), shown([v / 1e9 for v in k["weightsPerSecond"]]),
          shown([v / 1e9 for v in k["copyWeightsPerSecond"]], 1)) for k in result["kernels"]])
    report.text(
        f"Tokens through one projection of an expert (1536 × 3072), straight from FP8 and from F32, as shares of "
        f"{result['peakGflops']:.0f} GFLOP/s, the peak of multiply-adds on one core; and the time that the machine's BLAS "
        f"takes for the latter (here: {result['blas']}), by ours.")
    report.lines.append("")
    report.table(
        ["tokens", "of the peak", "product alone", "BLAS / ours"],
        [(m["tokens"], shown(m["perPeak"]), shown(m["productAlonePerPeak"]),
          shown(m["perBLAS"]) if "perBLAS" in m else "") for m in result["matmul"]])
    report.text("Outer products of 512 tokens, and the inverse of the Cholesky factor of their sum.")
    report.lines.append("")
    report.table(
        ["columns", "outer products, of the peak", "inverse", "BLAS / ours", "LAPACK / ours"],
        [(f["columns"], shown(f["outerPerPeak"]), shown(f["inversePerPeak"]),
          *(shown(f[key]) if key in f else "" for key in ("outerPerBLAS", "inversePerBLAS"))) for f in result["factor"]])
    named = {k["name"]: k for k in result["kernels"]}
    symmetric = ["int8 g64 sym", "int4 g64 sym", "int4 g128 sym", "q8_0"]
    for name in symmetric:
        value = named[name]["perCopy"]
        report.figure(f"symmetric round to nearest, {name} / copy, one core", "≥ 0.85", shown(value), value[0] >= 0.85)
    value = named["int4 g64 zero"]["perCopy"]
    report.figure("asymmetric int4 g64 / copy", "≥ 0.55", shown(value), value[0] >= 0.55)
    value = named["q4_k, search"]["perScalar"]
    report.figure("Q4_K search / scalar C of the same algorithm", "≥ 15×", shown(value, 1) + "×", value[0] >= 15)
    for tokens in result["matmul"]:
        if tokens["tokens"] == 32:
            value = tokens["perPeak"]
            report.figure("expert product, 32 tokens per expert / FMA peak", "≥ 0.5", shown(value), value[0] >= 0.5)
    return result
