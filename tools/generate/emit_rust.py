"""Rust: fastserve-sys/src/bindings.rs (structs, constants, signatures) and fastserve/src/generated.rs (idiomatic enums)."""

import description
from emit_cpp import init_arguments, with_init
from emit_layout import BANNER

SCALARS = {"uint8_t": "u8", "int32_t": "i32", "uint32_t": "u32", "uint64_t": "u64", "size_t": "usize",
           "intptr_t": "isize", "float": "f32", "double": "f64", "char": "c_char", "void": "c_void"}
KEYWORDS = {"type", "use", "ref", "move", "match", "loop", "box"}
SIGNED_ENUMS = {"Status", "FinishReason", "LogLevel"}  # the fields that hold them are int32_t


def identifier(name):
    return f"r#{name}" if name in KEYWORDS else name


def rust_type(kind):
    if kind.callback:
        return callback_type(kind.callback)
    name = SCALARS.get(kind.name, kind.name)
    for depth in range(kind.pointers):
        name = f"*{'const' if kind.is_const and depth == 0 else 'mut'} {name}"
    if kind.array:
        size = kind.array if kind.array.isdigit() else f"{kind.array} as usize"
        return f"[{name}; {size}]"
    return name


def returns(kind):
    return "" if kind.name == "void" and not kind.pointers else f" -> {rust_type(kind)}"


def callback_type(callback):
    parameters = ", ".join(f"{identifier(item.name)}: {rust_type(item.type)}" for item in callback.parameters)
    return f'Option<unsafe extern "C" fn({parameters}){returns(callback.result)}>'


def docs(text, indent=""):
    # Brackets and angle brackets would be read as links and tags.
    escaped = text.replace("[", "\\[").replace("]", "\\]").replace("<", "\\<").replace(">", "\\>")
    return [f"{indent}/// {line}".rstrip() for line in escaped.splitlines()]


def struct_lines(struct):
    lines = ["", *docs(struct.doc), "#[repr(C)]", "#[derive(Clone, Copy)]", f"pub struct {struct.name} {{"]
    for item in struct.fields:
        lines.extend(docs(item.doc, "    "))
        lines.append(f"    pub {identifier(item.name)}: {rust_type(item.type)},")
    return [*lines, "}"]


def init_lines(api, struct):
    arguments = init_arguments(api, struct, "made.as_mut_ptr()", f"size_of::<{struct.name}>() as u32")
    return ["", f"impl Default for {struct.name} {{", "    fn default() -> Self {",
            "        let mut made = MaybeUninit::zeroed();",
            "        // SAFETY: every bit pattern of zeros is a value of this struct, and the library fills in its defaults.",
            f"        unsafe {{ {struct.name}_init({arguments}); made.assume_init() }}", "    }", "}"]


def raw(api):
    lines = [f"// {BANNER}", "#![allow(non_camel_case_types)]", "", "use std::ffi::{c_char, c_void};",
             "use std::mem::{size_of, MaybeUninit};", ""]
    lines.extend(f"pub const {item.name}: u32 = {item.value};" for item in api.constants)
    lines.extend(f"pub type {name} = {SCALARS[base]};" for name, base in api.aliases.items())
    for callback in api.callbacks:
        lines.extend(["", *docs(callback.doc), f"pub type {callback.name} = {callback_type(callback)};"])
    for handle in api.handles:
        lines.extend(["", "#[repr(C)]", f"pub struct {handle} {{", "    _private: [u8; 0],", "}"])
    for enum in api.enums:
        lines.extend(["", *(f"//{line[3:]}" for line in docs(enum.doc))])
        for member in enum.members:
            lines.extend(docs(member.doc))
            lines.append(f"pub const {member.name}: {'i32' if enum.name in SIGNED_ENUMS else 'u32'} = {member.value};")
    for struct in api.structs:
        lines.extend(struct_lines(struct))
    for struct in with_init(api):
        lines.extend(init_lines(api, struct))
    lines.extend(["", "functions! {"])
    for function in api.functions:
        parameters = ", ".join(f"{identifier(item.name)}: {rust_type(item.type)}" for item in function.parameters)
        lines.extend(docs(function.doc, "    "))
        lines.append(f"    fn {function.name}({parameters}){returns(function.result)};")
    lines.extend(["}", "", "layouts! {"])
    for struct in api.structs:
        lines.append(f"    {struct.name}: {' '.join(identifier(item.name) for item in struct.fields)};")
    return "\n".join([*lines, "}"]) + "\n"


def variant(short):
    return "".join(word.capitalize() for word in short.removeprefix("ERROR_").split("_"))


def enum_lines(enum, name, members):
    lines = ["", *docs(enum.doc), "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]", "#[non_exhaustive]",
             f"pub enum {name} {{"]
    for member in members:
        lines.extend(docs(member.doc, "    "))
        lines.append(f"    {variant(enum.short(member))},")
    lines.extend(["    /// A number that this version of the crate does not know.", "    Unknown(i32),", "}", "",
                  f"impl {name} {{", f"    pub(crate) fn from_number(number: i32) -> {name} {{", "        match number {"])
    lines.extend(f"            {member.value} => {name}::{variant(enum.short(member))}," for member in members)
    return [*lines, f"            other => {name}::Unknown(other),", "        }", "    }", "}"]


def idiomatic(api):
    status, finish = api.enums[0], next(enum for enum in api.enums if enum.name == "FinishReason")
    lines = [f"// {BANNER}"]
    lines.extend(enum_lines(status, "ErrorKind", [member for member in status.members if member.value]))
    lines.extend(enum_lines(finish, "FinishReason", finish.members))
    return "\n".join(lines) + "\n"


def with_version(api, path):
    """Cargo.toml with the header's version in it: the one place that Cargo reads it from."""
    text = (description.ROOT / path).read_text(encoding="utf-8")
    lines = [f'version = "{api.version}" # of the header, by ./dev generate' if line.startswith("version = ") else line
             for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def emit(api):
    folder = "bindings/rust"
    manifest = f"{folder}/Cargo.toml"
    return {f"{folder}/fastserve-sys/src/bindings.rs": raw(api), f"{folder}/fastserve/src/generated.rs": idiomatic(api),
            manifest: with_version(api, manifest)}
