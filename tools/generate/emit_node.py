"""Node: c/generated.c, tables of structs and functions for the addon, and the same as TypeScript sees it: src/types.ts for
users, src/raw_functions.ts for the idiomatic part."""

import json
import re

import description
from description import pascal
from emit_cpp import init_arguments, with_init
from emit_layout import BANNER
from emit_rust import variant
from python_errors import class_name

FOLDER = "bindings/node"
SCALARS = {"uint32_t": "U32", "int32_t": "I32", "uint64_t": "U64", "size_t": "U64", "float": "F32", "double": "F64"}
# Written by hand in the addon: events, and what the library calls back.
BY_HAND = {"fsv_engine_create", "fsv_poll", "fsv_wait", "fsv_wait_handle", "fsv_session_export", "fsv_tokenize_ranges",
           "fsv_engine_read_log"}


def camel(name):
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def function_name(function):
    return camel(function.name.removeprefix("fsv_"))


def base(api, kind):
    return api.aliases.get(kind.name, kind.name)


def field_rows(api, struct):
    """(field, kind, table, field of the count) of each field that JavaScript can set or read."""
    fields = struct.fields
    for index, item in enumerate(fields):
        kind, name = item.type, base(api, item.type)
        follower = fields[index + 1] if index + 1 < len(fields) else None
        is_pair = kind.pointers == 1 and follower is not None and follower.type.name == "size_t"
        if item.name in ("struct_size", "reserved") or kind.callback:
            continue
        if kind.array:
            yield item, "NAME", None, None
        elif name == "fsv_string" and not kind.pointers:
            yield item, "STRING", None, None
        elif kind.pointers == 0 and name in SCALARS and not is_count(fields, index):
            yield item, SCALARS[name], None, None
        elif name in api.handles:
            yield item, "HANDLE", None, None
        elif is_pair:
            row = pair_kind(api, name)
            if row:
                yield item, row[0], row[1], follower
        elif kind.pointers == 1 and name in (inner.name for inner in description.settings_structs(api)):
            yield item, "STRUCT", name, None


def is_count(fields, index):
    """Of the pointer before it."""
    return index > 0 and fields[index - 1].type.pointers > 0 and fields[index].type.name == "size_t"


def pair_kind(api, name):
    if name in ("char", "void"):
        return ("TEXT" if name == "char" else "BYTES"), None
    if name == "fsv_string":
        return "STRINGS", None
    if name in ("int32_t", "uint32_t"):
        return "WORDS", None
    return ("STRUCTS", name) if api.struct(name) else None


def tables(api):
    """The structs that cross the border, inner ones first."""
    names = [struct.name for struct in description.info_structs(api)]
    names += ["fsv_logit_bias", "fsv_sampling", "fsv_beam_search", "fsv_chat_message", "fsv_engine_config",
              "fsv_load_config", "fsv_generate_config", "fsv_chat", "fsv_score_config"]
    return [api.struct(name) for name in names]


def table_lines(api, struct):
    name, lines = struct.name, []
    init = "NULL"
    if struct in with_init(api):
        init = f"init_{name}"
        arguments = init_arguments(api, struct, "made", f"sizeof({name})")
        lines.append(f"static void {init}(void* made) {{ {name}_init({arguments}); }}")
    lines.append(f"static const field fields_{name}[] = {{")
    for item, kind, table, count in field_rows(api, struct):
        inner = f"&table_{table}" if table else "NULL"
        behind = f"offsetof({name}, {count.name})" if count else "0"
        lines.append(f'    {{"{camel(item.name)}", {inner}, offsetof({name}, {item.name}), {behind}, FIELD_{kind}}},')
    storage = "" if name == "fsv_engine_config" else "static "
    return [*lines, "};", f'{storage}const struct_table table_{name} = {{"{name}", sizeof({name}), {init}, fields_{name},',
            f"    sizeof(fields_{name}) / sizeof(fields_{name}[0])}};", ""]


def parameter_kinds(api, function):
    """(kind, table) of each parameter but the error; None where the function is none for JavaScript."""
    parameters = function.parameters[:-1] if function.is_fallible else function.parameters
    kinds, known = [], {struct.name for struct in tables(api)}
    for index, item in enumerate(parameters):
        kind, name = item.type, base(api, item.type)
        follower = parameters[index + 1].name if index + 1 < len(parameters) else ""
        if item.name in ("capacity", "size", "count") and kinds and kinds[-1][0] in ("REST", "OUT_TEXT", "OUT_IDS"):
            kinds.append(("REST", None))
        elif kinds and kinds[-1][0] in ("TEXT", "IDS", "BYTES", "STRUCTS"):
            kinds.append(("REST", None))
        elif name in api.handles:
            kinds.append(("HANDLE" if kind.pointers == 1 else "OUT_HANDLE", None))
        elif kind.pointers == 0 and name in SCALARS:
            kinds.append((SCALARS[name], None))
        elif name in known:
            is_array = follower.endswith("_count")
            kinds.append(("STRUCTS" if is_array else "STRUCT" if kind.is_const else "OUT_STRUCT", name))
        elif kind.is_const:
            kinds.append(({"char": "TEXT", "void": "BYTES", "int32_t": "IDS"}[name], None))
        elif follower == "capacity":
            kinds.append(("OUT_TEXT" if name == "char" else "OUT_IDS", None))
        elif name in ("uint32_t", "uint64_t"):
            kinds.append(("OUT_U32" if name == "uint32_t" else "OUT_TAG", None))
        else:
            return None
    return parameters, kinds


