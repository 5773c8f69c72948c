"""Random models of every family, of about 200 million parameters, for speed: it does not depend on the values.

All have 12 layers of width 1024, 16 heads of 64 (4 for keys and values where the family groups them), a feed-forward of
3072 (8 experts of 768, 2 of them used, where they are routed), and SmolLM2's tokenizer; matrices are Q4_0, the embedding
Q8_0.
"""
import gguf
import numpy

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD_SIZE, FEED_FORWARD, CONTEXT = 12, 1024, 16, 4, 64, 3072, 4096
EXPERTS, EXPERTS_USED, EXPERT_FEED_FORWARD = 8, 2, 768
Q4_0, Q8_0 = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0

# What a family has of its own. arch: as GGUF names it; norms: per layer; biases: vectors beside matrices.
FAMILIES = {
    "llama": {"arch": "llama"},
    "mixtral": {"arch": "llama", "experts": True},
    "gemma2": {"arch": "gemma2", "post_norms": True, "window": 1024, "caps": True},
    "gemma3": {"arch": "gemma3", "post_norms": True, "qk_norms": True, "window": 512},
    "qwen2": {"arch": "qwen2", "qkv_bias": True},
    "qwen3": {"arch": "qwen3", "qk_norms": True},
    "qwen3moe": {"arch": "qwen3moe", "qk_norms": True, "experts": True},
    "phi3": {"arch": "phi3", "fused": True},
    "gpt2": {"arch": "gpt2", "layer_norms": True},
}


class Writer:
    def __init__(self, path, family, tokenizer_source):
        self.family = family
        self.out = gguf.GGUFWriter(path, family["arch"])
        self.random = numpy.random.default_rng(7)
        self.vocabulary = self.tokenizer(tokenizer_source)

    def tokenizer(self, source):
        reader = gguf.GGUFReader(source)
        field = lambda name: reader.get_field("tokenizer.ggml." + name).contents()
        tokens = field("tokens")
        self.out.add_tokenizer_model("gpt2")
        self.out.add_tokenizer_pre("smollm")
        self.out.add_token_list(tokens)
        self.out.add_token_types(field("token_type"))
        self.out.add_token_merges(field("merges"))
        self.out.add_bos_token_id(1)
        self.out.add_eos_token_id(2)
        self.out.add_add_bos_token(False)
        return len(tokens)

    def hyperparameters(self):
        out, family = self.out, self.family
        out.add_block_count(LAYERS)
        out.add_context_length(CONTEXT)
        out.add_embedding_length(WIDTH)
        out.add_feed_forward_length(EXPERT_FEED_FORWARD if family.get("experts") else FEED_FORWARD)
        out.add_head_count(HEADS)
        if family.get("layer_norms"):
            out.add_layer_norm_eps(1e-5)
        else:
            out.add_head_count_kv(KV_HEADS)
            out.add_layer_norm_rms_eps(1e-5)
            out.add_rope_freq_base(10000.0)
            out.add_rope_dimension_count(HEAD_SIZE)
            out.add_key_length(HEAD_SIZE)
            out.add_value_length(HEAD_SIZE)
        if "window" in family:
            out.add_sliding_window(family["window"])
        if family.get("caps"):
            out.add_attn_logit_softcapping(50.0)
            out.add_final_logit_softcapping(30.0)
        if family.get("experts"):
            out.add_expert_count(EXPERTS)
            out.add_expert_used_count(EXPERTS_USED)
            out.add_expert_feed_forward_length(EXPERT_FEED_FORWARD)
        out.add_vocab_size(self.vocabulary)

    def matrix(self, name, rows, columns, kind=Q4_0, stack=None):
        shape = (rows, columns) if stack is None else (stack, rows, columns)
        values = self.random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.02)
        if kind is None:
            self.out.add_tensor(name, values)
        else:
            self.out.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def vector(self, name, size, value=1.0):
        self.out.add_tensor(name, numpy.full(size, value, dtype=numpy.float32))

    def norm(self, name, size=WIDTH):
        self.vector(name + ".weight", size)
        if self.family.get("layer_norms"):
            self.vector(name + ".bias", size, 0.0)

    def linear(self, name, rows, columns, bias=False):
        self.matrix(name + ".weight", rows, columns)
        if bias or self.family.get("layer_norms"):
            self.vector(name + ".bias", rows, 0.0)

    def attention(self, block):
        family = self.family
        kv_heads = HEADS if family.get("layer_norms") else KV_HEADS
        self.norm(block + "attn_norm")
        if family.get("fused") or family.get("layer_norms"):
            self.linear(block + "attn_qkv", (HEADS + 2 * kv_heads) * HEAD_SIZE, WIDTH)
        else:
            for name, heads in (("attn_q", HEADS), ("attn_k", kv_heads), ("attn_v", kv_heads)):
                self.linear(block + name, heads * HEAD_SIZE, WIDTH, family.get("qkv_bias", False))
        if family.get("qk_norms"):
            self.norm(block + "attn_q_norm", HEAD_SIZE)
            self.norm(block + "attn_k_norm", HEAD_SIZE)
        self.linear(block + "attn_output", WIDTH, HEADS * HEAD_SIZE)
        if family.get("post_norms"):
            self.norm(block + "post_attention_norm")

    def feed_forward(self, block):
        family = self.family
        self.norm(block + "ffn_norm")
        if family.get("experts"):
            self.matrix(block + "ffn_gate_inp.weight", EXPERTS, WIDTH, None)
            self.matrix(block + "ffn_gate_exps.weight", EXPERT_FEED_FORWARD, WIDTH, stack=EXPERTS)
            self.matrix(block + "ffn_up_exps.weight", EXPERT_FEED_FORWARD, WIDTH, stack=EXPERTS)
            self.matrix(block + "ffn_down_exps.weight", WIDTH, EXPERT_FEED_FORWARD, stack=EXPERTS)
            return
        if family.get("fused"):
            self.linear(block + "ffn_up", 2 * FEED_FORWARD, WIDTH)
        else:
            if not family.get("layer_norms"):
                self.linear(block + "ffn_gate", FEED_FORWARD, WIDTH)
            self.linear(block + "ffn_up", FEED_FORWARD, WIDTH)
        self.linear(block + "ffn_down", WIDTH, FEED_FORWARD)
        if family.get("post_norms"):
            self.norm(block + "post_ffw_norm")

    def write(self):
        self.hyperparameters()
        self.matrix("token_embd.weight", self.vocabulary, WIDTH, Q8_0)
        if self.family.get("layer_norms"):
            self.matrix("position_embd.weight", CONTEXT, WIDTH, None)
        if not self.family["arch"].startswith("gemma"):  # these share the embedding
            self.matrix("output.weight", self.vocabulary, WIDTH, Q8_0)
        self.norm("output_norm")
        for layer in range(LAYERS):
            self.attention(f"blk.{layer}.")
            self.feed_forward(f"blk.{layer}.")
        self.out.write_header_to_file()
        self.out.write_kv_data_to_file()
        self.out.write_tensors_to_file()
        self.out.close()


def write_random_model(path, family, tokenizer_source):
    Writer(path, FAMILIES[family], tokenizer_source).write()
