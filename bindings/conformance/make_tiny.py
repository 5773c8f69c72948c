#!/usr/bin/env python3
"""Writes tiny.gguf.bin and tiny.json: a llama model of 0.1 million parameters that has learnt a few texts by heart, and
what transformers makes of them. The texts are likely by a wide margin, so that every kernel set gives the same tokens.

Needs: pip install gguf torch transformers tokenizers jinja2
"""
import json
import math
import pathlib

import gguf
import tokenizers
import torch
import transformers

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
END, IM_END = 0, 2
LAYERS, WIDTH, HEADS, KV_HEADS, HEAD_SIZE, FEED_FORWARD, CONTEXT = 2, 32, 4, 2, 8, 64, 512
MARGIN = 1.0  # of every greedy token's logit over the second
TEMPLATE = ("{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
PLAIN = ["The cat sat on the mat. The dog sat on the log.<|endoftext|>",
         "tick tock " * 16]
CHATS = [("hello", "Hello! I am a tiny model."),
         ("sing", "La la 🎵 naïve café 猫が好き Ελλάδα 🐱!"),
         ("count", "one two three four five six seven eight nine ten"),
         ("again", "one more time, with feeling")]


def chat(*messages):
    roles = ("user", "assistant")
    return "".join(f"<|im_start|>{roles[i % 2]}\n{text}<|im_end|>\n" for i, text in enumerate(messages))


def make_tokenizer():
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False,
                                             initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    words = [PLAIN[0].removesuffix(SPECIAL[END]), "user assistant tick tock"] + [text for turn in CHATS for text in turn]
    made.train_from_iterator(words, trainer)
    return made


def make_model(vocabulary):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=FEED_FORWARD, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5,
        rope_theta=10000.0, tie_word_embeddings=True, bos_token_id=END, eos_token_id=IM_END)
    return transformers.LlamaForCausalLM(config)


def train(model, samples):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    longest = max(map(len, samples))
    ids = torch.tensor([sample + [END] * (longest - len(sample)) for sample in samples])
    labels = torch.tensor([sample + [-100] * (longest - len(sample)) for sample in samples])
    for _ in range(500):
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    print("loss", loss.item())


def interleave(weight, heads):
    """From rotation of halves (transformers) to rotation of neighbours (GGUF's llama)."""
    return weight.reshape(heads, 2, HEAD_SIZE // 2, WIDTH).transpose(1, 2).reshape(weight.shape)


def write(model, tokenizer, path):
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_block_count(LAYERS)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(FEED_FORWARD)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(HEAD_SIZE)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    out.add_vocab_size(len(vocabulary))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list([text for text, _ in vocabulary])
    out.add_token_types([gguf.TokenType.CONTROL if text in SPECIAL else gguf.TokenType.NORMAL for text, _ in vocabulary])
    out.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in merges])
    out.add_bos_token_id(END)
    out.add_eos_token_id(IM_END)
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    state = model.state_dict()
    out.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    out.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    for layer in range(LAYERS):
        for theirs, ours in names.items():
            weight = state[f"model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                weight = interleave(weight, HEADS if ours == "attn_q" else KV_HEADS)
            out.add_tensor(f"blk.{layer}.{ours}.weight", weight.contiguous().numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def greedy(model, tokenizer, prompt, count):
    """Text and ids of the answer, ended by an end token (which is counted, not text) or by `count`."""
    ids = tokenizer.encode(prompt).ids
    answer = []
    while len(answer) < count:
        with torch.no_grad():
            best = model(input_ids=torch.tensor([ids + answer])).logits[0, -1].topk(2)
        if best.values[0] - best.values[1] < MARGIN:
            raise SystemExit(f"{prompt!r}: no clear margin after {tokenizer.decode(answer)!r}")
        answer.append(int(best.indices[0]))
        if answer[-1] in (END, IM_END):
            break
    kept = [token for token in answer if token >= len(SPECIAL)]
    return {"prompt": prompt, "prompt_ids": ids, "ids": answer, "text": tokenizer.decode(kept)}


def scored(model, tokenizer, prompt):
    """log p of each token after those before it, in tenths; 0 for the first."""
    ids = tokenizer.encode(prompt).ids
    with torch.no_grad():
        logprobs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    scores = [0] + [math.floor(logprobs[i, ids[i + 1]].item() * 10 + 0.5) for i in range(len(ids) - 1)]
    return {"prompt": prompt, "prompt_ids": ids, "scores": scores}


def main():
    tokenizer = make_tokenizer()
    texts = PLAIN + [chat(*turn) for turn in CHATS] + [chat(*CHATS[i], *CHATS[j]) for i in range(4) for j in range(4)]
    samples = [tokenizer.encode(text).ids for text in texts]
    model = make_model(tokenizer.get_vocab_size())
    train(model, samples)
    model.eval()
    write(model, tokenizer, HERE / "tiny.gguf.bin")
    opening = "<|im_start|>assistant\n"
    answers = {"cat": greedy(model, tokenizer, "The cat", 64), "cat_5": greedy(model, tokenizer, "The cat", 5),
               "tick": greedy(model, tokenizer, "tick tock", 40)}
    answers["unlikely"] = scored(model, tokenizer, "the user sat on a log")
    for question, answer in CHATS:
        answers[question] = greedy(model, tokenizer, chat(question) + opening, 64)
        assert answers[question]["text"] == answer, answers[question]
    first, then = CHATS[0], CHATS[2][0]
    answers["hello_count"] = greedy(model, tokenizer, chat(*first, then) + opening, 64)
    (HERE / "tiny.json").write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


main()
