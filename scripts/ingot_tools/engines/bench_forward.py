#!/usr/bin/env python3
"""Seconds that llama.cpp takes for logits of contexts of token ids, loading not counted. See scripts/tools bench.

    bench_forward.py MODEL.gguf IDS.json [--decode] [--threads N]      # --decode: weights decoded to F32 first
"""

import argparse
import json
import os
import time

from ingot_tools.engines import run_llama


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("ids")
    p.add_argument("--decode", action="store_true")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    with open(a.ids) as file:
        contexts = json.load(file)
    opened = run_llama.open_artifact(a.model, len(contexts[0]), a.threads, a.decode)
    opened.logits_of(contexts[0][:8])
    start = time.monotonic()
    for ids in contexts:
        opened.logits_of(ids)
    seconds = time.monotonic() - start
    opened.close()
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
