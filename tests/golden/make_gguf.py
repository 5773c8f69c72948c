"""Writes gguf/small.gguf.bin with the `gguf` package, and gguf/small.txt: what that package's reader finds in it.

Needs: pip install gguf numpy
"""

import pathlib

import gguf
import numpy as np

FOLDER = pathlib.Path(__file__).parent / "gguf"


def write(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_block_count(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_int32("some.signed", -12)
    writer.add_uint64("some.large", 2**63 + 5)
    writer.add_float64("some.double", 0.1)
    writer.add_token_list([b"<s>", "ü".encode(), b"\xff\xfe", b""])
    writer.add_token_scores([0.0, -1.5, 2.25, 1e-3])
    writer.add_token_types([3, 1, 6, 1])
    rng = np.random.default_rng(7)
    for name, shape, type_ in [
        ("token_embd.weight", (4, 64), "Q8_0"),
        ("blk.0.attn_q.weight", (64, 64), "Q4_0"),
        ("blk.0.attn_norm.weight", (64,), "F32"),
        ("blk.0.half.weight", (3, 5), "F16"),
        ("blk.0.ffn_gate_exps.weight", (2, 3, 32), "Q4_1"),
    ]:
        type_ = gguf.GGMLQuantizationType[type_]
        values = rng.normal(0, 1, shape).astype(np.float32)
        writer.add_tensor(name, gguf.quantize(values, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def kind_of(field):
    T = gguf.GGUFValueType
    kind = field.types[0]
    if kind in (T.UINT8, T.UINT16, T.UINT32, T.UINT64):
        return "uint"
    if kind in (T.INT8, T.INT16, T.INT32, T.INT64):
        return "int"
    return {T.FLOAT32: "float", T.FLOAT64: "float", T.BOOL: "bool", T.STRING: "string", T.ARRAY: "array"}[kind]


def main():
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "small.gguf.bin"
    write(path)
    reader = gguf.GGUFReader(path)
    lines = []
    for name, field in reader.fields.items():
        if name.startswith("GGUF."):
            continue
        kind = kind_of(field)
        value = len(field.data) if kind == "array" else field.contents()
        lines.append(f"key {name} {kind} {value!r}" if kind == "float" else f"key {name} {kind} {value}")
    for tensor in reader.tensors:
        shape = " ".join(str(int(d)) for d in tensor.shape)
        lines.append(
            f"tensor {tensor.name} {int(tensor.tensor_type)} {int(tensor.data_offset)} {int(tensor.n_bytes)} "
            f"{len(tensor.shape)} {shape}"
        )
    (FOLDER / "small.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
