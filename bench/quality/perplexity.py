#!/usr/bin/env python3
"""Perplexity of fastserve and of llama-perplexity on the same file and text, in one run, and their relative difference."""
import argparse
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import llama_build  # noqa: E402


def fastserve_perplexity(args):
    command = [args.fastserve, "perplexity", "--model", args.model, "--file", args.file, "--context", str(args.context),
               "--threads", str(args.threads), "--kernels", args.kernels, "--kv", args.kv, "--json"]
    if args.chunks:
        command += ["--chunks", str(args.chunks)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["perplexity"]


def llama_perplexity(args):
    build = llama_build.find_or_build(args.llama_dir)
    command = [build.tool("llama-perplexity"), "-m", args.model, "-f", args.file, "-c", str(args.context), "-t",
               str(args.threads)]
    if args.chunks:
        command += ["--chunks", str(args.chunks)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r"Final estimate: PPL = ([0-9.]+)", result.stdout)
    if not found:
        raise SystemExit("llama-perplexity gave no estimate:\n" + result.stdout[-2000:])
    return float(found.group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fastserve", default=os.path.join(llama_build.REPOSITORY, "build/release/bin/fastserve"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", default="/usr/share/common-licenses/GPL-3")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=0, help="windows at most; 0: all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--kernels", default="fast")
    parser.add_argument("--kv", default="f16")
    parser.add_argument("--llama-dir", help="build folder of llama.cpp; default: our own under build/peers/")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    ours, peer = fastserve_perplexity(args), llama_perplexity(args)
    report = {"fastserve": ours, "llama.cpp": peer, "relative_difference": ours / peer - 1}
    if args.json:
        print(json.dumps(report))
    else:
        print(f"fastserve {ours:.4f}, llama.cpp {peer:.4f}: {100 * report['relative_difference']:+.3f}%")


if __name__ == "__main__":
    main()
