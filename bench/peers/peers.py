#!/usr/bin/env python3
"""Speed of fastserve beside its peers: the same files, threads and loads, measured in turn in one run.

In each round every engine measures everything once, in an order that turns from round to round, so that drift of the
machine hits all alike. A ratio is ours over the peer's in the same round; llama.cpp counts with the better of its two
configurations (weight repacking on or off), chosen for each metric by its median. Reported: median, smallest and
largest ratio over the rounds.

  ./dev bench peers                               all of SmolLM2's types and the 1B shape at Q4_0
  ./dev bench peers --models 1b-q8_0 --rounds 7
"""
import argparse
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import engines, llama_build, peer_models  # noqa: E402

DEFAULT_MODELS = ["smollm2-q4_1", "smollm2-q4_0", "smollm2-q8_0", "smollm2-bf16", "1b-q4_0"]


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure_rounds(contestants, load, rounds):
    """rates[engine name][metric]: one number a round. An engine that fails once is left out, with its message."""
    rates, failures = {engine.name: {} for engine in contestants}, {}
    for number in range(rounds):
        turn = number % len(contestants)
        for engine in contestants[turn:] + contestants[:turn]:
            if engine.name in failures:
                continue
            try:
                measured = engine.measure(load)
            except (RuntimeError, OSError, ValueError, KeyError, IndexError) as error:
                failures[engine.name] = str(error)
                print(f"{engine.name}: {error}", file=sys.stderr)
                continue
            for metric, rate in measured.items():
                rates[engine.name].setdefault(metric, []).append(rate)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return {name: rates[name] for name in rates if name not in failures}, failures


def compare(rates):
    """ratios[peer][metric], where llama.cpp's configurations are one peer: its better one."""
    ours, ratios = rates.get("fastserve", {}), {}
    peers = {}
    for name in rates:
        if name != "fastserve":
            peers.setdefault("llama.cpp" if name.startswith("llama.cpp") else name, []).append(name)
    for peer, configurations in peers.items():
        for metric, own in ours.items():
            candidates = [(statistics.median(rates[c][metric]), c) for c in configurations if metric in rates[c]]
            if not candidates:
                continue
            best = max(candidates)[1]
            pairs = [a / b for a, b in zip(own, rates[best][metric]) if b > 0]
            ratios.setdefault(peer, {})[metric] = {**spread(pairs), "configuration": best}
    return ratios


def print_model(name, rates, ratios):
    print(f"\n{name}")
    metrics = list(next(iter(rates.values()), {}))
    print(" " * 26 + "".join(f"{metric:>14}" for metric in metrics))
    for engine, row in rates.items():
        print(f"  {engine:24}" + "".join(
            f"{statistics.median(row[m]):14.2f}" if m in row else f"{'-':>14}" for m in metrics))
    for peer, row in ratios.items():
        print(f"  over {peer:19}" + "".join(f"{row[m]['median']:14.2f}" if m in row else f"{'-':>14}" for m in metrics))
        print(f"  {'  spread':24}" + "".join(
            f"{'%.2f-%.2f' % (row[m]['min'], row[m]['max']):>14}" if m in row else f"{'-':>14}" for m in metrics))


def openvino_python():
    """The Python of a private environment with openvino-genai, made first where it is not there."""
    folder = os.path.join(llama_build.PEERS, "openvino")
    python = os.path.join(folder, "bin", "python")
    done = os.path.join(folder, "installed")
    if not os.path.exists(done):
        llama_build.run([sys.executable, "-m", "venv", folder])
        llama_build.run([python, "-m", "pip", "install", "--quiet", "openvino-genai", "numpy"])
        open(done, "w", encoding="utf-8").close()
    return python


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(word) for word in text.split(",") if word]
    parser.add_argument("--fastserve", default=os.path.join(llama_build.REPOSITORY, "build/release/bin/fastserve"))
    parser.add_argument("--models", type=lambda text: text.split(","), default=DEFAULT_MODELS,
                        help="of " + ", ".join(peer_models.NAMES) + ", or paths of GGUF files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--decode-tokens", type=int, default=128)
    parser.add_argument("--streams", type=numbers, default=[8, 32], help="numbers of streams besides 1; empty: none")
    parser.add_argument("--llama-dir", help="build folder of llama.cpp; default: our own under build/peers/")
    parser.add_argument("--shipped", default=peer_models.SHIPPED, help="SmolLM2 as packaged")
    parser.add_argument("--openvino", action="store_true", help="compare with OpenVINO GenAI too (installed by pip)")
    parser.add_argument("--openvino-python", help="a Python that has openvino-genai, instead of installing it")
    parser.add_argument("--openvino-model", help="converted folder for it; default: the same GGUF file")
    parser.add_argument("--prepare", action="store_true", help="only build llama.cpp and make the models")
    parser.add_argument("--json", help="also write everything to this file")
    return parser.parse_args()


def main():
    args = parse_arguments()
    build = llama_build.find_or_build(args.llama_dir)
    paths = {name: name if name.endswith(".gguf") else peer_models.obtain(name, build, args.shipped)
             for name in args.models}
    if args.prepare:
        return
    contestants = [engines.Fastserve(args.fastserve), engines.Llama(build, True), engines.Llama(build, False)]
    if args.openvino or args.openvino_python:
        contestants.append(engines.OpenVino(args.openvino_python or openvino_python(), args.openvino_model))
    print(f"llama.cpp {build.version()}, {args.threads} threads, {args.rounds} rounds, prompt {args.prompt_tokens}, "
          f"decode {args.decode_tokens}; tokens per second (start: 1/s), medians")
    report = {"threads": args.threads, "rounds": args.rounds, "prompt_tokens": args.prompt_tokens,
              "decode_tokens": args.decode_tokens, "llama.cpp": build.version(), "models": {}}
    for name, path in paths.items():
        load = engines.Load(path, args.threads, args.prompt_tokens, args.decode_tokens, args.streams)
        rates, failures = measure_rounds(contestants, load, args.rounds)
        ratios = compare(rates)
        print_model(name, rates, ratios)
        report["models"][name] = {"rates": rates, "ratios": ratios, "failures": failures}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
