"""The header parser sees all of the public header, and refuses what it does not understand."""

import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/generate"))
sys.dont_write_bytecode = True

import description  # noqa: E402
import header  # noqa: E402

SAMPLE = """
#ifndef FASTSERVE_H
#define FASTSERVE_H
#ifdef _WIN32
#define FSV_API nonsense(@)
#endif
#define FSV_VERSION_MAJOR 3
typedef int32_t fsv_status;
enum { FSV_KIND_A = 0, FSV_KIND_B_C = 2 }; /* not of a member */
/* Of a thing. */
typedef struct fsv_thing {
  uint32_t struct_size;
  uint32_t a, b; /* both */
  /* Before. */
  const char* text; /* Behind. */
  char name[64];
  void (*close)(void* context, void** file);
} fsv_thing;
typedef struct fsv_engine fsv_engine;
/* Does it. */
FSV_API fsv_status fsv_do(fsv_engine* engine, const fsv_thing* thing, fsv_error* error);
#endif /* FASTSERVE_H */
"""


class Sample(unittest.TestCase):
    def test_everything_is_seen(self):
        api = header.parse(SAMPLE)
        self.assertEqual([(item.name, item.value) for item in api.constants], [("FSV_VERSION_MAJOR", 3)])
        self.assertEqual([(item.name, item.value) for item in api.enums[0].members], [("FSV_KIND_A", 0), ("FSV_KIND_B_C", 2)])
        self.assertEqual((api.enums[0].prefix, api.enums[0].name, api.handles), ("FSV_KIND_", "Kind", ["fsv_engine"]))
        fields = {item.name: item for item in api.structs[0].fields}
        self.assertEqual(list(fields), ["struct_size", "a", "b", "text", "name", "close"])
        self.assertEqual((fields["b"].doc, fields["text"].doc), ("both", "Before. Behind."))
        self.assertEqual((fields["text"].type.pointers, fields["text"].type.is_const, fields["name"].type.array),
                         (1, True, "64"))
        self.assertEqual([item.type.pointers for item in fields["close"].type.callback.parameters], [1, 2])
        self.assertEqual((api.functions[0].doc, api.functions[0].is_fallible), ("Does it.", True))
        self.assertTrue(description.is_config(api, api.structs[0]))

    def test_what_is_not_understood_is_refused_with_its_line(self):
        for bad, line in (("union { int a; };", 2), ("FSV_API int fsv_f(int a[3]);", 2), ("#pragma once", 2),
                          ("enum { FSV_A_B = 1 << 2 };", 2), ("\n\nint fsv_global;", 4),
                          ("enum { FSV_A_B = FSV_C };", 2), ("FSV_API int fsv_f(int", 2)):
            with self.assertRaisesRegex(header.HeaderError, f"line {line}", msg=bad):
                header.parse("\n" + bad)


class PublicHeader(unittest.TestCase):
    def test_nothing_is_passed_over(self):
        text = (ROOT / "include/fastserve.h").read_text(encoding="utf-8")
        api = header.parse(text)
        self.assertEqual(len(api.functions), len(re.findall(r"^FSV_API ", text, re.MULTILINE)))
        self.assertEqual(len(api.structs), len(re.findall(r"^} fsv_", text, re.MULTILINE)))
        self.assertEqual(len(api.enums), len(re.findall(r"^enum \{", text, re.MULTILINE)))
        names = {name for name in re.findall(r"\bFSV_[A-Z0-9_]+\b", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))}
        known = {member.name for enum in api.enums for member in enum.members} | {item.name for item in api.constants}
        self.assertEqual(names - known, {"FSV_API"})


if __name__ == "__main__":
    unittest.main()
