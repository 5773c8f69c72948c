"""Model files for the comparison, made under build/peers/models and reused: SmolLM2 as shipped and requantised, and a
llama shape of 1.2 billion random weights, for realistic sizes (speed does not depend on the values)."""
import os

from .llama_build import PEERS, REPOSITORY, run

MODELS = os.path.join(PEERS, "models")
SHIPPED = os.path.join(REPOSITORY, "build", "models", "smollm2-135m-instruct-q4_1.gguf")

# Name -> (source, type for llama-quantize). All matrices get that type (--pure), so that the name says what is measured.
REQUANTISED = {
    "smollm2-q4_0": ("smollm2-q4_1", "Q4_0"),
    "smollm2-q8_0": ("smollm2-q4_1", "Q8_0"),
    "smollm2-bf16": ("smollm2-q4_1", "BF16"),
    "1b-q4_0": ("1b-bf16", "Q4_0"),
    "1b-q4_1": ("1b-bf16", "Q4_1"),
    "1b-q8_0": ("1b-bf16", "Q8_0"),
    "1b-q4_k": ("1b-bf16", "Q4_K"),
    "1b-q6_k": ("1b-bf16", "Q6_K"),
}
NAMES = ["smollm2-q4_1", "smollm2-q4_0", "smollm2-q8_0", "smollm2-bf16", "1b-bf16", *list(REQUANTISED)[3:]]

LAYERS, WIDTH, HEADS, KV_HEADS, FEED_FORWARD, CONTEXT = 16, 2048, 32, 8, 8192, 4096


def obtain(name, build, shipped=SHIPPED):
    """Path of the named model, made first where it is not there. `build`: LlamaBuild, for llama-quantize."""
    if name == "smollm2-q4_1":
        if not os.path.exists(shipped):
            raise SystemExit(f"{shipped} is missing: ./dev models smollm2")
        return shipped
    path = os.path.join(MODELS, name + ".gguf")
    if os.path.exists(path):
        return path
    os.makedirs(MODELS, exist_ok=True)
    partial = path + ".partial"
    if name == "1b-bf16":
        write_random_llama(partial, shipped)
    elif name in REQUANTISED:
        source, kind = REQUANTISED[name]
        run([build.tool("llama-quantize"), "--allow-requantize", "--pure", obtain(source, build, shipped), partial,
             kind])
    else:
        raise SystemExit(f"no model {name}: {', '.join(NAMES)}")
    os.rename(partial, path)
    return path


def write_random_llama(path, tokenizer_source):
    """A llama of random bf16 weights with the tokenizer of `tokenizer_source`, so that every engine accepts it."""
    import gguf
    import numpy
    reader = gguf.GGUFReader(tokenizer_source)
    field = lambda name: reader.get_field("tokenizer.ggml." + name).contents()
    tokens = field("tokens")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random 1b")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(field("token_type"))
    writer.add_token_merges(field("merges"))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    random = numpy.random.default_rng(7)

    def matrix(name, rows, columns):
        values = random.standard_normal((rows, columns), dtype=numpy.float32) * numpy.float32(0.02)
        bits = (values.view(numpy.uint32) >> 16).astype(numpy.uint16)
        writer.add_tensor(name, bits.view(numpy.uint8).reshape(rows, columns * 2),
                          raw_dtype=gguf.GGMLQuantizationType.BF16)

    def norm(name):
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    kv_width = WIDTH // HEADS * KV_HEADS
    matrix("token_embd.weight", len(tokens), WIDTH)
    matrix("output.weight", len(tokens), WIDTH)
    norm("output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight")
        matrix(block + "attn_q.weight", WIDTH, WIDTH)
        matrix(block + "attn_k.weight", kv_width, WIDTH)
        matrix(block + "attn_v.weight", kv_width, WIDTH)
        matrix(block + "attn_output.weight", WIDTH, WIDTH)
        norm(block + "ffn_norm.weight")
        matrix(block + "ffn_gate.weight", FEED_FORWARD, WIDTH)
        matrix(block + "ffn_up.weight", FEED_FORWARD, WIDTH)
        matrix(block + "ffn_down.weight", WIDTH, FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
