"""Python: _raw.py (ctypes structs and signatures) and _types.py (enumerations, settings, infos)."""

import textwrap

import description
import python_errors
from emit_layout import BANNER

SCALARS = {"uint8_t": "c_uint8", "int32_t": "c_int32", "uint32_t": "c_uint32", "uint64_t": "c_uint64",
           "size_t": "c_size_t", "intptr_t": "c_ssize_t", "float": "c_float", "double": "c_double", "char": "c_char"}
KINDS = {"float": "float", "double": "float"}


def ctype(api, kind, is_parameter=False):
    if kind.callback:
        return function_type(api, kind.callback)
    name = api.aliases.get(kind.name, kind.name)
    if kind.pointers == 0:
        return f"ctypes.{SCALARS[name]}" if name in SCALARS else name
    if name in api.handles or name == "void":
        inner, depth = "ctypes.c_void_p", kind.pointers - 1
    elif name == "char" and kind.is_const and is_parameter:
        inner, depth = "ctypes.c_char_p", kind.pointers - 1
    else:
        inner, depth = f"ctypes.{SCALARS[name]}" if name in SCALARS else name, kind.pointers
    for _ in range(depth):
        inner = f"ctypes.POINTER({inner})"
    return inner


def result_type(api, kind):
    if kind.name == "void" and kind.pointers == 0:
        return "None"
    return ctype(api, kind, is_parameter=True)


def function_type(api, callback):
    kinds = [result_type(api, callback.result), *(ctype(api, item.type) for item in callback.parameters)]
    return f"ctypes.CFUNCTYPE({', '.join(kinds)})"


def one_line(text):
    return " ".join(text.split())


def doc_comment(text, indent=""):
    lines = []
    for line in text.splitlines():
        lines.extend(textwrap.wrap(line, 118 - len(indent), initial_indent=f"{indent}# ",
                                   subsequent_indent=f"{indent}# "))
    return lines


def struct_lines(api, struct):
    lines = ["", "", f"class {struct.name}(ctypes.Structure):", "    _fields_ = ["]
    for item in struct.fields:
        kind = ctype(api, item.type)
        count = item.type.array.removeprefix("FSV_")
        lines.append(f'        ("{item.name}", {kind}{f" * {count}" if count else ""}),')
    return [*lines, "    ]"]


def raw(api):
    lines = [f"# {BANNER}", '"""The C ABI as ctypes sees it: structs and signatures, names and all."""', "",
             "import ctypes", "from typing import Any", "",
             *(f"{item.name.removeprefix('FSV_')} = {item.value}" for item in api.constants), "",
             *(f"{callback.name} = {function_type(api, callback)}" for callback in api.callbacks)]
    for struct in api.structs:
        lines.extend(struct_lines(api, struct))
    names = ", ".join(struct.name for struct in api.structs)
    lines.extend(["", "", "STRUCTS: list[type[ctypes.Structure]] = ["])
    lines.extend(textwrap.wrap(names, 116, initial_indent="    ", subsequent_indent="    "))
    lines.extend(["]", "# Name: result, parameters.", "FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {"])
    for function in api.functions:
        kinds = ", ".join(ctype(api, item.type, is_parameter=True) for item in function.parameters)
        lines.append(f'    "{function.name}": ({result_type(api, function.result)}, [{kinds}]),')
    lines.extend(["}", "", "", "def load(path: str) -> ctypes.CDLL:",
                  '    """Opens the shared library and declares every function of it. Calls release the GIL."""',
                  "    library = ctypes.CDLL(path)", "    for name, (result, parameters) in FUNCTIONS.items():",
                  "        function = getattr(library, name)", "        function.restype = result",
                  "        function.argtypes = parameters", "    return library"])
    return "\n".join(lines) + "\n"


def enum_lines(enum):
    lines = ["", "", f"class {enum.name}(enum.IntEnum):"]
    lines.extend(doc_comment(enum.doc, "    "))
    for member in enum.members:
        lines.append(f"    {enum.short(member)} = {member.value}{f'  # {one_line(member.doc)}' if member.doc else ''}")
    return lines


def options_lines(struct):
    lines = ["", "", f"class {description.pascal(struct.name)}Options(TypedDict, total=False):"]
    for item in description.settings(struct):
        lines.extend(doc_comment(item.doc, "    "))
        lines.append(f"    {item.name}: {KINDS.get(item.type.name, 'int')}")
    return lines


def info_lines(struct):
    lines = ["", "", "@dataclasses.dataclass(frozen=True)", f"class {description.pascal(struct.name)}:"]
    for item in description.info_fields(struct):
        lines.extend(doc_comment(item.doc, "    "))
        lines.append(f"    {item.name}: {'str' if item.type.array else KINDS.get(item.type.name, 'int')}")
    return lines


def public_names(api):
    names = [enum.name for enum in api.enums]
    names += [f"{description.pascal(struct.name)}Options" for struct in description.settings_structs(api)]
    names += [description.pascal(struct.name) for struct in description.info_structs(api)]
    return ["__all__ = [", *textwrap.wrap(", ".join(f'"{name}"' for name in sorted(names)), 116,
                                          initial_indent="    ", subsequent_indent="    "), "]"]


def types(api):
    lines = [f"# {BANNER}", '"""Enumerations, settings and infos of the C ABI, as Python types."""', "",
             "import dataclasses", "import enum", "from typing import TypedDict", "",
             f'VERSION = "{api.version}"']
    lines.extend(public_names(api))
    for enum in api.enums:
        lines.extend(enum_lines(enum))
    for struct in description.settings_structs(api):
        lines.extend(options_lines(struct))
    for struct in description.info_structs(api):
        lines.extend(info_lines(struct))
    return "\n".join(lines) + "\n"


def emit(api):
    folder = "bindings/python/src/fastserve"
    return {f"{folder}/_raw.py": raw(api), f"{folder}/_types.py": types(api),
            f"{folder}/_errors.py": python_errors.emit(api)}