MEMBERS = {"U32": "u32", "I32": "u32", "U64": "u64", "OUT_U32": "u32", "OUT_TAG": "u64"}


def argument(api, index, item, kind):
    """The C argument that a slot becomes."""
    name = base(api, item.type)
    if item.type.pointers == 0:
        member = "size" if name == "size_t" else MEMBERS.get(kind, "u64")
        return f"({item.type.name})s[{index}].{member}"
    if kind == "OUT_HANDLE":
        return f"({item.type.name}**)&s[{index}].pointer"
    if kind in ("OUT_U32", "OUT_TAG"):
        return f"&s[{index}].{MEMBERS[kind]}"
    if name == "size_t":
        return f"&s[{index}].size"
    return f"s[{index}].pointer"


def functions(api):
    """(function, parameters, kinds, kind of its own result) of those that JavaScript can call."""
    for function in api.functions:
        if function.name in BY_HAND or function.name.endswith("_init"):
            continue
        parameters, kinds = parameter_kinds(api, function) or (None, None)
        if kinds is None:
            raise ValueError(f"{function.name}: a parameter that tools/generate/emit_node.py does not know")
        result = None
        if not function.is_fallible:
            result = "OUT_NAME" if function.result.pointers else "OUT_U32"
        yield function, parameters, kinds, result


def thunk_lines(api, function, parameters, kinds, result):
    arguments = [argument(api, index, item, kinds[index][0]) for index, item in enumerate(parameters)]
    if result is None:
        lines = [f"  return {function.name}({', '.join([*arguments, 'error'])});"]
    else:
        target = f"s[{len(parameters)}].{'pointer' if result == 'OUT_NAME' else 'u32'}"
        cast = "(void*)" if result == "OUT_NAME" else ""
        lines = ["  (void)error;", f"  {target} = {cast}{function.name}({', '.join(arguments)});", "  return FSV_OK;"]
    unused = [] if arguments or result else ["  (void)s;"]
    return [f"static fsv_status call_{function.name}(slot* s, fsv_error* error) {{", *unused, *lines, "}"]


def row_lines(function, parameters, kinds, result):
    rows = [(item.name, *kind) for item, kind in zip(parameters, kinds)]
    if result is not None:
        rows.append(("value", result, None))
    inner = ", ".join(f'{{"{camel(name)}", {f"&table_{table}" if table else "NULL"}, PARAMETER_{kind}}}'
                      for name, kind, table in rows)
    name = function_name(function)
    return [f'    {{"{name}", "{name}Async", call_{function.name}, {{{inner}}}, {len(rows)}}},']


def c_source(api):
    lines = [f"/* {BANNER} */", "/* clang-format off */", "#include <stddef.h>", "", '#include "addon.h"', ""]
    for struct in tables(api):
        lines.extend(table_lines(api, struct))
    rows = []
    for row in functions(api):
        lines.extend(thunk_lines(api, *row))
        rows.extend(row_lines(*row))
    return "\n".join([*lines, "", "const function functions[] = {", *rows, "};",
                      "const size_t function_count = sizeof(functions) / sizeof(functions[0]);"]) + "\n"


# TypeScript.

FIELD_TYPES = {"U32": "number", "I32": "number", "U64": "number | bigint", "F32": "number", "F64": "number",
               "NAME": "string", "STRING": "string", "TEXT": "string", "BYTES": "Uint8Array", "STRINGS": "string[]",
               "WORDS": "ArrayLike<number>", "HANDLE": "bigint"}
PARAMETER_TYPES = {"HANDLE": "bigint", "U32": "number", "I32": "number", "U64": "number | bigint", "TEXT": "string",
                   "IDS": "ArrayLike<number>", "BYTES": "Uint8Array"}
RESULT_TYPES = {"OUT_HANDLE": "bigint", "OUT_TAG": "bigint", "OUT_U32": "number", "OUT_TEXT": "string",
                "OUT_IDS": "number[]", "OUT_NAME": "string"}


def doc(text, indent=""):
    lines = text.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"] if lines else []


def is_info(api, name):
    return any(struct.name == name for struct in description.info_structs(api))


def is_public(api, struct):
    return (is_info(api, struct.name) or struct in description.settings_structs(api)
            or struct.name == "fsv_logit_bias")


def interface_name(api, name):
    return pascal(name) if is_info(api, name) else f"{pascal(name)}Options"


