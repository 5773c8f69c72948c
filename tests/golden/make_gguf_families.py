#!/usr/bin/env python3
"""Writes gguf_families/<family>.gguf.bin, tiny random models written by the `gguf` package, and <family>.logits, what
llama.cpp makes of them (f32 throughout, on one thread): u32 count N, u32 first row, u32 vocabulary, i32 ids[N], f32
logits of the rows first .. N-2.

  make_gguf_families.py LLAMA_BUILD_FOLDER
Needs: pip install gguf numpy; a CMake build of llama.cpp (bench/peers/llama_build.py makes one).
"""
import os
import pathlib
import string
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "bench"))
from peers import llama_build, random_models  # noqa: E402
from quality import logits_file  # noqa: E402

CONTEXT = 64  # tokens: four of the windows below
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *string.ascii_lowercase, *string.digits, "Ġ", "Ċ", ".", "Ġa"]
SHAPE = random_models.Shape(layers=2, width=32, heads=4, kv_heads=2, head_size=8, feed_forward=48, context=128, experts=4,
                            expert_feed_forward=16, window=16, matrix_type=None, embedding_type=None)


def tokenizer(out):
    return random_models.add_tokenizer(out, TOKENS, [3, 3, 3] + [1] * (len(TOKENS) - 3), ["Ġ a"])


def main():
    program = llama_build.find_or_build(sys.argv[1]).logits_tool()
    folder = HERE / "gguf_families"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        text, out = os.path.join(work, "text"), os.path.join(work, "logits")
        with open(text, "w", encoding="utf-8") as file:
            file.write("".join(string.ascii_lowercase[i * i * 7 % 26] + (" " if i % 5 == 4 else "") for i in range(200)))
        for name, family in random_models.FAMILIES.items():
            path = folder / f"{name}.gguf.bin"
            random_models.Writer(path, family, SHAPE, tokenizer).write()
            subprocess.run([program, path, text, str(CONTEXT), "1", "1", "0", out, "1"], check=True,
                           stderr=subprocess.DEVNULL)
            read = logits_file.read(out)
            header = struct.pack("<III", CONTEXT, read.first, len(TOKENS))
            (folder / f"{name}.logits").write_bytes(header + read.tokens[0].tobytes() + read.logits[0].tobytes())
            print(name, path.stat().st_size, float(abs(read.logits[0]).max()), float(read.logits[0].std()))


main()
