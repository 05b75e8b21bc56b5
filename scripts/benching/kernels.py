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
        f"Tokens through one projection of an expert (1536 × 3072), FP8 decoded to F32 and multiplied by "
        f"{result['blas']}; share of {result['peakGflops']:.0f} GFLOP/s, the peak of multiply-adds on one core.")
    report.lines.append("")
    report.table(
        ["tokens", "of the peak", "product alone", "its time / that of rows as they are stored"],
        [(m["tokens"], shown(m["perPeak"]), shown(m["productAlonePerPeak"]),
          shown(m["fewPerDecoded"]) if "fewPerDecoded" in m else "") for m in result["matmul"]])
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
