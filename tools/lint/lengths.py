"""Length of files and functions, as a ratchet: what is too long stands in lengths_baseline.json and may only shrink.

lengths.py            check
lengths.py --update   lower the baseline to today's lengths, drop what is short now (never raises or adds)
"""

import ast
import json
import sys

from common import C_SUFFIXES, ROOT, finish, is_generated, is_golden_data, read, repository_files
from functions import c_functions

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
BASELINE = ROOT / "tools/lint/lengths_baseline.json"
EXEMPT = {"include/fastserve.h", "tests/abi/v0/fastserve.h"}  # the whole public ABI in one file, on purpose
CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh", ".cmake", ".rs", ".go", ".java", ".cs", ".ts", ".js"}


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def measure():
    """{name: lines} of everything above its limit; a function is named path:function."""
    long = {}
    for path in repository_files():
        name = path.as_posix()
        if path.suffix not in CODE_SUFFIXES or name in EXEMPT or is_golden_data(path):
            continue
        text = read(path)
        if is_generated(text):
            continue
        lines = len(text.splitlines())
        if lines > FILE_LINES_MAX:
            long[name] = lines
        functions = c_functions(text) if path.suffix in C_SUFFIXES else (
            python_functions(text) if path.suffix == ".py" else [])
        for function, length in functions:
            if length > FUNCTION_LINES_MAX:
                key = f"{name}:{function}"
                long[key] = max(length, long.get(key, 0))
    return long


def main():
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    long = measure()
    if "--update" in sys.argv[1:]:
        kept = {name: min(lines, long[name]) for name, lines in baseline.items() if name in long}
        BASELINE.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
        baseline = kept
    problems = []
    for name, lines in sorted(long.items()):
        limit = FUNCTION_LINES_MAX if ":" in name else FILE_LINES_MAX
        if name not in baseline:
            problems.append(f"{name}: {lines} lines, more than {limit}: split it")
        elif lines > baseline[name]:
            problems.append(f"{name}: grew from {baseline[name]} to {lines} lines; it may only shrink")
    finish("lengths", problems)


if __name__ == "__main__":
    main()
