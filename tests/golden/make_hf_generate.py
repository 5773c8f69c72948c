"""Writes hf_generate/: a tokenizer of 38 tokens with its side files, as they lie in a model's folder, and expected.json:
what `transformers` (f32, greedy) continues a text with, for some of the tiny models in hf/ (which have 40 embeddings).

Needs: pip install torch transformers safetensors tokenizers
"""

import json
import pathlib

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

HERE = pathlib.Path(__file__).parent
OUT = HERE / "hf_generate"
FAMILIES = ["llama", "qwen2", "mixtral", "gemma3"]
PROMPT = "the cab in a hat"
CHAT = ("{{ bos_token }}{% for message in messages %}{{ message['role'] }} {{ message['content'] }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}assistant {% endif %}")


def make_tokenizer():
    merges = [("t", "h"), ("▁", "th"), ("i", "n"), ("▁", "a"), ("▁th", "e")]
    tokens = ["<unk>", "<s>", "</s>", "▁"] + [chr(c) for c in range(ord("a"), ord("z") + 1)]
    tokens += ["".join(merge) for merge in merges] + ["<|end|>", "<|im_start|>", "."]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens
                                  if token.startswith("<")])
    return tokenizer


def main():
    OUT.mkdir(exist_ok=True)
    tokenizer = make_tokenizer()
    (OUT / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False))
    (OUT / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": CHAT}))
    (OUT / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, tokenizer.token_to_id("<|end|>")]}))
    ids = tokenizer.encode(PROMPT).ids
    expected = {"prompt": PROMPT, "prompt_ids": ids}
    for family in FAMILIES:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            HERE / "hf" / family, dtype=torch.float32, attn_implementation="eager").eval()
        new = []
        with torch.no_grad():
            while len(new) < 24 and not (new and new[-1] in (2, tokenizer.token_to_id("<|end|>"))):
                new.append(int(model(torch.tensor([ids + new]), use_cache=False).logits[0, -1].argmax()))
        expected[family] = {"ids": new, "text": tokenizer.decode(new)}
        print(family, expected[family])
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
