#!/usr/bin/env python3
"""Writes gguf_tokenizers/: GGUF files that hold nothing but a tokenizer, with its arrays as llama.cpp's conversion writes
them, and what their makers' own libraries make of tokenizer/corpus.txt.

Needs: pip install gguf tokenizers sentencepiece protobuf
unigram.gguf, unigram_bytes.gguf ("t5", with and without byte tokens): ids by SentencePiece
wordpiece.gguf ("bert"): ids with [CLS] and [SEP] by Hugging Face `tokenizers`
<name>.txt: for each line of the corpus 24 bits of a hash of its ids
"""
import pathlib
import tempfile

import gguf
import sentencepiece
import tokenizer_corpus
from make_hf_tokenizers import fnv1a, words
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).with_name("gguf_tokenizers")
RULES = {"ﬁ": "fi", "…": "...", "\u3000": " ", "\u00a0": " ", "\u00ad": "", "e\u0301": "é", "①": "1", "\ufeff": " ", "\t": " ",
         "が": "か\u3099", "ab": "a", "abc": "xyz"}
TYPES = {1: gguf.TokenType.NORMAL, 2: gguf.TokenType.UNKNOWN, 3: gguf.TokenType.CONTROL, 4: gguf.TokenType.USER_DEFINED,
         5: gguf.TokenType.UNUSED, 6: gguf.TokenType.BYTE}


def writer(name, model, tokens, types):
    out = gguf.GGUFWriter(OUT / f"{name}.gguf.bin", "llama")
    out.add_tokenizer_model(model)
    out.add_token_list(tokens)
    out.add_token_types(types)
    return out


def finish(out, name, rows):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    (OUT / f"{name}.txt").write_text("\n".join(f"{fnv1a(words(ids)) & 0xFFFFFF:06x}" for ids in rows) + "\n")
    print(name, len(rows))


def unigram(name, lines, byte_fallback):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.tsv").write_text("".join(
            " ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n" for a, b in RULES.items()))
        (folder / "text.txt").write_text("\n".join(line for line in lines if ord(max(line, default="a")) < 0x180 and "\0" not in line))
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text.txt"), model_prefix=str(folder / "m"), vocab_size=700, character_coverage=0.999,
            normalization_rule_tsv=str(folder / "rules.tsv"), minloglevel=2, byte_fallback=byte_fallback, unk_id=2, bos_id=-1,
            eos_id=1, pad_id=0, hard_vocab_limit=False, num_threads=1)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((folder / "m.model").read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    out = writer(name, "t5", [piece.piece for piece in model.pieces], [TYPES[piece.type] for piece in model.pieces])
    out.add_token_scores([piece.score for piece in model.pieces])
    out.add_add_space_prefix(model.normalizer_spec.add_dummy_prefix)
    out.add_remove_extra_whitespaces(model.normalizer_spec.remove_extra_whitespaces)
    out.add_precompiled_charsmap(model.normalizer_spec.precompiled_charsmap)
    out.add_unk_token_id(2)
    out.add_eos_token_id(1)
    out.add_pad_token_id(0)
    finish(out, name, [processor.encode(line) for line in lines])


def wordpiece(lines):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # GGUF cannot tell "##" before U+2581 from the beginning of a word.
    lines, all_lines = [line for line in lines if "▁" not in line], lines
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=800, limit_alphabet=200, special_tokens=special,
                                                                   show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.encode_special_tokens = True
    vocabulary = tokenizer.get_vocab()
    names = sorted(vocabulary, key=vocabulary.get)
    tokens = [name if name in special else name[2:] if name.startswith("##") else "▁" + name for name in names]
    types = [gguf.TokenType.CONTROL if name in special else gguf.TokenType.NORMAL for name in names]
    out = writer("wordpiece", "bert", tokens, types)
    for name, key in (("[UNK]", "unk"), ("[CLS]", "bos"), ("[SEP]", "eos"), ("[PAD]", "pad")):
        getattr(out, f"add_{key}_token_id")(vocabulary[name])
    finish(out, "wordpiece", [tokenizer.encode(line).ids for line in all_lines])


def main():
    OUT.mkdir(exist_ok=True)
    lines = tokenizer_corpus.lines()
    unigram("unigram", lines, False)
    unigram("unigram_bytes", lines, True)
    wordpiece(lines)


if __name__ == "__main__":
    main()
