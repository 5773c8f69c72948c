"""Random models of every family as GGUF files. The default shape, of about 200 million parameters, is for speed, which does
not depend on the values: 12 layers of width 1024, 16 heads of 64 (4 for keys and values where the family groups them), a
feed-forward of 3072 (8 experts of 768, 2 of them used, where they are routed); matrices in Q4_0, the embedding in Q8_0.
"""
from dataclasses import dataclass

import gguf
import numpy

Q4_0, Q8_0 = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0


@dataclass
class Shape:
    layers: int = 12
    width: int = 1024
    heads: int = 16
    kv_heads: int = 4
    head_size: int = 64
    feed_forward: int = 3072
    context: int = 4096
    experts: int = 8
    experts_used: int = 2
    expert_feed_forward: int = 768
    window: int = 1024  # of families that have one
    matrix_type: gguf.GGMLQuantizationType | None = Q4_0  # None: f32
    embedding_type: gguf.GGMLQuantizationType | None = Q8_0


# What a family has of its own. arch: as GGUF names it; norms: per layer; biases: vectors beside matrices.
FAMILIES = {
    "llama": {"arch": "llama"},
    "mixtral": {"arch": "llama", "experts": True},
    "gemma2": {"arch": "gemma2", "post_norms": True, "window": True, "caps": True},
    "gemma3": {"arch": "gemma3", "post_norms": True, "qk_norms": True, "window": True},
    "qwen2": {"arch": "qwen2", "qkv_bias": True},
    "qwen3": {"arch": "qwen3", "qk_norms": True},
    "qwen3moe": {"arch": "qwen3moe", "qk_norms": True, "experts": True},
    "phi3": {"arch": "phi3", "fused": True},
    "gpt2": {"arch": "gpt2", "layer_norms": True},
}


