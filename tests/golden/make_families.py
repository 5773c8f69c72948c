"""Writes families/<family>.bin: logits by `transformers` (f32, eager attention) of the tiny models in hf/, for the tests
of models/. Each file: int32 token_count, int32 vocabulary, int32 ids[token_count], float32 logits[token_count][vocabulary].

Needs: pip install torch transformers safetensors numpy
"""

import pathlib

import numpy as np
import torch
import transformers

HERE = pathlib.Path(__file__).parent
# Longer than every window of the tiny models; GPT-2 has 64 positions.
TOKEN_COUNT = {"gpt2": 60}


def main():
    (HERE / "families").mkdir(exist_ok=True)
    for folder in sorted((HERE / "hf").iterdir()):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").eval()
        count = TOKEN_COUNT.get(folder.name, 100)
        vocabulary = model.config.vocab_size
        ids = (np.arange(count, dtype=np.int64) * 7 + 3) % vocabulary
        with torch.no_grad():
            logits = model(torch.from_numpy(ids)[None], use_cache=False).logits[0].numpy()
        with open(HERE / "families" / f"{folder.name}.bin", "wb") as out:
            out.write(np.array([count, vocabulary], dtype=np.int32).tobytes())
            out.write(ids.astype(np.int32).tobytes())
            out.write(logits.astype(np.float32).tobytes())
        print(folder.name, logits.shape, float(np.abs(logits).max()), float(logits.std()))


main()
