#!/usr/bin/env python3
"""KL divergence of fastserve and of llama.cpp to an f32 oracle, on the same file, text and windows, in one run.

The oracle is transformers on the file's weights, dequantised to f32. All engines evaluate the same token ids, cut from
--file as llama-perplexity does it; the rows of each window's second half are compared. Reported for each engine: mean,
median and 99th percentile of KL(oracle || engine) in nats, agreement of the most likely token, perplexity; and the ratio
of the means, fastserve over llama.cpp.

Needs: numpy, torch, transformers, accelerate, gguf. Large files go to --work.
"""
import argparse
import json
import os
import subprocess
import sys

import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import llama_build  # noqa: E402
from quality import logits_file  # noqa: E402


class Oracle:
    def __init__(self, model, threads):
        import torch
        from transformers import AutoModelForCausalLM
        torch.set_num_threads(threads)
        self.torch = torch
        folder, name = os.path.split(os.path.abspath(model))
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32, attn_implementation="eager").eval()

    def logits(self, tokens, first):
        """Rows first .. N-2 of one window, f32 [rows][vocabulary]."""
        with self.torch.inference_mode():
            ids = self.torch.from_numpy(tokens.astype(numpy.int64)[None])
            keep = len(tokens) - first
            return self.model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits[0, :-1].numpy()


class Comparison:
    """Collects, row by row, how far an engine's distribution is from the oracle's."""

    def __init__(self):
        self.kl, self.same_top, self.nll = [], [], []

    def add(self, oracle_logprobs, rows, targets):
        for reference, row, target in zip(oracle_logprobs, rows, targets):
            logprobs = log_softmax(row)
            probabilities = numpy.exp(reference)
            self.kl.append(float(numpy.dot(probabilities, reference - logprobs)))
            self.same_top.append(bool(reference.argmax() == logprobs.argmax()))
            self.nll.append(-float(logprobs[target]))

    def report(self):
        return {"rows": len(self.kl), "kl_mean": float(numpy.mean(self.kl)), "kl_median": float(numpy.median(self.kl)),
                "kl_99": float(numpy.percentile(self.kl, 99)), "kl_max": float(numpy.max(self.kl)),
                "same_top": float(numpy.mean(self.same_top)), "perplexity": float(numpy.exp(numpy.mean(self.nll)))}


def log_softmax(row):
    wide = row.astype(numpy.float64)
    wide -= wide.max()
    return wide - numpy.log(numpy.exp(wide).sum())


def run_llama(args, out):
    build = llama_build.find_or_build(args.llama_dir)
    subprocess.run([build.logits_tool(), args.model, args.file, str(args.context), str(args.windows),
                    str(args.threads), "1" if args.repack else "0", out], check=True, stderr=subprocess.DEVNULL)


def run_fastserve(args, out):
    subprocess.run([args.fastserve, "perplexity", "--model", args.model, "--file", args.file, "--context",
                    str(args.context), "--chunks", str(args.windows), "--threads", str(args.threads), "--kernels",
                    args.kernels, "--kv", args.kv, "--logits-out", out, "--json"], check=True,
                   stdout=subprocess.DEVNULL)


def compare(args, files):
    oracle, shared = Oracle(args.model, args.threads), None
    names = list(files)
    results = {name: Comparison() for name in ["oracle", *names]}
    opened = {name: logits_file.read(path) for name, path in files.items()}
    first_file = opened[names[0]]
    for name, other in opened.items():
        if not numpy.array_equal(other.tokens, first_file.tokens):
            raise SystemExit(f"{name} evaluated other token ids than {names[0]}")
    for window in range(args.windows):
        targets = first_file.targets(window)
        rows = oracle.logits(first_file.tokens[window], first_file.first)
        shared = [log_softmax(row) for row in rows]
        results["oracle"].add(shared, rows, targets)
        for name, other in opened.items():
            results[name].add(shared, other.logits[window], targets)
    return {name: result.report() for name, result in results.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", default="/usr/share/common-licenses/GPL-3")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--llama-dir", help="build folder of llama.cpp; default: our own under build/peers/")
    parser.add_argument("--repack", action=argparse.BooleanOptionalAction, default=True, help="llama.cpp's repacking")
    parser.add_argument("--fastserve", help="the program; left out: llama.cpp alone is compared")
    parser.add_argument("--kernels", default="fast")
    parser.add_argument("--kv", default="f16")
    parser.add_argument("--work", default=os.path.join(llama_build.PEERS, "logits"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    files = {"llama.cpp": os.path.join(args.work, "llama.bin")}
    run_llama(args, files["llama.cpp"])
    if args.fastserve:
        files["fastserve"] = os.path.join(args.work, "fastserve.bin")
        run_fastserve(args, files["fastserve"])
    report = compare(args, files)
    if args.fastserve:
        report["kl_ratio"] = report["fastserve"]["kl_mean"] / report["llama.cpp"]["kl_mean"]
    for path in files.values():
        os.remove(path)
    if args.json:
        print(json.dumps(report))
        return
    for name, row in report.items():
        if name == "kl_ratio":
            print(f"KL(oracle||fastserve) / KL(oracle||llama.cpp) = {row:.3f}")
        else:
            print(f"{name:10} KL mean {row['kl_mean']:.6f} median {row['kl_median']:.6f} 99% {row['kl_99']:.6f} "
                  f"max {row['kl_max']:.4f} same top {row['same_top']:.4f} perplexity {row['perplexity']:.4f} "
                  f"({row['rows']} rows)")


if __name__ == "__main__":
    main()