class Writer:
    def __init__(self, path, family, shape, add_tokenizer):
        """`add_tokenizer` writes its keys to the GGUFWriter and returns the vocabulary's size."""
        self.family, self.shape = family, shape
        self.out = gguf.GGUFWriter(path, family["arch"])
        self.random = numpy.random.default_rng(7)
        self.vocabulary = add_tokenizer(self.out)

    def hyperparameters(self):
        out, family = self.out, self.family
        out.add_block_count(self.shape.layers)
        out.add_context_length(self.shape.context)
        out.add_embedding_length(self.shape.width)
        out.add_feed_forward_length(self.shape.expert_feed_forward if family.get("experts") else self.shape.feed_forward)
        out.add_head_count(self.shape.heads)
        if family.get("layer_norms"):
            out.add_layer_norm_eps(1e-5)
        else:
            out.add_head_count_kv(self.shape.kv_heads)
            out.add_layer_norm_rms_eps(1e-5)
            out.add_rope_freq_base(10000.0)
            out.add_rope_dimension_count(self.shape.head_size)
            out.add_key_length(self.shape.head_size)
            out.add_value_length(self.shape.head_size)
        if family.get("window"):
            out.add_sliding_window(self.shape.window)
        if family.get("caps"):
            out.add_attn_logit_softcapping(50.0)
            out.add_final_logit_softcapping(30.0)
        if family.get("experts"):
            out.add_expert_count(self.shape.experts)
            out.add_expert_used_count(self.shape.experts_used)
            out.add_expert_feed_forward_length(self.shape.expert_feed_forward)
        out.add_vocab_size(self.vocabulary)

    def matrix(self, name, rows, columns, kind="matrix", stack=None):
        kind = self.shape.matrix_type if kind == "matrix" else kind
        shape = (rows, columns) if stack is None else (stack, rows, columns)
        values = self.random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(1.5 / columns ** 0.5)
        if kind is None:
            self.out.add_tensor(name, values)
        else:
            self.out.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def vector(self, name, size, mean):
        values = self.random.standard_normal(size, dtype=numpy.float32) * numpy.float32(0.1)
        self.out.add_tensor(name, values + numpy.float32(mean))

    def norm(self, name, size=None):
        size = size or self.shape.width
        self.vector(name + ".weight", size, 1)
        if self.family.get("layer_norms"):
            self.vector(name + ".bias", size, 0)

    def linear(self, name, rows, columns, bias=False):
        self.matrix(name + ".weight", rows, columns)
        if bias or self.family.get("layer_norms"):
            self.vector(name + ".bias", rows, 0)

    def attention(self, block):
        family = self.family
        kv_heads = self.shape.heads if family.get("layer_norms") else self.shape.kv_heads
        self.norm(block + "attn_norm")
        if family.get("fused") or family.get("layer_norms"):
            self.linear(block + "attn_qkv", (self.shape.heads + 2 * kv_heads) * self.shape.head_size, self.shape.width)
        else:
            for name, heads in (("attn_q", self.shape.heads), ("attn_k", kv_heads), ("attn_v", kv_heads)):
                self.linear(block + name, heads * self.shape.head_size, self.shape.width, family.get("qkv_bias", False))
        if family.get("qk_norms"):
            self.norm(block + "attn_q_norm", self.shape.head_size)
            self.norm(block + "attn_k_norm", self.shape.head_size)
        self.linear(block + "attn_output", self.shape.width, self.shape.heads * self.shape.head_size)
        if family.get("post_norms"):
            self.norm(block + "post_attention_norm")

    def feed_forward(self, block):
        family = self.family
        self.norm(block + "ffn_norm")
        if family.get("experts"):
            experts, width, wide = self.shape.experts, self.shape.width, self.shape.expert_feed_forward
            self.matrix(block + "ffn_gate_inp.weight", experts, width, None)
            self.matrix(block + "ffn_gate_exps.weight", wide, width, stack=experts)
            self.matrix(block + "ffn_up_exps.weight", wide, width, stack=experts)
            self.matrix(block + "ffn_down_exps.weight", width, wide, stack=experts)
            return
        if family.get("fused"):
            self.linear(block + "ffn_up", 2 * self.shape.feed_forward, self.shape.width)
        else:
            if not family.get("layer_norms"):
                self.linear(block + "ffn_gate", self.shape.feed_forward, self.shape.width)
            self.linear(block + "ffn_up", self.shape.feed_forward, self.shape.width)
        self.linear(block + "ffn_down", self.shape.width, self.shape.feed_forward)
        if family.get("post_norms"):
            self.norm(block + "post_ffw_norm")

    def write(self):
        self.hyperparameters()
        self.matrix("token_embd.weight", self.vocabulary, self.shape.width, self.shape.embedding_type)
        if self.family.get("layer_norms"):
            self.matrix("position_embd.weight", self.shape.context, self.shape.width, None)
        if not self.family["arch"].startswith("gemma"):  # these share the embedding
            self.matrix("output.weight", self.vocabulary, self.shape.width, self.shape.embedding_type)
        self.norm("output_norm")
        for layer in range(self.shape.layers):
            self.attention(f"blk.{layer}.")
            self.feed_forward(f"blk.{layer}.")
        self.out.write_header_to_file()
        self.out.write_kv_data_to_file()
        self.out.write_tensors_to_file()
        self.out.close()


def tokenizer_of(source):
    """The byte-level tokenizer of a GGUF file, for Writer."""
    def add(out):
        reader = gguf.GGUFReader(source)
        field = lambda name: reader.get_field("tokenizer.ggml." + name).contents()
        return add_tokenizer(out, field("tokens"), field("token_type"), field("merges"))
    return add


def add_tokenizer(out, tokens, types, merges):
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges(merges)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_add_bos_token(False)
    return len(tokens)


def write_random_model(path, family, tokenizer_source):
    Writer(path, FAMILIES[family], Shape(), tokenizer_of(tokenizer_source)).write()
