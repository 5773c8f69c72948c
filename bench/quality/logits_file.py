"""Files of full logits over windows of a text, by which engines are compared.

Layout, little-endian: "fsvlogit"; u32 version (1), context N, first row N/2, vocabulary V, windows W; i32 ids[W][N] as
evaluated (a BOS in the first place where the model adds one); f32 logits[W][N - 1 - N/2][V] of the rows N/2 .. N-2,
which predict the tokens N/2+1 .. N-1. Written by bench/peers/llama_logits.cpp and `fastserve perplexity --logits-out`.
"""
from dataclasses import dataclass

import numpy

MAGIC = b"fsvlogit"


@dataclass
class LogitsFile:
    tokens: numpy.ndarray  # int32 [windows][context]
    first: int
    logits: numpy.ndarray  # float32 [windows][rows][vocabulary], memory-mapped

    def targets(self, window):
        return self.tokens[window, self.first + 1:]


def read(path):
    with open(path, "rb") as file:
        if file.read(8) != MAGIC:
            raise ValueError(f"{path}: no logits file")
        version, context, first, vocabulary, windows = numpy.fromfile(file, "<u4", 5).tolist()
        if version != 1:
            raise ValueError(f"{path}: version {version} is not known")
        tokens = numpy.fromfile(file, "<i4", windows * context).reshape(windows, context)
        offset = file.tell()
    shape = (windows, context - 1 - first, vocabulary)
    return LogitsFile(tokens, first, numpy.memmap(path, "<f4", "r", offset, shape))
