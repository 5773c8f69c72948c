#!/usr/bin/env python3
"""Writes hf_classes.inc: where the character classes inside Hugging Face `tokenizers` (0.23.3) differ from Unicode 16.0.

They come from older tables, and vocabularies were trained with them. Needs unicodedata2==16.0.0 and tokenizers.
"""
import pathlib

import unicodedata2
from tokenizers import normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ASCII_PUNCTUATION = set(map(ord, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))


def runs(name, differing):
    out, previous = [], None
    for c in sorted(differing):
        if previous is not None and c == previous + 1:
            out[-1][1] = c
        else:
            out.append([c, c])
        previous = c
    rows = ",".join(f"{{{first:#x},{last:#x}}}" for first, last in out)
    lines, line = [], ""
    for piece in rows.replace("},", "},\n").split("\n"):
        if len(line) + len(piece) > 118:
            lines.append(line)
            line = ""
        line += piece
    return [f"constexpr CodePointRange {name}[] = {{"] + lines + [line, "};"]


def categories(*wanted):
    return {c for c in CODE_POINTS if unicodedata2.category(chr(c)) in wanted}


def removed_by(normalizer):
    return {c for c in CODE_POINTS if normalizer.normalize_str(f"a{chr(c)}b") == "ab"}


punctuation = pre_tokenizers.Punctuation("isolated")
found = {c for c in CODE_POINTS if len(punctuation.pre_tokenize_str(f"a{chr(c)}a")) > 1}
lines = ["// Made by make_hf_classes.py. clang-format off"]
lines += runs("kPunctuationDiffers",
              found ^ (categories("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po") | ASCII_PUNCTUATION))
bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
lines += runs("kNonspacingMarkDiffers",
              removed_by(normalizers.BertNormalizer(**bert | {"strip_accents": True})) ^ categories("Mn"))
lines += runs("kMarkDiffers", removed_by(normalizers.StripAccents()) ^ categories("Mn", "Mc", "Me"))
lines += runs("kControlDiffers", (removed_by(normalizers.BertNormalizer(**bert | {"clean_text": True})) - {0xFFFD})
              ^ categories("Cc", "Cf", "Co"))
pathlib.Path(__file__).with_name("hf_classes.inc").write_text("\n".join(lines) + "\n")
