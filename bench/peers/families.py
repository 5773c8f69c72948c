#!/usr/bin/env python3
"""Speed of every family beside llama.cpp, as rows for docs/models.md: random models of one shape (random_models.py), one
stream, measured in turn, medians of ratios over the rounds (see peers.py).

  ./dev bench families                        all of them
  ./dev bench families --families qwen3,phi3 --rounds 5
"""
import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import engines, llama_build, peer_models, random_models  # noqa: E402
from peers.peers import compare, measure_rounds  # noqa: E402


def model_of(family, shipped):
    path = os.path.join(peer_models.MODELS, f"random-{family}.gguf")
    if not os.path.exists(path):
        os.makedirs(peer_models.MODELS, exist_ok=True)
        print(f"writing {path}", file=sys.stderr)
        random_models.write_random_model(path + ".partial", family, shipped)
        os.rename(path + ".partial", path)
    return path


def row_of(family, rates, ratios, failures):
    cells = []
    for metric in ("prefill", "decode"):
        cells.append(f"{statistics.median(rates['fastserve'][metric]):.0f}" if "fastserve" in rates else "–")
        ratio = ratios.get("llama.cpp", {}).get(metric)
        cells.append(f"{ratio['median']:.2f} ({ratio['min']:.2f}–{ratio['max']:.2f})" if ratio else "–")
    for engine, message in failures.items():
        print(f"{family}: {engine} does not run it: {message.splitlines()[-1] if message else ''}", file=sys.stderr)
    return f"| {family} | " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastserve", default=os.path.join(llama_build.REPOSITORY, "build/release/bin/fastserve"))
    parser.add_argument("--families", type=lambda text: text.split(","), default=list(random_models.FAMILIES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--decode-tokens", type=int, default=64)
    parser.add_argument("--llama-dir", help="build folder of llama.cpp; default: our own under build/peers/")
    parser.add_argument("--shipped", default=peer_models.SHIPPED, help="SmolLM2 as packaged, for its tokenizer")
    parser.add_argument("--prepare", action="store_true", help="only write the models")
    args = parser.parse_args()
    paths = {family: model_of(family, args.shipped) for family in args.families}
    if args.prepare:
        return
    build = llama_build.find_or_build(args.llama_dir)
    print(f"llama.cpp {build.version()}, {args.threads} threads, {args.rounds} rounds\n")
    print(f"| Family | prefill {args.prompt_tokens}, tokens/s | over llama.cpp | decode {args.decode_tokens}, tokens/s | "
          "over llama.cpp |\n|---|---|---|---|---|")
    contestants = [engines.Fastserve(args.fastserve), engines.Llama(build, True), engines.Llama(build, False)]
    for family, path in paths.items():
        load = engines.Load(path, args.threads, args.prompt_tokens, args.decode_tokens, [])
        rates, failures = measure_rounds(contestants, load, args.rounds)
        print(row_of(family, rates, compare(rates), failures), flush=True)


if __name__ == "__main__":
    main()
