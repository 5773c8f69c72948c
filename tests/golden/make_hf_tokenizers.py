#!/usr/bin/env python3
"""Writes hf_tokenizers/: small tokenizer.json files of many kinds and what Hugging Face `tokenizers` (0.23.3) makes of
tokenizer/corpus.txt with them.

Usage: make_hf_tokenizers.py <folder with the models of `./dev models`>; needs tokenizers, sentencepiece and protobuf.
<name>.json       the tokenizer, its vocabulary trained on the corpus
<name>.txt        for each line of the corpus 24 bits of a hash of its ids and 16 bits of one of its offsets (in characters,
                  see aligned)
<name>_decode.txt for each of 300 rows of ids (see random_ids) 24 bits of a hash of the text
components.json   normalisers, pre-tokenisers and decoders one by one, with a hash for every 16 lines of the corpus
"""
import base64
import json
import pathlib
import sys
import tempfile

import tokenizer_corpus
from make_tokenizer import GPT2, LLAMA3, QWEN2, fnv1a
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).with_name("hf_tokenizers")
CLIP = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TRAIN = dict(show_progress=False)


def words(values):
    return b"".join(value.to_bytes(4, "little") for value in values)


def aligned(tokenizer, line):
    """Whether the normaliser keeps characters one to one. Where it does not, `tokenizers` takes a composed character for
    its first part alone, and an inserted one for its neighbour: no offsets to compare with."""
    if tokenizer.normalizer is None:
        return True
    normal = tokenizer.normalizer.normalize_str(line)
    if normal.startswith("▁") and not line.startswith((" ", "▁")):
        normal = normal[1:]
    return len(normal) == len(line) and all(b in (a, a.lower(), "▁", " ") for a, b in zip(line, normal))


def exact(tokens, offsets, line):
    """Offsets of the characters that byte tokens belong to, where `tokenizers` gives them those of a whole run."""
    offsets, i = list(offsets), 0
    while i < len(tokens):
        start, end = offsets[i]
        count = len(line[start:end].encode())
        if tokens[i] in BYTES and offsets[i:i + count] == [(start, end)] * count:
            offsets[i:i + count] = [(at, at + 1) for at in range(start, end) for _ in line[at].encode()]
            i += count
        else:
            i += 1
    return offsets


def digest(tokenizer, line):
    encoding, plain = tokenizer.encode(line), tokenizer.encode(line, add_special_tokens=False)
    ids = f"{fnv1a(words(encoding.ids)) & 0xFFFFFF:06x}"
    if not aligned(tokenizer, line):
        return f"{ids} ----"
    before = tokenizer.encode("0").ids.index(tokenizer.encode("0", add_special_tokens=False).ids[0])
    flat = [0, 0] * before
    offsets = exact(plain.tokens, plain.offsets, line)
    for token, (start, end), after in zip(plain.tokens, offsets, offsets[1:] + [(-1, -1)]):
        inserted = token in ("▁", "Ġ") and start == after[0]
        flat += [start, start if inserted else end]  # a space that was put before a text stands for none of it
    flat += [len(line)] * (2 * (len(encoding) - len(plain) - before))
    return f"{ids} {fnv1a(words(flat)) & 0xFFFF:04x}"


def special(*texts, **options):
    return [AddedToken(text, special=True, normalized=False, **options) for text in texts]


def alphabet():
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def train(tokenizer, trainer, lines):
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def without(name, value):
    """The model's JSON with an option set that training does not keep."""
    def change(tokenizer):
        data = json.loads(tokenizer.to_str())
        data["model"][name] = value
        return Tokenizer.from_str(json.dumps(data))
    return change


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(lines, steps, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet(), **TRAIN), lines)


def template(single, *tokens):
    return processors.TemplateProcessing(single=single, special_tokens=list(tokens))


def llama3(lines):
    tokenizer = byte_level(lines, [split(LLAMA3), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = without("ignore_merges", True)(tokenizer)
    tokenizer.add_special_tokens(special("<|begin_of_text|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        template("<|begin_of_text|> $A", ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>")))])
    return tokenizer


