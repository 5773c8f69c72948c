#!/usr/bin/env python3
"""Goldens of the tokenizers over tokenizer/corpus.txt, by Hugging Face `tokenizers` (0.23.3) and SentencePiece.

Usage: make_tokenizer.py <folder with the models of `./dev models`>; needs tokenizers, gguf,
transformers, torch, accelerate, sentencepiece and protobuf.
A golden file has one line for each line of the corpus: the number of ids and their FNV-1a hash (of 32-bit little-endian
words). splits_* hash the ends of the pieces, in bytes.
"""
import json
import pathlib
import re
import sys

import gguf
import tokenizer_corpus
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).with_name("tokenizer")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX")
UPPER, LOWER = (rf"[{c}\p{{Lm}}\p{{Lo}}\p{{M}}&&[^\p{{Han}}]]" for c in (r"\p{Lu}\p{Lt}", r"\p{Ll}"))
KIMI = (r"[\p{Han}]+" + "".join(rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}{a}{LOWER}{b}{CONTRACTIONS}?" for a, b in ("*+", "+*"))
        + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES)


def fnv1a(data):
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def digest(values):
    return f"{len(values)} {fnv1a(b''.join(v.to_bytes(4, 'little') for v in values)):08x}"


def write(name, rows):
    (OUT / name).write_text("\n".join(rows) + "\n")
    print(name, len(rows))


def piece_ends(pre_tokenizer, line):
    ends, total = [], 0
    for piece, _ in pre_tokenizer.pre_tokenize_str(line):
        total += len(piece.encode())
        ends.append(total)
    return ends


def encode_all(tokenizer, lines):
    return [digest(tokenizer.encode(line, add_special_tokens=False).ids) for line in lines]


def gguf_fields(path):
    reader = gguf.GGUFReader(path)
    return lambda key: reader.fields["tokenizer.ggml." + key].contents()


def smollm2(folder, lines):
    field = gguf_fields(folder / "smollm2-135m-instruct-q4_1.gguf")
    tokens, types = field("tokens"), field("token_type")
    merges = [tuple(merge.split(" ")) for merge in field("merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    # transformers' conversion of the GGUF file loses the digits; this is the original's.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    write("smollm2.txt", encode_all(tokenizer, lines))

    rows, state = [], 1
    for _ in range(400):  # decoding of ids at random: bytes that are no UTF-8
        ids = []
        for _ in range(12):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            ids.append(17 + (state >> 8) % (300 if len(rows) % 2 else len(tokens) - 17))
        text = tokenizer.decode(ids, skip_special_tokens=False).encode()
        rows.append(f"{len(text)} {fnv1a(text):08x}")
    write("smollm2_decode.txt", rows)

    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                  for t, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL])
    write("smollm2_special.txt", encode_all(tokenizer, lines))


def splits(lines):
    split = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")
    for name, pre_tokenizer in {
        "gpt2": split(GPT2),
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), split(GPT2)]),
        "llama3": split(LLAMA3),
        "qwen2": split(QWEN2),
        "gpt4o": split(CASED.replace("SUFFIX", CONTRACTIONS + "?") + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES),
        "tekken": split(CASED.replace("SUFFIX", "") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES),
        "qwen35": split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACES),
        "kimi": split(KIMI),
        "deepseek_v3": pre_tokenizers.Sequence([
            split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"),
            split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                  r"| ?[\p{P}\p{S}]+[\r\n]*" + SPACES)]),
        "falcon": pre_tokenizers.Sequence(
            [pre_tokenizers.Punctuation("contiguous"), split(GPT2), split("[0-9][0-9][0-9]")]),
    }.items():
        write(f"splits_{name}.txt", [digest(piece_ends(pre_tokenizer, line)) for line in lines])


def tiny(lines):
    """Small vocabularies trained on the corpus: tokens in order of their ids, an empty line, merges."""
    for name, pattern, ignore_merges in (("llama3", LLAMA3, True), ("qwen2", QWEN2, False)):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = None if ignore_merges else normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                      show_progress=False)
        tokenizer.train_from_iterator(lines, trainer)
        trained = json.loads(tokenizer.to_str())["model"]
        vocabulary = trained["vocab"]
        if ignore_merges:  # words that no merge leads to
            for word in ["Ġjumps", "Ġexhaustiva", "identifier", "ĠÑĩÐ°Ñİ", "--force", "123", "ĠXylophon"]:
                vocabulary.setdefault(word, len(vocabulary))
        tokenizer.model = models.BPE(vocabulary, [tuple(merge) for merge in trained["merges"]], ignore_merges=ignore_merges)
        tokens = sorted(vocabulary, key=vocabulary.get)
        rows = tokens + [""] + [" ".join(merge) for merge in trained["merges"]]
        (OUT / f"tiny_{name}_vocabulary.txt").write_text("\n".join(rows) + "\n")
        write(f"tiny_{name}.txt", encode_all(tokenizer, lines))


def sentencepiece_processor(field):
    """SentencePiece itself, over a model put together again from the GGUF file's arrays."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    for token, score, kind in zip(field("tokens"), field("scores"), field("token_type")):
        piece = model.pieces.add()
        piece.piece = token.replace(" ", "\u2581") if kind == gguf.TokenType.USER_DEFINED else token
        piece.score = score
        piece.type = 2 if token == "<unk>" else kind
    model.trainer_spec.model_type = 2  # BPE
    model.trainer_spec.byte_fallback = True
    for name in ("unk", "bos", "eos", "pad"):
        key = {"unk": "unknown", "pad": "padding"}.get(name, name) + "_token_id"
        setattr(model.trainer_spec, name + "_id", field(key))
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def gemma(folder, lines):
    """Gemma 3 by SentencePiece; transformers' conversion of the GGUF file must agree.

    The two differ on runs of more than 31 spaces alone, which the conversion merges instead of matching.
    """
    from transformers import AutoTokenizer

    name = "gemma-3-270m-q4_k_m.gguf"
    field = gguf_fields(folder / name)
    processor = sentencepiece_processor(field)
    control = sorted((t for t, kind in zip(field("tokens"), field("token_type")) if kind == gguf.TokenType.CONTROL),
                     key=len, reverse=True)
    pattern = re.compile("(" + "|".join(map(re.escape, control)) + ")")

    def encode_special(line):
        ids = []
        for i, part in enumerate(pattern.split(line)):
            ids += [processor.piece_to_id(part)] if i % 2 else processor.encode(part)
        return ids

    converted = AutoTokenizer.from_pretrained(folder, gguf_file=name).backend_tokenizer
    for special, encode in ((True, encode_special), (False, processor.encode)):
        converted.encode_special_tokens = not special
        for line in lines:
            same = encode(line) == converted.encode(line, add_special_tokens=False).ids
            assert same or " " * 32 in line, line
        write("gemma3_special.txt" if special else "gemma3.txt", [digest(encode(line)) for line in lines])


def main():
    folder = pathlib.Path(sys.argv[1])
    OUT.mkdir(exist_ok=True)
    lines = tokenizer_corpus.lines()
    (OUT / "corpus.txt").write_bytes("\n".join(lines).encode() + b"\n")
    smollm2(folder, lines)
    splits(lines)
    tiny(lines)
    gemma(folder, lines)


if __name__ == "__main__":
    main()
