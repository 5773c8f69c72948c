#!/usr/bin/env python3
"""Writes unicode_categories.inc: the general category of every code point, as runs.

Needs `pip install unicodedata2==16.0.0` (Unicode 16.0, the version of the regex engine inside Hugging Face
`tokenizers` 0.2x). Each entry is start << 5 | category, categories numbered as in unicode.h.
"""
import pathlib

import unicodedata2

ORDER = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()

entries = []
previous = None
for code_point in range(0x110000):
    category = ORDER.index(unicodedata2.category(chr(code_point)))
    if category != previous:
        entries.append(code_point << 5 | category)
        previous = category

lines = [f"// Made by make_unicode_categories.py from Unicode {unicodedata2.unidata_version}. clang-format off"]
row = ""
for entry in entries:
    piece = f"{entry:#x},"
    if len(row) + len(piece) > 118:
        lines.append(row)
        row = ""
    row += piece
lines.append(row)
pathlib.Path(__file__).with_name("unicode_categories.inc").write_text("\n".join(lines) + "\n")
