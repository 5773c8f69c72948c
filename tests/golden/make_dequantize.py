"""Writes dequantize/<TYPE>.bin: random blocks of every weight type, then the floats that the `gguf` package gives.

Layout, little-endian: uint32 type number, uint32 byte count, uint32 float count, bytes, floats.
Needs: pip install gguf numpy
"""

import pathlib
import struct

import gguf
import numpy as np

# Byte offsets of the half-precision scales in a block; they take special values below.
HALF_OFFSETS = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "F16": [0], "BF16": [],
    "F32": [],
}
SPECIAL_HALVES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x2E66]


def blocks_of(name, size, rng):
    small = size <= 64
    count = 64 if size <= 4 else 14 if small else 12
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for place, offset in enumerate(HALF_OFFSETS[name]):
        halves = rng.normal(0, 0.05, count).astype(np.float16).view(np.uint16)
        for i, special in enumerate(SPECIAL_HALVES):
            halves[(i + 3 * place) % count] = special
        blocks[:, offset : offset + 2] = halves.astype("<u2").view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        blocks[:, 0] = [0, 1, 2, 3, 100, 126, 127, 128, 129, 200, 249, 250, 120, 124]
    if name == "BF16":
        blocks[blocks[:, 1] & 0x7F == 0x7F, 1] = 0x3F  # no infinities or NaN: they have tests of their own
    if name == "F32":
        blocks[blocks[:, 3] & 0x7F == 0x7F, 3] = 0x3F
    return blocks.reshape(-1)


def main():
    rng = np.random.default_rng(20240611)
    folder = pathlib.Path(__file__).parent / "dequantize"
    folder.mkdir(exist_ok=True)
    for name in HALF_OFFSETS:
        type_ = gguf.GGMLQuantizationType[name]
        _, size = gguf.GGML_QUANT_SIZES[type_]
        data = blocks_of(name, size, rng)
        with np.errstate(all="ignore"):
            floats = gguf.dequantize(data.reshape(1, -1), type_).astype("<f4").reshape(-1)
        assert np.isfinite(floats).all(), name
        header = struct.pack("<III", int(type_), data.size, floats.size)
        (folder / f"{name}.bin").write_bytes(header + data.tobytes() + floats.tobytes())


if __name__ == "__main__":
    main()
