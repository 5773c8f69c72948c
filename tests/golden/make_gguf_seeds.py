"""Writes fuzz/seeds/gguf: small files made with the `gguf` package. Needs: pip install gguf numpy"""

import pathlib
import shutil

import gguf
import numpy as np

TESTS = pathlib.Path(__file__).parent.parent


def main():
    folder = TESTS / "fuzz" / "seeds" / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(TESTS / "golden" / "gguf" / "small.gguf.bin", folder / "small")
    for index, alignment in enumerate([32, 64, 8]):
        writer = gguf.GGUFWriter(folder / f"aligned{alignment}", "qwen2")
        writer.add_custom_alignment(alignment)
        writer.add_array("list", [[1, 2, 3], [True, False], ["a", "b"]][index])
        writer.add_tensor("t.weight", np.ones((2, 32), np.float16))
        writer.add_tensor("u.weight", np.ones((3,), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    old = bytearray((folder / "aligned32").read_bytes())
    old[4] = 2
    (folder / "version2").write_bytes(old)


if __name__ == "__main__":
    main()
