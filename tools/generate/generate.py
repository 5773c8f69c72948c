#!/usr/bin/env python3
"""./dev generate: writes the raw layer of every binding from include/fastserve.h.

generate.py           write what differs
generate.py --check   write nothing; ends with 1 and the names of the files that differ
"""

import sys

sys.dont_write_bytecode = True
import emit_cpp  # noqa: E402
import emit_csharp  # noqa: E402
import emit_go  # noqa: E402
import emit_java  # noqa: E402
import emit_layout  # noqa: E402
import emit_node  # noqa: E402
import emit_python  # noqa: E402
import emit_rust  # noqa: E402
import header  # noqa: E402
from description import ROOT  # noqa: E402


def outputs(api):
    """{path: text} of every generated file."""
    files = {"bindings/conformance/layout.c": emit_layout.emit(api)}
    for emitter in (emit_cpp, emit_csharp, emit_go, emit_java, emit_node, emit_python, emit_rust):
        files.update(emitter.emit(api))
    return files


def orphans(files):
    """Generated files of types that the header has no more: Java has one a type."""
    for path in sorted((ROOT / emit_java.PACKAGE).glob("*.java")):
        name = path.relative_to(ROOT).as_posix()
        if name not in files and emit_layout.BANNER in path.read_text(encoding="utf-8"):
            yield path


def main():
    is_check = sys.argv[1:] == ["--check"]
    try:
        api = header.parse((ROOT / "include/fastserve.h").read_text(encoding="utf-8"))
    except header.HeaderError as error:
        sys.exit(f"include/fastserve.h: {error}")
    stale = 0
    files = outputs(api)
    for path in orphans(files):
        stale += 1
        print(f"{path.relative_to(ROOT)}: {'should be gone' if is_check else 'removed'}", file=sys.stderr)
        if not is_check:
            path.unlink()
    for name, text in files.items():
        path = ROOT / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        print(f"{name}: {'differs from what ./dev generate writes' if is_check else 'written'}", file=sys.stderr)
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    sys.exit(1 if is_check and stale else 0)


main()
