#!/usr/bin/env python3
"""What a binding costs: its tokens per second beside those of C, at one stream and at many.

overhead.py NAME --model FILE --c PROGRAM [--pairs N] [--tokens N] -- RUNNER [ARGUMENT...]

Both programs hold the model; in turns one computes while the other sleeps, in the order c b, b c, c b, ... The ratio is the
median of the pairs' own ratios. RUNNER takes the commands of bindings/conformance (docs/ADD_A_BINDING.md).
"""

import argparse
import os
import statistics
import sys
import time
import urllib.parse
from pathlib import Path
from subprocess import PIPE, Popen

PROMPT = "The history of computing begins with"
GOALS = {1: 0.98, 32: 0.95}


class Runner:
    def __init__(self, command, model, threads):
        self.process = Popen(command, stdin=PIPE, stdout=PIPE)
        self.ask("open", id="e", thread_count=threads, context_tokens=512, max_sequences=32)
        self.ask("load", engine="e", id="m", path=model)

    def ask(self, do, **values):
        pairs = (f"{key}={urllib.parse.quote(str(value), safe='')}" for key, value in values.items())
        self.process.stdin.write((" ".join([do, *pairs]) + "\n").encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode()
        if not line.startswith("ok"):
            sys.exit(f"{do}: {line or 'the runner ended'}")

    def tokens_per_second(self, streams, tokens):
        begin = time.perf_counter()
        self.ask("concurrent", model="m", count=streams, prompt=PROMPT, temperature=0, max_tokens=tokens, ignore_eos=1,
                 speculation=1)
        return streams * tokens / (time.perf_counter() - begin)

    def end(self):
        self.ask("reset")
        self.process.stdin.close()
        self.process.wait()


def compare(name, ours, c, streams, tokens, pairs):
    for runner in (c, ours):
        runner.tokens_per_second(streams, min(tokens, 16))  # pages, code and heaps in place
    rates = {runner: [] for runner in (c, ours)}
    for pair in range(pairs):
        for runner in (c, ours) if pair % 2 == 0 else (ours, c):
            rates[runner].append(runner.tokens_per_second(streams, tokens))
    ratios = [mine / theirs for mine, theirs in zip(rates[ours], rates[c])]
    ratio = statistics.median(ratios)
    print(f"| {name} | {streams} | {statistics.median(rates[c]):.1f} | {statistics.median(rates[ours]):.1f} | {ratio:.3f} | "
          f"{min(ratios):.3f}-{max(ratios):.3f} | {GOALS[streams]} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--c", required=True, help="the compiled c_runner.c")
    parser.add_argument("--pairs", type=int, default=int(os.environ.get("PAIRS", "8")))
    parser.add_argument("--tokens", type=int, default=int(os.environ.get("TOKENS", "128")))
    parser.add_argument("runner", nargs="+")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    c, ours = Runner([options.c], options.model, threads), Runner(options.runner, options.model, threads)
    compare(options.name, ours, c, 1, options.tokens, options.pairs)
    compare(options.name, ours, c, 32, max(16, options.tokens // 4), options.pairs)
    for runner in (c, ours):
        runner.end()


if __name__ == "__main__":
    main()