def qwen2(lines):
    tokenizer = byte_level(lines, [split(QWEN2), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)],
                           normalizers.NFC())
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.add_tokens([AddedToken("</table>", normalized=False), AddedToken("##ing", normalized=False)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def gpt2(lines):
    tokenizer = byte_level(lines, [pre_tokenizers.Digits(individual_digits=True),
                                   pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
    tokenizer.add_special_tokens(special("<|endoftext|>"))
    tokenizer.add_tokens([AddedToken("  ", normalized=True), AddedToken("fox", single_word=True, rstrip=True)])
    return tokenizer


def roberta(lines):
    tokenizer = byte_level(lines, [pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens(special("<s>", "<pad>", "</s>", "<unk>") + special("<mask>", lstrip=True))
    pair = lambda text: (text, tokenizer.token_to_id(text))
    tokenizer.post_processor = processors.RobertaProcessing(pair("</s>"), pair("<s>"), trim_offsets=False,
                                                            add_prefix_space=False)
    return tokenizer


def clip(lines):
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                                 normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(CLIP, "removed", True),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet(), end_of_word_suffix="</w>",
                                  special_tokens=special("<|startoftext|>", "<|endoftext|>"), **TRAIN)
    return train(tokenizer, trainer, lines)


def sentencepiece_bpe(lines, prepared, normalizer, pre_tokenizer, decoder):
    """Trained with byte tokens and an alphabet too small for the corpus."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=900, limit_alphabet=150, special_tokens=["<unk>", "<s>", "</s>"] + BYTES,
                                  **TRAIN)
    train(tokenizer, trainer, prepared(lines))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < 3]
    data["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    else:
        data = json.loads(tokenizer.to_str())
        data["pre_tokenizer"] = None
        tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.decoder = decoder
    return tokenizer


def marked(lines):
    return [line.replace(" ", "▁") for line in lines]


def llama2(lines):
    tokenizer = sentencepiece_bpe(
        lines, lambda lines: ["▁" + line for line in marked(lines)],
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None,
        decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
    tokenizer.post_processor = template("<s> $A", ("<s>", 1))
    return tokenizer


def gemma(lines):
    tokenizer = sentencepiece_bpe(
        lines, marked, normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]))
    tokenizer.add_special_tokens(special("<start_of_turn>", "<end_of_turn>"))
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("\t\t", "▁▁▁", "<h1>", "[multimodal]")])
    tokenizer.post_processor = template("<s> $A", ("<s>", 1))
    return tokenizer


def precompiled():
    """SentencePiece's compiled rules for a few replacements."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    rules = {"ﬁ": "fi", "ﬀ": "ff", "①": "1", "…": "...", "\u3000": " ", "\u00a0": " ", "\u00ad": "", "é": "e", "e\u0301": "é",
             "が": "か\u3099", "Ⅷ": "VIII", "ｶ": "カ", "\ufeff": " ", "½": "1/2", "가": "나", "👍": "+", "\t": " "}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.tsv").write_text("".join(
            " ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n" for a, b in rules.items()))
        (folder / "text.txt").write_text("\n".join(tokenizer_corpus.SENTENCES[:4] * 9))
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text.txt"), model_prefix=str(folder / "m"), vocab_size=120, character_coverage=0.98,
            normalization_rule_tsv=str(folder / "rules.tsv"), minloglevel=2, hard_vocab_limit=False)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((folder / "m.model").read_bytes())
    data = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()}
    probe = Tokenizer(models.BPE())
    return Tokenizer.from_str(json.dumps(json.loads(probe.to_str()) | {"normalizer": data})).normalizer


def unigram(lines, normalizer, pre_tokenizer, **options):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.UnigramTrainer(vocab_size=700, unk_token="<unk>", max_piece_length=10, **options, **TRAIN)
    return train(tokenizer, trainer, [line for line in lines if ord(max(line, default="a")) < 0x180 and "<" not in line])


def t5(lines):
    tokenizer = unigram(lines, precompiled(), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
                        special_tokens=["<pad>", "</s>", "<unk>"])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = template("$A </s>", ("</s>", 1))
    return tokenizer


