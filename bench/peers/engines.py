"""One measurement of each engine: every function starts the engine's own program and returns tokens per second.

Metrics: "prefill" (one prompt), "decode" (one stream from an empty context), "decode@N" (N streams), "start" (process
starts to first token, per second: one over the wall time).
"""
import json
import mmap
import os
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Load:
    model: str
    threads: int
    prompt_tokens: int
    decode_tokens: int
    streams: list  # numbers of streams above 1


def output_of(command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {result.returncode}: {result.stderr[-600:]}")
    return result.stdout


def start_rate(command, load):
    """Of processes that begin while the system has free memory at hand and the model in its page cache. A virtual
    machine's host may have taken free memory back, and gives it again at a tenth of the speed: whoever allocates first
    would pay for all."""
    with open(load.model, "rb") as file:
        while file.read(1 << 24):
            pass
    size = os.path.getsize(load.model) * 5 // 4 + (1 << 29)
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) as memory:
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, size, mmap.PAGESIZE):
            memory[offset] = 1
    begin = time.monotonic()
    output_of(command)
    return 1 / (time.monotonic() - begin)


class Fastserve:
    name = "fastserve"

    def __init__(self, program):
        self.program = program

    def measure(self, load):
        common = [self.program, "bench", "--model", load.model, "--threads", str(load.threads), "--repeat", "1", "--json"]
        decode = ["--decode-tokens", str(load.decode_tokens)]
        one = json.loads(output_of([*common, "--prompt-tokens", str(load.prompt_tokens), *decode, "--streams", "1"]))
        rates = {"prefill": one["prefill_tokens_per_second"], "decode": one["decode_tokens_per_second"]}
        for streams in load.streams:
            many = json.loads(output_of([*common, "--prompt-tokens", "0", *decode, "--streams", str(streams)]))
            rates[f"decode@{streams}"] = many["decode_tokens_per_second"]
        rates["start"] = start_rate([self.program, "run", "--model", load.model, "--threads", str(load.threads), "--raw",
                                     "--prompt", "Once", "--max-tokens", "1", "--json"], load)
        return rates


class Llama:
    def __init__(self, build, repack):
        self.build, self.repack = build, repack
        self.name = "llama.cpp" + ("" if repack else " without repack")

    def measure(self, load):
        bench = [self.build.tool("llama-bench"), "-m", load.model, "-t", str(load.threads), "--repack",
                 "1" if self.repack else "0", "-r", "1", "-o", "json"]
        rows = json.loads(output_of([*bench, "-p", str(load.prompt_tokens), "-n", str(load.decode_tokens)]))
        rates = {"prefill" if row["n_prompt"] else "decode": row["avg_ts"] for row in rows}
        for streams in load.streams:
            rates[f"decode@{streams}"] = self.batched(load, streams)
        rates["start"] = start_rate([*bench, "-p", "0", "-n", "1", "--no-warmup"], load)
        return rates

    def batched(self, load, streams):
        command = [self.build.tool("llama-batched-bench"), "-m", load.model, "-t", str(load.threads), "-c",
                   str(streams * (load.decode_tokens + 8)), "-b", "2048", "-ub", "512", "-npp", "1", "-ntg",
                   str(load.decode_tokens), "-npl", str(streams), "--output-format", "jsonl"]
        if not self.repack:
            command.append("--no-repack")
        rows = [json.loads(line) for line in output_of(command).splitlines() if line.startswith("{")]
        return rows[-1]["speed_tg"]


# A program of its own, because OpenVINO GenAI lives in its own Python environment.
OPENVINO_PROGRAM = """
import json, sys, time
import numpy, openvino, openvino_genai
model, threads, prompt_tokens, decode_tokens = sys.argv[1], *map(int, sys.argv[2:5])
pipe = openvino_genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
def rate(prompt, answer):
    ids = openvino.Tensor((numpy.arange(prompt, dtype=numpy.int64)[None] * 7919 + 11) % 40000)
    inputs = openvino_genai.TokenizedInputs(ids, openvino.Tensor(numpy.ones((1, prompt), dtype=numpy.int64)))
    result = pipe.generate(inputs, max_new_tokens=answer, ignore_eos=True, do_sample=False)
    return result.perf_metrics
rate(64, 8)
prefill = prompt_tokens / (rate(prompt_tokens, 1).get_ttft().mean / 1000)
decode = 1000 / rate(1, decode_tokens + 1).get_tpot().mean
print(json.dumps({"prefill": prefill, "decode": decode}))
"""


class OpenVino:
    """`model`: a GGUF file that OpenVINO GenAI reads itself, or a folder converted beforehand."""
    name = "OpenVINO GenAI"

    def __init__(self, python, model=None):
        self.python, self.model = python, model

    def measure(self, load):
        output = output_of([self.python, "-c", OPENVINO_PROGRAM, self.model or load.model, str(load.threads),
                            str(load.prompt_tokens), str(load.decode_tokens)])
        return json.loads(output.splitlines()[-1])
