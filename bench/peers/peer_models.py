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
    from . import random_models
    bf16 = random_models.gguf.GGMLQuantizationType.BF16
    shape = random_models.Shape(layers=16, width=2048, heads=32, kv_heads=8, feed_forward=8192, matrix_type=bf16,
                                embedding_type=bf16)
    tokenizer = random_models.tokenizer_of(tokenizer_source)
    random_models.Writer(path, random_models.FAMILIES["llama"], shape, tokenizer).write()
