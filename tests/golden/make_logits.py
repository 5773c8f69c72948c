#!/usr/bin/env python3
"""Makes tests/golden/logits/: next-token logits and greedy continuations of a GGUF model by an independent engine.

transformers dequantises the file's weights to f32 and runs them in f32 with eager attention. SmolLM2's prompts become
token ids by Hugging Face `tokenizers`, built here from the file's own vocabulary and merges with the splitter that the
model's makers used (each digit alone, then byte-level), because transformers' own GGUF conversion drops the digits.
Gemma's come from that conversion, which agrees with llama.cpp on these prompts; they begin with BOS.

  make_logits.py --model smollm2-135m-instruct-q4_1.gguf --out tests/golden/logits/smollm2_q4_1.txt
  make_logits.py --model gemma-3-270m-q4_k_m.gguf --out tests/golden/logits/gemma3_q4_k_m.txt

Needs: torch, transformers, accelerate, gguf, tokenizers. The text format is described at the top of its output.
"""
import argparse
import hashlib
import os

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

CONTINUATION = 64
TOP = 32

PROMPTS = [  # name, text, whether special tokens in it are recognised
    ("france", "The capital of France is", False),
    ("chat", "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
             "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", True),
    ("code", "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n    if n < 2:\n        return n\n",
     False),
    ("digits", "In 1969 the first people landed on the moon; 1969 + 31 = 2000, 12 * 12 = 144 and 7 * 8 =", False),
    ("unicode", "Le café est fermé. Das Mädchen heißt Zoë. Привет, мир! 你好,世界 🙂 and in English:", False),
    ("list", "Shopping list:\n1. Milk\n2. Eggs\n3. Bread\n4.", False),
    ("json", "{\"name\": \"Ada Lovelace\", \"born\": 1815, \"fields\": [\"mathematics\", \"computing\"],", False),
    ("one_token", "Once", False),
    ("story", "Once upon a time, in a small village at the foot of a great mountain, there lived an old clockmaker "
              "named Anselm. Every morning he climbed the crooked stairs of the bell tower, wound the great spring, "
              "and listened. The villagers said that he could hear the weather in it. One winter, when the snow lay "
              "so deep that the doors opened only inwards, the clock stopped. Anselm took his lamp and his smallest "
              "hammer, and went up. He did not come down for three days. On the fourth day the bell rang thirteen "
              "times, and everyone came out into the square to see what had happened. The old man stood at the top "
              "of the tower, laughing, with", False),
    ("long", None, False),  # 300 tokens of licence text, see below
]
LICENCE = "/usr/share/common-licenses/GPL-3"

HEADER = """\
# Next-token logits and greedy continuations; made by tests/golden/make_logits.py, do not edit.
# model {model} sha256 {sha}
# oracle transformers {transformers}, torch {torch}, f32 weights dequantised from the file, eager attention
#
# case NAME, then:
#   prompt ID...                       token ids of the prompt, taken as they are (no BOS is added)
#   greedy ID...                       {steps} ids, each the oracle's most likely next one (end tokens included)
#   margin M...                        for each of them, best logit minus second best
#   logprob P...                       for each of them, its natural-log probability
#   logits POSITION LOGSUMEXP ID:LOGIT...   the {top} largest logits after row POSITION of prompt + greedy (0-based)
"""


GEMMA_CHAT = "<start_of_turn>user\nWhat is the capital of France?<end_of_turn>\n<start_of_turn>model\n"


def build_tokenizer(path):
    """encode(text, parse_special) -> ids"""
    reader = gguf.GGUFReader(path)
    field = lambda name: reader.get_field("tokenizer.ggml." + name).contents()
    if field("model") == "llama":
        folder, name = os.path.split(os.path.abspath(path))
        converted = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        return lambda text, parse: [field("bos_token_id")] + converted.encode(text, add_special_tokens=False)
    assert field("model") == "gpt2" and field("pre") == "smollm", "this file's splitter is not known here"
    tokens, kinds = field("tokens"), field("token_type")
    merges = [tuple(line.split(" ")) for line in field("merges")]
    plain = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    plain.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    plain.decoder = decoders.ByteLevel()
    special = Tokenizer.from_str(plain.to_str())
    special.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, kinds) if k in (3, 4)])
    return lambda text, parse: (special if parse else plain).encode(text, add_special_tokens=False).ids


def logits_of(model, ids):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def greedy(model, prompt, steps):
    """Greedy ids by a KV cache; the caller checks them against one full pass."""
    ids, past, feed = [], None, prompt
    with torch.inference_mode():
        for _ in range(steps):
            out = model(input_ids=torch.tensor([feed]), past_key_values=past, use_cache=True)
            past = out.past_key_values
            ids.append(int(out.logits[0, -1].argmax()))
            feed = [ids[-1]]
    return ids


def write_case(file, model, name, prompt, steps):
    ids = greedy(model, prompt, steps)
    logits = logits_of(model, prompt + ids).float()
    rows = logits[len(prompt) - 1:-1]
    best = rows.topk(2, dim=-1)
    margins = (best.values[:, 0] - best.values[:, 1]).tolist()
    logprobs = rows.log_softmax(-1)[torch.arange(steps), torch.tensor(ids)].tolist()
    for step, (a, b, margin) in enumerate(zip(ids, best.indices[:, 0].tolist(), margins)):
        assert a == b or margin < 1e-3, f"{name}: step {step}: cached and full pass differ with margin {margin}"
    file.write(f"\ncase {name}\n")
    file.write("prompt " + " ".join(map(str, prompt)) + "\n")
    file.write("greedy " + " ".join(map(str, ids)) + "\n")
    file.write("margin " + " ".join(f"{m:.6g}" for m in margins) + "\n")
    file.write("logprob " + " ".join(f"{p:.6g}" for p in logprobs) + "\n")
    last = len(prompt) - 1
    for position in sorted({0, last // 2, last, last + steps // 2, last + steps}):
        row = logits[position]
        top = row.topk(TOP)
        pairs = " ".join(f"{i}:{v:.7g}" for i, v in zip(top.indices.tolist(), top.values.tolist()))
        file.write(f"logits {position} {float(row.double().logsumexp(-1)):.8g} {pairs}\n")
    return min(margins)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    import transformers
    torch.manual_seed(0)
    encode = build_tokenizer(args.model)
    is_gemma = "gemma" in os.path.basename(args.model)
    folder, name = os.path.split(os.path.abspath(args.model))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    with open(args.model, "rb") as file:
        sha = hashlib.sha256(file.read()).hexdigest()
    with open(args.out, "w", encoding="utf-8") as file:
        file.write(HEADER.format(model=name, sha=sha, transformers=transformers.__version__, torch=torch.__version__,
                                 steps=CONTINUATION, top=TOP))
        for case, text, parse in PROMPTS:
            if text is None:
                with open(LICENCE, encoding="utf-8") as licence:
                    prompt = encode(licence.read(), False)[:300]
            else:
                prompt = encode(GEMMA_CHAT if parse and is_gemma else text, parse)
            smallest = write_case(file, model, case, prompt, CONTINUATION)
            print(f"{case}: {len(prompt)} tokens, smallest margin {smallest:.3g}")


if __name__ == "__main__":
    main()
