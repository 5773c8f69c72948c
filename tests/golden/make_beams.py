"""Writes beams/cases.txt: beam searches by `transformers` (f32) over the tiny models in hf/. A case is a line
  case <name> <folder> <beams> <return> <max new> <min new> <length penalty> <early: 0 off, 1 on, 2 never> <repetition
  penalty> <ends: ids that end a text, comma-separated, or ->
then "prompt <ids>", "bias <id>:<bias> ...", and a line "text <score> <ids>" for each returned text, best first (ids
generated, the ending one included).

Needs: pip install torch transformers safetensors numpy
"""

import pathlib

import torch
import transformers

HERE = pathlib.Path(__file__).parent
EARLY = [False, True, "never"]
# name, folder, beams, returned, max new, min new, length penalty, early stopping, repetition penalty, ends, bias
CASES = [
    ("plain", "qwen2", 4, 4, 16, 0, 1.0, 0, 1.0, [2], {}),
    ("two", "llama", 2, 1, 20, 0, 1.0, 0, 1.0, [2], {}),
    ("greedy", "qwen3", 1, 1, 12, 0, 1.0, 0, 1.0, [2], {}),
    ("ends_often", "qwen2", 4, 4, 24, 0, 1.0, 0, 1.0, [2], {2: 3.0}),
    ("ends_often_on", "qwen2", 4, 3, 24, 0, 1.0, 1, 1.0, [2], {2: 3.0}),
    ("ends_often_never", "qwen2", 4, 4, 24, 0, 1.0, 2, 1.0, [2], {2: 3.0}),
    ("long", "gemma3", 5, 5, 20, 0, 2.0, 0, 1.0, [2], {2: 3.0}),
    ("long_never", "gemma3", 5, 5, 20, 0, 2.0, 2, 1.0, [2], {2: 3.0}),
    ("short", "gemma2", 3, 3, 20, 0, -1.0, 0, 1.0, [2], {2: 2.0}),
    ("short_never", "gemma2", 3, 3, 20, 0, -1.0, 2, 1.0, [2], {2: 2.0}),
    ("no_penalty", "mistral", 6, 6, 18, 0, 0.0, 0, 1.0, [2], {2: 2.0}),
    ("no_penalty_on", "mistral", 6, 6, 18, 0, 0.0, 1, 1.0, [2], {2: 2.0}),
    ("min_new", "llama", 4, 4, 16, 9, 1.0, 0, 1.0, [2], {2: 4.0}),
    ("repetition", "qwen3", 4, 4, 24, 0, 1.0, 0, 1.3, [2], {}),
    ("bias", "phi3", 3, 3, 20, 0, 1.0, 0, 1.0, [2], {7: 2.5, 11: -4.0, 2: 2.0}),
    ("several_ends", "gpt2", 4, 4, 16, 0, 1.0, 0, 1.0, [2, 5, 9], {2: 1.0, 5: 1.0}),
    ("several_ends_on", "gpt2", 3, 2, 16, 0, 0.5, 1, 1.0, [2, 5, 9], {2: 1.0, 5: 1.0}),
    ("wide", "llama", 8, 8, 10, 0, 0.7, 0, 1.0, [2], {2: 2.0}),
    ("window", "gemma3", 3, 3, 90, 0, 1.0, 0, 1.0, [], {}),
    ("one_token", "qwen2", 3, 3, 1, 0, 1.0, 0, 1.0, [2], {}),
]


class Bias(transformers.LogitsProcessor):
    def __init__(self, bias):
        self.bias = bias

    def __call__(self, ids, scores):
        scores = scores.clone()
        for token, value in self.bias.items():
            scores[:, token] += value
        return scores


def search(number, case):
    name, folder, beams, returned, max_new, min_new, length, early, repetition, ends, bias = case
    model = transformers.AutoModelForCausalLM.from_pretrained(
        HERE / "hf" / folder, dtype=torch.float32, attn_implementation="eager").eval()
    model.generation_config = transformers.GenerationConfig(pad_token_id=0)
    prompt = [(number * 5 + 7 * i) % 37 + 3 for i in range(9 + number)]
    with torch.no_grad():
        found = model.generate(
            torch.tensor([prompt]), num_beams=beams, num_return_sequences=returned, max_new_tokens=max_new,
            min_new_tokens=min_new or None, length_penalty=length, early_stopping=EARLY[early],
            repetition_penalty=repetition, eos_token_id=ends or None, do_sample=False, return_dict_in_generate=True,
            output_scores=True, logits_processor=[Bias(bias)] if bias else [])
    if beams == 1:  # greedy: scored as a beam would be
        ids = found.sequences[0, len(prompt):].tolist()
        logprobs = [torch.log_softmax(s[0], -1)[i].item() for s, i in zip(found.scores, ids)]
        texts = [(sum(logprobs) / len(ids) ** length, ids)]
    else:
        texts = []
        for score, row in zip(found.sequences_scores.tolist(), found.sequences[:, len(prompt):].tolist()):
            end = next((i + 1 for i, id in enumerate(row) if id in ends), len(row))
            texts.append((score, row[:end]))
    lines = [f"case {name} {folder} {beams} {returned} {max_new} {min_new} {length} {early} {repetition} "
             + (",".join(map(str, ends)) or "-")]
    lines.append("prompt " + " ".join(map(str, prompt)))
    lines.append("bias " + " ".join(f"{token}:{value}" for token, value in bias.items()))
    lines += [f"text {score:.7g} " + " ".join(map(str, ids)) for score, ids in texts]
    return lines


def main():
    (HERE / "beams").mkdir(exist_ok=True)
    lines = [line for number, case in enumerate(CASES) for line in search(number, case)]
    (HERE / "beams" / "cases.txt").write_text("\n".join(lines) + "\n")


main()