def xlnet(lines):
    tokenizer = unigram(
        lines, normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.Nmt(),
                                     normalizers.NFKD(), normalizers.StripAccents(), normalizers.Strip(True, False),
                                     normalizers.Replace(Regex(" {2,}"), " ")]),
        pre_tokenizers.Metaspace(prepend_scheme="first"), special_tokens=["<unk>", "<s>", "</s>", "<cls>", "<sep>"] + BYTES)
    data = json.loads(tokenizer.to_str())
    data["model"]["byte_fallback"] = True
    data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < 5]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    tokenizer.post_processor = template("$A <sep> <cls>", ("<sep>", 4), ("<cls>", 3))
    return tokenizer


def bert(lines):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    train(tokenizer, trainers.WordPieceTrainer(vocab_size=800, limit_alphabet=200,
                                               special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], **TRAIN), lines)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def subword(lines):
    """BPE over characters with affixes on both sides, unknown ones not fused, and a normalised added token."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    train(tokenizer, trainers.BpeTrainer(vocab_size=600, limit_alphabet=100, special_tokens=["[UNK]"],
                                         continuing_subword_prefix="##", end_of_word_suffix="</w>", **TRAIN), lines)
    tokenizer.add_tokens([AddedToken("don't", normalized=True), AddedToken("jumps", normalized=True, lstrip=True)])
    return tokenizer


def wordlevel(lines):
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("merged_with_previous"),
                                                       pre_tokenizers.CharDelimiterSplit(" ")])
    return train(tokenizer, trainers.WordLevelTrainer(vocab_size=400, special_tokens=["<unk>"], **TRAIN), lines)


TOKENIZERS = [llama3, qwen2, gpt2, roberta, clip, llama2, gemma, t5, xlnet, bert, subword, wordlevel]


def random_ids(tokenizer):
    """Bytes above 0x7F would make text that is no UTF-8, which `tokenizers` decodes in a way of its own."""
    state, count = 1, tokenizer.get_vocab_size()
    high = {tokenizer.token_to_id(text) for text in BYTES[128:]} - {None}
    for _ in range(300):
        ids = []
        for _ in range(12):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            ids.append((state >> 8) % count)
            ids[-1] -= 128 if ids[-1] in high else 0
        yield ids


def decoded(tokenizer, ids):
    return f"{fnv1a(tokenizer.decode(ids, skip_special_tokens=False).encode()) & 0xFFFFFF:06x}"


def write_json(path, tokenizer):
    path.write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")))


def write(name, rows):
    (OUT / name).write_text("\n".join(rows) + "\n")


def blocks(lines, bytes_of):
    return " ".join(f"{fnv1a(b''.join(bytes_of(line) for line in lines[i:i + 16])) & 0xFFFF:04x}" for i in range(0, len(lines), 16))


def component_json(component):
    """How the component stands in a tokenizer.json."""
    probe = Tokenizer(models.BPE())
    kind = {normalizers.Normalizer: "normalizer", pre_tokenizers.PreTokenizer: "pre_tokenizer", decoders.Decoder: "decoder"}
    name = next(name for base, name in kind.items() if isinstance(component, base))
    setattr(probe, name, component)
    return name, json.loads(probe.to_str())[name]


def components(lines):
    N, P = normalizers, pre_tokenizers
    rows = []
    for normalizer in [N.NFC(), N.NFD(), N.NFKC(), N.NFKD(), N.Lowercase(), N.Strip(True, False), N.Strip(False, True), N.Strip(),
                       N.StripAccents(), N.Sequence([N.NFD(), N.StripAccents()]), N.Nmt(), N.Prepend("▁"), N.Prepend("ab"),
                       N.Replace(" ", "▁"), N.Replace("a", ""), N.Replace(Regex(r"\s+"), " "), N.Replace(Regex(r"[aeiou]|\d"), "<>"),
                       N.BertNormalizer(), N.BertNormalizer(clean_text=False, lowercase=False),
                       N.BertNormalizer(handle_chinese_chars=False, strip_accents=False), N.ByteLevel(), precompiled(),
                       N.Sequence([N.Lowercase(), N.NFKC(), N.Strip()])]:
        rows.append((normalizer, lambda line, n=normalizer: (n.normalize_str(line) + "\n").encode()))
    patterns = [P.ByteLevel(add_prefix_space=True), P.ByteLevel(add_prefix_space=False, use_regex=False), P.BertPreTokenizer(),
                P.Whitespace(), P.WhitespaceSplit(), P.CharDelimiterSplit(","), P.Digits(), P.Digits(individual_digits=True),
                P.FixedLength(3), P.Metaspace(), P.Metaspace(prepend_scheme="never"), P.Metaspace(prepend_scheme="first", split=False),
                P.Metaspace("_"), P.Split(" ", "merged_with_previous"), P.Sequence([P.WhitespaceSplit(), P.Metaspace(), P.Digits()]),
                P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(), P.Digits()])]
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    patterns += [P.Punctuation(behavior) for behavior in behaviors]
    patterns += [split(pattern, behavior, invert) for pattern in (r"\s+|\d", r"(?i)[a-f]+\b|^.|x*$") for behavior in behaviors
                 for invert in (False, True)]
    patterns += [split(pattern) for pattern in (GPT2, LLAMA3, QWEN2, r"\p{Han}+|\p{Cyrillic}|(?<=a)b|\w\W", r"[^\s\p{P}]+|[[:alpha:]]")]
    for pre_tokenizer in patterns:
        def pieces(line, p=pre_tokenizer):
            return "".join(text + "\n" for text, _ in p.pre_tokenize_str(line)).encode() + b"\n"
        rows.append((pre_tokenizer, pieces))
    D = decoders
    tokens = ["▁the", "a", "<0xE2>", "<0x82>", "<0xAC>", "##ing", ".", "'s", "foo</w>", "▁", "▁▁", "Ġx", "Ċ", " y ", "n't", "<s>", "é", "do not"]
    for decoder in [D.ByteLevel(), D.WordPiece(), D.WordPiece("##", cleanup=False), D.Metaspace(), D.Metaspace(prepend_scheme="never"),
                    D.BPEDecoder(), D.BPEDecoder("o</w>"), D.Fuse(), D.Replace("▁", " "), D.Replace(Regex(r"[a-e]+"), "-"), D.Strip(" ", 1, 1),
                    D.Strip("▁", 1, 0), D.Sequence([D.Replace("▁", " "), D.Fuse(), D.Strip(" ", 2, 0)])]:
        def texts(line, d=decoder):  # as many tokens as the line has bytes, by their values, and one more
            chain = [tokens[byte % len(tokens)] for byte in line.encode()] + ["foo</w>"]
            return d.decode(chain).encode() + b"\n"
        rows.append((decoder, texts))
    out = []
    for component, bytes_of in rows:
        kind, data = component_json(component)
        out.append(json.dumps({"kind": kind, "component": data, "blocks": blocks(lines, bytes_of)}, ensure_ascii=False))
    (OUT / "components.json").write_text('{"decoder_tokens": ' + json.dumps(tokens, ensure_ascii=False) + ', "components": [\n'
                                         + ",\n".join(out) + "\n]}\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    only = sys.argv[2:]
    OUT.mkdir(exist_ok=True)
    lines = tokenizer_corpus.lines()
    if not only or "components" in only:
        components(lines)
    for make in TOKENIZERS + [None]:
        name = make.__name__ if make else "minilm"
        if only and name not in only:
            continue
        # Training differs from run to run: a tokenizer that is there stays (delete the file to make it anew).
        path = folder / "all-minilm-l6-v2" / "tokenizer.json" if name == "minilm" else OUT / f"{name}.json"
        if not path.exists():
            write_json(path, make(lines))
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        write(f"{name}.txt", [digest(tokenizer, line) for line in lines])
        write(f"{name}_decode.txt", [decoded(tokenizer, ids) for ids in random_ids(tokenizer)])
        print(name, tokenizer.get_vocab_size())


if __name__ == "__main__":
    main()