def field_type(api, kind, table, is_read):
    if kind == "STRUCTS":
        return f"{interface_name(api, table)}[]"
    if kind == "STRUCT":
        return interface_name(api, table)
    return "number" if is_read and kind == "U64" else FIELD_TYPES[kind]


def member(short):
    """Of an enum: "F16", "NotFound"."""
    return variant(short)


def enum_lines(enum):
    lines = ["", *doc(enum.doc), f"export enum {enum.name} {{"]
    for item in enum.members:
        lines.extend(doc(item.doc, "  "))
        lines.append(f"  {member(enum.short(item))} = {item.value},")
    return [*lines, "}"]


def interface_lines(api, struct):
    is_read = is_info(api, struct.name)
    lines = ["", *doc(struct.doc), f"export interface {interface_name(api, struct.name)} {{"]
    for item, kind, table, _ in field_rows(api, struct):
        lines.extend(doc(item.doc, "  "))
        lines.append(f"  {camel(item.name)}{'' if is_read else '?'}: {field_type(api, kind, table, is_read)};")
    return [*lines, "}"]


def raw_lines(api):
    lines = ["", "/** The addon: functions of the C ABI. Failures are thrown. */", "export interface RawFunctions {"]
    for function, parameters, kinds, own in functions(api):
        given, results = [], []
        for item, (kind, table) in zip(parameters, kinds):
            name = camel(item.name)
            if kind in PARAMETER_TYPES:
                given.append(f"{name}: {PARAMETER_TYPES[kind]}")
            elif kind == "STRUCTS":
                given.append(f"{name}: {interface_name(api, table)}[]")
            elif kind == "STRUCT":
                given.append(f"{name}: {interface_name(api, table)} | undefined")
            elif kind != "REST":
                results.append((name, interface_name(api, table) if kind == "OUT_STRUCT" else RESULT_TYPES[kind]))
        if own:
            results.append(("value", RESULT_TYPES[own]))
        result = "void" if not results else results[0][1]
        if len(results) > 1:
            result = f"{{ {'; '.join(f'{name}: {kind}' for name, kind in results)} }}"
        name = function_name(function)
        lines.append(f"  {name}({', '.join(given)}): {result};")
        lines.append(f"  {name}Async({', '.join(given)}): Promise<{result}>;")
    return [*lines, "}"]


def error_lines(status):
    lines = []
    names = {item.value: class_name(status.short(item)) for item in status.members[1:]}
    for item in status.members[1:]:
        lines.extend(["", *doc(f"{item.doc[:1].upper()}{item.doc[1:]}."),
                      f"export class {names[item.value]} extends FastserveError {{}}"])
    lines.extend(["", "export const errorsByStatus: { [status: number]: typeof FastserveError } = {"])
    lines.extend(f"  {value}: {name}," for value, name in names.items())
    return [*lines, "};"]


def types(api):
    """What users see: enumerations, infos, settings and errors."""
    constants = {item.name: item.value for item in api.constants}
    lines = [f"// {BANNER}", "// Enumerations, infos, settings and errors of the C ABI.",
             'import { FastserveError } from "./failure";', "",
             "/** Of the header that this package was generated from. */", f'export const VERSION = "{api.version}";',
             f"export const ABI_VERSION = {constants['FSV_ABI_VERSION']};"]
    for enum in api.enums:
        lines.extend(enum_lines(enum))
    for struct in tables(api):
        if is_public(api, struct):
            lines.extend(interface_lines(api, struct))
    return "\n".join([*lines, *error_lines(api.enums[0])]) + "\n"


def raw(api):
    """The addon's functions, for the idiomatic part."""
    inner = [struct for struct in tables(api) if not is_public(api, struct)]
    body = []
    for struct in inner:
        body.extend(interface_lines(api, struct))
    names = (f"  {json.dumps(camel(item.name))}," for item, *_ in field_rows(api, api.struct("fsv_sampling")))
    body.extend(["", "/** Which settings of a request are those of its sampling. */",
                 "export const SAMPLING_NAMES: ReadonlySet<string> = new Set([", *names, "]);", *raw_lines(api)])
    words = set(re.findall(r"\w+", "\n".join(body)))
    public = sorted({interface_name(api, struct.name) for struct in tables(api) if is_public(api, struct)} & words)
    return "\n".join([f"// {BANNER}", "import type {", *(f"  {name}," for name in public), '} from "./types";', *body]) + "\n"


def with_version(api, path):
    lines = (description.ROOT / path).read_text(encoding="utf-8").splitlines()
    lines = [f'  "version": "{api.version}",' if line.startswith('  "version": ') else line for line in lines]
    return "\n".join(lines) + "\n"


def emit(api):
    manifest = f"{FOLDER}/package.json"
    return {f"{FOLDER}/c/generated.c": c_source(api), f"{FOLDER}/src/raw_functions.ts": raw(api),
            f"{FOLDER}/src/types.ts": types(api), manifest: with_version(api, manifest)}
