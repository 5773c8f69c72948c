#!/usr/bin/env python3
"""What a binding costs: its tokens per second beside those of C, at one stream and at many.

overhead.py NAME --model FILE --c PROGRAM [--pairs N] [--tokens N] -- RUNNER [ARGUMENT...]

Both programs hold the model; in turns one computes while the other sleeps, in the order c b, b c, c b, ... The ratio is the
median of the pairs' own ratios. RUNNER takes the commands of bindings/conformance (docs/ADD_A_BINDING.md).

Beside the rates stands processor time, which says nearly the same on a busy machine: microseconds a token of the whole
process, and of it of the host's side, which is all threads but the library's own.
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

    def cpu_seconds(self):
        """Processor time of the process, and of it of all but the library's threads, which it names."""
        library_ns = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("fsv-"):
                library_ns += int((task / "schedstat").read_text().split()[0])
        total = time.clock_gettime(~self.process.pid << 3 | 2)  # the clock of another process
        return total, total - library_ns * 1e-9

    def run(self, streams, tokens):
        """Tokens per second; microseconds of the processor a token, in all and of the host's side."""
        begin, before = time.perf_counter(), self.cpu_seconds()
        self.ask("concurrent", model="m", count=streams, prompt=PROMPT, temperature=0, max_tokens=tokens, ignore_eos=1,
                 speculation=1)
        seconds, count = time.perf_counter() - begin, streams * tokens
        return count / seconds, *((now - then) * 1e6 / count for now, then in zip(self.cpu_seconds(), before))

    def end(self):
        self.ask("reset")
        self.process.stdin.close()
        self.process.wait()


def compare(name, ours, c, streams, tokens, pairs):
    for runner in (c, ours):
        runner.run(streams, min(tokens, 16))  # pages, code and heaps in place
    runs = {runner: [] for runner in (c, ours)}
    for pair in range(pairs):
        for runner in (c, ours) if pair % 2 == 0 else (ours, c):
            runs[runner].append(runner.run(streams, tokens))
    ratios = [mine[0] / theirs[0] for mine, theirs in zip(runs[ours], runs[c])]
    medians = {runner: [statistics.median(values) for values in zip(*runs[runner])] for runner in runs}
    (c_rate, c_cpu, c_host), (our_rate, our_cpu, our_host) = medians[c], medians[ours]
    print(f"| {name} | {streams} | {c_rate:.1f} | {our_rate:.1f} | {statistics.median(ratios):.3f} | "
          f"{min(ratios):.3f}-{max(ratios):.3f} | {GOALS[streams]} | {c_cpu:.0f} | {our_cpu:.0f} | {c_host:.0f} | {our_host:.0f} |", flush=True)


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
