"""Tests a debug build, and prints which share of the lines the tests reach: where the mathematics is, at least 85 %.

    scripts/tools coverage [--scratch-path FOLDER] [--all]

The build is without optimization of Swift (C kernels are optimized, or nothing would end), so that preconditions and overflows are
looked at as programs under development have them. Tests are those of quantization, planning and reports, and of what calls them;
--all runs every test. Exit code 1 when a test fails or a share is too small.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

from ingot_tools import REPOSITORY

LEAST = {"IngotQuantization": 85.0, "IngotPlanning": 85.0, "IngotReports": 85.0}
TESTS = ["QuantizationTests", "PlanningTests", "ReportsTests", "InferenceTests.CalibrationTests", "CandidateErrorsTests",
         "ChannelScalesTests", "CommandTests.PlanTests", "CommandTests.InspectTests", "CommandTests.FidelityTests"]


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch-path", default=os.path.join(REPOSITORY, ".build/debug-coverage"))
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    common = ["--package-path", str(REPOSITORY), "--scratch-path", options.scratch_path, "--enable-code-coverage", "-Xcc", "-O2"]
    built = os.path.join(options.scratch_path, "debug")
    for path in glob.glob(f"{built}/codecov/*.profraw"):
        os.remove(path)
    subprocess.run(["swift", "build", "--build-tests", *common], check=True, stdout=sys.stderr)
    tests = [] if options.all else ["--filter", "|".join(TESTS)]
    passed = subprocess.run(["swift", "test", "--skip-build", *common, *tests], stdout=sys.stderr).returncode == 0
    reached = lines(built)
    print("| target | lines | reached by tests | at least |\n|---|---|---|---|")
    faults = [] if passed else ["tests fail in a debug build"]
    for target, (covered, count) in sorted(reached.items()):
        share, least = 100 * covered / count, LEAST.get(target)
        print(f"| {target} | {count:,} | {share:.1f} % | {'' if least is None else f'{least:.0f} %'} |")
        if least is not None and share < least:
            faults.append(f"{target}: {share:.1f} %, less than {least:.0f} %")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


def lines(built: str) -> dict[str, tuple[int, int]]:
    """Of each target of ours: lines that were reached, by tests or by the command as tests run it, and all."""
    tools = os.path.dirname(os.path.realpath(subprocess.run(["which", "swift"], capture_output=True, text=True).stdout.strip()))
    with tempfile.TemporaryDirectory(prefix="ingot-coverage-") as work:
        profile = f"{work}/all.profdata"
        subprocess.run([f"{tools}/llvm-profdata", "merge", "-sparse", *glob.glob(f"{built}/codecov/*.profraw"), "-o", profile], check=True)
        bundle = f"{built}/IngotPackageTests.xctest"
        if os.path.isdir(bundle):
            bundle += "/Contents/MacOS/IngotPackageTests"
        exported = subprocess.run(
            [f"{tools}/llvm-cov", "export", "-summary-only", bundle, "-object", f"{built}/ingot", f"-instr-profile={profile}"],
            capture_output=True, text=True, check=True).stdout
    found: dict[str, tuple[int, int]] = {}
    for file in json.loads(exported)["data"][0]["files"]:
        if "/Sources/Ingot" in file["filename"] and "/checkouts/" not in file["filename"]:
            target = file["filename"].split("/Sources/")[-1].split("/")[0]
            covered, count = found.get(target, (0, 0))
            summary = file["summary"]["lines"]
            found[target] = covered + summary["covered"], count + summary["count"]
    return found


if __name__ == "__main__":
    main()
