"""Python: _errors.py, an exception class for each status."""

import textwrap

from emit_layout import BANNER

# Built-in exceptions that a Python programmer would catch as well.
BUILT_IN = {"INVALID_ARGUMENT": "ValueError", "OUT_OF_MEMORY": "MemoryError", "BUDGET_TOO_SMALL": "MemoryError",
            "NOT_FOUND": "LookupError", "UNSUPPORTED": "NotImplementedError", "TIMEOUT": "builtins.TimeoutError",
            "CONTEXT_TOO_LONG": "ValueError"}


def class_name(short):
    return "".join(word.capitalize() for word in short.removeprefix("ERROR_").split("_")) + "Error"


def emit(api):
    statuses = [member for member in api.enums[0].members if member.value != 0]
    names = {member.value: class_name(api.enums[0].short(member)) for member in statuses}
    lines = [f"# {BANNER}", '"""Exceptions: one class for each status of the C ABI, all under FastserveError."""', "",
             "import builtins", "", "from ._types import Status", "", "", "class FastserveError(Exception):",
             '    """A refused call. `status` says of which kind; the text is the library\'s own: what, and where."""', "",
             "    status: Status = Status.OK"]
    for member in statuses:
        short = api.enums[0].short(member)
        bases = ["FastserveError", BUILT_IN.get(short.removeprefix("ERROR_"), "")]
        lines.extend(["", "", f"class {names[member.value]}({', '.join(base for base in bases if base)}):",
                      f'    """{member.doc[:1].upper()}{member.doc[1:]}."""', "", f"    status = Status.{short}"])
    public = ", ".join(f'"{name}"' for name in ("FastserveError", *sorted(names.values())))
    lines.extend(["", "", "__all__ = [", *textwrap.wrap(public, 116, initial_indent="    ", subsequent_indent="    "), "]"])
    lines.extend(["", "BY_STATUS: dict[int, type[FastserveError]] = {",
                  *(f"    {value}: {name}," for value, name in names.items()), "}"])
    return "\n".join(lines) + "\n"
