"""Writes hf/<family>/: tiny random models as `transformers` saves them, and expected.txt: what llama.cpp's own
conversion makes of each (metadata, tensor names, shapes and float values).

Needs: pip install torch transformers safetensors gguf numpy, and a llama.cpp checkout:
  LLAMA_CPP=<checkout> python make_hf_folders.py
"""

import json
import os
import pathlib
import sys
import tempfile
import zlib

import numpy as np
import torch
import transformers as T

sys.path.insert(0, os.environ["LLAMA_CPP"])
import conversion  # noqa: E402
import gguf  # noqa: E402
from conversion.base import ModelBase, ModelType, TextModel, get_model_architecture  # noqa: E402

FOLDER = pathlib.Path(__file__).parent / "hf"
SMALL = dict(
    hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=40, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
PHI3_ROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 2.5, 4.75, 8.125], "original_max_position_embeddings": 64,
}
GEMMA = dict(SMALL, head_dim=16, num_hidden_layers=2, query_pre_attn_scalar=64, sliding_window=64)

# family -> (configuration, class, weight type, bytes a shard)
MODELS = {
    "llama": (T.LlamaConfig(**SMALL, head_dim=16, attention_bias=True, rope_parameters=LLAMA3_ROPE), T.LlamaForCausalLM,
              torch.bfloat16, None),
    "mistral": (T.MistralConfig(**SMALL, sliding_window=128, head_dim=16), T.MistralForCausalLM, torch.float32, None),
    "qwen2": (T.Qwen2Config(**SMALL, tie_word_embeddings=True), T.Qwen2ForCausalLM, torch.bfloat16, None),
    "qwen3": (T.Qwen3Config(**SMALL, head_dim=16), T.Qwen3ForCausalLM, torch.float16, None),
    "gemma2": (T.Gemma2Config(**GEMMA, tie_word_embeddings=True), T.Gemma2ForCausalLM, torch.bfloat16, None),
    "gemma3": (T.Gemma3TextConfig(**GEMMA, tie_word_embeddings=True), T.Gemma3ForCausalLM, torch.bfloat16, None),
    "phi3": (T.Phi3Config(**SMALL, original_max_position_embeddings=64, rope_parameters=PHI3_ROPE), T.Phi3ForCausalLM, torch.bfloat16, None),
    "gpt2": (T.GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=40, n_positions=64, n_ctx=64, bos_token_id=1,
                          eos_token_id=2), T.GPT2LMHeadModel, torch.bfloat16, None),
    "mixtral": (T.MixtralConfig(**SMALL, num_local_experts=3, num_experts_per_tok=2), T.MixtralForCausalLM,
                torch.bfloat16, 12000),
    "qwen3moe": (T.Qwen3MoeConfig(**SMALL, head_dim=16, moe_intermediate_size=16, num_experts=4,
                                  num_experts_per_tok=2, norm_topk_prob=True), T.Qwen3MoeForCausalLM,
                 torch.bfloat16, None),
}


def save(name, folder):
    config, class_, dtype, shard = MODELS[name]
    torch.manual_seed(zlib.crc32(name.encode()))
    model = class_(config)
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases too: ones and zeros would hide mistakes
            parameter.normal_(0, 0.2)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    # The conversion of Gemma looks here for the size of the vocabulary.
    vocabulary = {f"t{i}": i for i in range(40)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))


def convert(folder, path):
    TextModel.set_vocab = lambda self: None
    hparams = ModelBase.load_hparams(folder, False)
    architecture = get_model_architecture(hparams, ModelType.TEXT)
    class_ = conversion.get_model_class(architecture)
    for type_ in class_.__mro__:
        if "set_vocab" in type_.__dict__:
            type_.set_vocab = lambda self: None
    class_(folder, gguf.LlamaFileType.ALL_F32, path).write()


def describe(path):
    reader = gguf.GGUFReader(path)
    T_ = gguf.GGUFValueType
    kinds = {T_.BOOL: "bool", T_.STRING: "string", T_.FLOAT32: "float", T_.UINT32: "uint"}
    lines = []
    for name, field in reader.fields.items():
        if name.startswith(("GGUF.", "general.", "tokenizer.")) and name != "general.architecture":
            continue
        kind = kinds[field.types[0]]
        value = repr(float(field.contents())) if kind == "float" else field.contents()
        lines.append(f"key {name} {kind} {value}")
    for tensor in reader.tensors:
        data = np.ascontiguousarray(tensor.data, dtype="<f4")
        shape = " ".join(str(int(d)) for d in tensor.shape)
        lines.append(f"tensor {tensor.name} {len(tensor.shape)} {shape} {zlib.crc32(data.tobytes())}")
        if tensor.name.startswith("rope_"):
            lines.append(f"values {tensor.name} {data.size} " + " ".join(repr(float(v)) for v in data.reshape(-1)))
    return "\n".join(lines) + "\n"


def main():
    for name in sys.argv[1:] or MODELS:
        folder = FOLDER / name
        save(name, folder)
        with tempfile.TemporaryDirectory() as temporary:
            path = pathlib.Path(temporary) / "model.bin"
            convert(folder, path)
            (folder / "expected.txt").write_text(describe(path))


if __name__ == "__main__":
    main()
