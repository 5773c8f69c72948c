"""abi_test.py LIBRARY: what programs of an earlier header rely on is still so. Compares each frozen header of tests/abi with
the public one, and where abidiff is installed its symbols with those of LIBRARY."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tools/generate"))
sys.dont_write_bytecode = True

import header  # noqa: E402

VERSION = ("FSV_VERSION_MAJOR", "FSV_VERSION_MINOR", "FSV_VERSION_PATCH")


def numbers(api):
    found = {member.name: member.value for enum in api.enums for member in enum.members}
    return found | {item.name: item.value for item in api.constants if item.name not in VERSION}


def shape(kind):
    """A type without the names that a callback's parameters have."""
    if kind.callback is None:
        return kind
    return replace(kind, callback=(shape(kind.callback.result), *(shape(item.type) for item in kind.callback.parameters)))


def signatures(functions):
    return {item.name: (shape(item.result), *(shape(part.type) for part in item.parameters)) for item in functions}


def changed(what, old, new):
    for name, value in old.items():
        if name not in new:
            yield f"{what} {name} is gone"
        elif new[name] != value:
            yield f"{what} {name} was {value}, is {new[name]}"


def struct_problems(old, new):
    for struct in old.structs:
        now = new.struct(struct.name)
        if now is None:
            yield f"struct {struct.name} is gone"
            continue
        # A spare field may be put to use: its name changes, its place and type do not.
        for index, item in enumerate(struct.fields):
            after = now.fields[index] if index < len(now.fields) else None
            if after is None or shape(after.type) != shape(item.type) or item.name not in (after.name, "reserved"):
                yield (f"struct {struct.name}: where {item.name} was there is now {after.name if after else 'nothing'}"
                       " (fields are only added at the end)")
                break
        if len(now.fields) > len(struct.fields) and not struct.has_size and struct.name != "fsv_event":
            yield f"struct {struct.name} grew, but has no struct_size"


def problems(old, new):
    yield from changed("constant", numbers(old), numbers(new))
    yield from changed("type", old.aliases, new.aliases)
    yield from changed("function", signatures(old.functions), signatures(new.functions))
    yield from changed("callback", signatures(old.callbacks), signatures(new.callbacks))
    yield from struct_problems(old, new)


def symbols_are_there(frozen, library):
    if shutil.which("abidiff") is None:
        return "abidiff is not installed: symbols not compared"
    # Without debug information both sides have symbols alone. Bit 8: an incompatible change.
    done = subprocess.run(["abidiff", "--no-architecture", frozen, library], capture_output=True, text=True)
    if done.returncode & 8 or done.returncode & 3:
        sys.exit(f"abidiff {frozen.name} {library}: {done.returncode}\n{done.stdout}{done.stderr}")
    return "abidiff: no symbol is gone"


def self_check(api):
    """The comparison finds what it is there to find."""
    text = (ROOT / "include/fastserve.h").read_text(encoding="utf-8")
    for before, after in (("FSV_ERROR_STALE = 8", "FSV_ERROR_STALE = 80"), ("uint64_t bytes_done;", "uint32_t bytes_done;"),
                          ("fsv_session_undo(fsv_session* session,", "fsv_session_undo(fsv_engine* session,"),
                          ("void (*close)(void* context, void* file);", "void (*close)(void* context);")):
        assert before in text, before
        assert list(problems(api, header.parse(text.replace(before, after)))), f"not noticed: {after}"


def main():
    new = header.parse((ROOT / "include/fastserve.h").read_text(encoding="utf-8"))
    self_check(new)
    for folder in sorted(HERE.glob("v*")):
        old = header.parse((folder / "fastserve.h").read_text(encoding="utf-8"))
        found = list(problems(old, new))
        if found:
            sys.exit("\n".join([f"{folder.name}: programs compiled with its header would break:", *found,
                                "if this is meant, while the ABI version is 0: ./dev build && tests/abi/freeze.sh"]))
        print(f"{folder.name}: {len(old.functions)} functions, {len(old.structs)} structs as they were;",
              symbols_are_there(folder / "libfastserve.abi", sys.argv[1]))


main()
