"""Writes quantize/<TYPE>.bin: floats, then the bytes that the `gguf` package quantises them to.

Layout, little-endian: uint32 type number, uint32 float count, uint32 byte count, floats, bytes.
Needs: pip install gguf numpy
"""

import pathlib
import struct

import gguf
import numpy as np


def main():
    rng = np.random.default_rng(99)
    blocks = rng.normal(0, 1, (40, 32)).astype(np.float32)
    blocks[1] = 0
    blocks[2] *= 1e-8  # scales that are subnormal halves, and zero
    blocks[3] *= 1e-6
    blocks[4] *= 1000
    blocks[5] = np.arange(32) - 16  # exact halves on the way
    blocks[6] = (np.arange(32) - 8) / 2
    blocks[7, 3] = -blocks[7].max() * 3
    blocks[8] = 0.5
    blocks[9] = -0.25
    blocks[10, 5], blocks[10, 9] = 4.0, -4.0  # the first of two extremes decides
    blocks[11, 5], blocks[11, 9] = -4.0, 4.0
    blocks[12] = np.linspace(-127, 127, 32) / 2
    folder = pathlib.Path(__file__).parent / "quantize"
    folder.mkdir(exist_ok=True)
    floats = blocks.reshape(-1)
    for name in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
        type_ = gguf.GGMLQuantizationType[name]
        data = gguf.quantize(floats, type_).tobytes()
        header = struct.pack("<III", int(type_), floats.size, len(data))
        (folder / f"{name}.bin").write_bytes(header + floats.tobytes() + data)


if __name__ == "__main__":
    main()
