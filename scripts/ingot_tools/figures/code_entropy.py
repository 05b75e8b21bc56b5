#!/usr/bin/env python3
"""What an entropy coder could save of an artifact's codes at most: a table by encoding.

    scripts/tools code-entropy ARTIFACT.ingot [--only PATTERN]

For tensors of whole codes (int2 to int8): the entropy of a code, counted tensor by tensor, beside the bits that it takes, and
what the difference is of all bytes of these tensors, scales included. Needs numpy.
"""
import argparse
import collections
import fnmatch
import sys

from ingot_tools import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "python"))

import ingot  # noqa: E402
import numpy as np  # noqa: E402


def entropy(tensor):
    """Bits of information of a tensor's codes, and how many codes there are."""
    width = tensor.encoding.bits
    bits = np.unpackbits(np.frombuffer(bytes(tensor.plane(0)), np.uint8), bitorder="little")
    codes = bits[:len(bits) // width * width].reshape(-1, width) @ (1 << np.arange(width))
    shares = np.bincount(codes, minlength=1 << width) / len(codes)
    shares = shares[shares > 0]
    return -float(shares @ np.log2(shares)) * len(codes), len(codes)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact")
    parser.add_argument("--only", default="*", help="tensors whose name fits a shell pattern")
    options = parser.parse_args()
    artifact = ingot.Artifact(options.artifact)
    sums = collections.defaultdict(lambda: np.zeros(4))
    for name in artifact.tensors:
        tensor = artifact[name]
        if tensor.encoding.name.startswith("int") and fnmatch.fnmatch(name, options.only):
            information, codes = entropy(tensor)
            sums[tensor.encoding.name] += [information, codes, codes * tensor.encoding.bits, tensor.nbytes * 8]
    print(f"{'encoding':24}{'codes':>14}{'bits':>6}{'entropy':>9}{'saved of codes':>16}{'of all':>8}")
    for name, (information, codes, stored, all_bits) in sorted(sums.items()):
        print(f"{name:24}{int(codes):>14,}{stored / codes:>6.0f}{information / codes:>9.3f}"
              f"{1 - information / stored:>15.1%}{(stored - information) / all_bits:>9.1%}")


main()
