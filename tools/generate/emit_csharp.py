"""C#: Fastserve.cs, one file to drop into a project: the C ABI, and behind it the hand-written parts."""

import description
from description import pascal
from emit_cpp import init_arguments, with_init
from emit_layout import BANNER
from emit_rust import variant

SCALARS = {"int32_t": "int", "uint32_t": "uint", "uint64_t": "ulong", "float": "float", "double": "double",
           "size_t": "UIntPtr", "intptr_t": "IntPtr"}
PARTS = ("Interop.cs", "Events.cs", "Machine.cs", "Engine.cs", "Model.cs", "Session.cs", "Generation.cs")
INTRODUCTION = """// Its idiomatic parts are written by hand in src/.
//
// fastserve for C#: language models in your own process. One file over the native library, for .NET, Mono and Unity.
// Objects may be used from any thread and disposed of in any order, also twice. What is called afterwards throws
// FastserveException with Status.Stale.
namespace Fastserve
{
    using System;
    using System.Runtime.InteropServices;
    using System.Text;"""
PLAIN = {"fsv_string": "Utf8", "fsv_error": "RawError", "fsv_event": "RawEvent", "fsv_logprob": "TokenLogprob"}


def struct_name(name):
    return PLAIN.get(name, pascal(name))


def exported(name):
    return "".join(word.capitalize() for word in name.split("_"))


def field_type(api, kind):
    if kind.pointers or kind.callback or api_callback(api, kind):
        return "IntPtr"
    name = api.aliases.get(kind.name, kind.name)
    return SCALARS.get(name) or struct_name(name)


def api_callback(api, kind):
    return any(callback.name == kind.name for callback in api.callbacks)


def summary(text, indent):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return [f"{indent}/// {line}".rstrip() for line in f"<summary>{escaped}</summary>".splitlines()] if text else []


def enum_lines(enum):
    lines = ["", *summary(enum.doc, "    "), f"    public enum {enum.name}", "    {"]
    for member in enum.members:
        lines.extend(summary(member.doc, "        "))
        lines.append(f"        {variant(enum.short(member))} = {member.value},")
    return [*lines, "    }"]


def array_size(api, kind):
    values = {item.name: item.value for item in api.constants}
    return values.get(kind.array) or int(kind.array)


def struct_lines(api, struct, has_init):
    name = struct_name(struct.name)
    lines = ["", *summary(struct.doc, "    "), "    [StructLayout(LayoutKind.Sequential)]", f"    public struct {name}", "    {"]
    for item in struct.fields:
        lines.extend(summary(item.doc, "        "))
        if item.type.array:
            lines.append(f"        [MarshalAs(UnmanagedType.ByValArray, SizeConst = {array_size(api, item.type)})]")
            lines.append(f"        public byte[] {exported(item.name)};")
        else:
            lines.append(f"        public {field_type(api, item.type)} {exported(item.name)};")
    if has_init:
        arguments = init_arguments(api, struct, "out made", f"(uint)Marshal.SizeOf(typeof({name}))")
        lines.extend(["", "        /// <summary>With the library's defaults.</summary>", f"        public static {name} Default()",
                      "        {", f"            {name} made;", f"            Native.{struct.name}_init({arguments});",
                      "            return made;", "        }"])
    return [*lines, "    }"]


def parameter(api, function, item):
    kind = item.type
    name = f"@{item.name}"
    is_init = function.name.endswith("_init")
    if kind.name == "fsv_error":
        return f"ref RawError {name}"
    if kind.pointers == 0:
        return f"{field_type(api, kind)} {name}"
    struct = api.struct(kind.name)
    if struct is not None and kind.pointers == 1:
        is_array = any(other.name == "capacity" or other.name.endswith("_count") for other in function.parameters)
        if is_array:
            return f"IntPtr {name}"
        return f"{'out' if is_init else 'ref'} {struct_name(kind.name)} {name}"
    if kind.name in api.handles and kind.pointers == 2:
        return f"out IntPtr {name}"
    scalar = SCALARS.get(api.aliases.get(kind.name, kind.name))
    if scalar and not kind.is_const and item.name in ("count", "size", "more", "ticket", "request", "handle", "attributes"):
        return f"out {scalar} {name}"
    return f"IntPtr {name}"


def function_lines(api, function):
    parameters = ", ".join(parameter(api, function, item) for item in function.parameters)
    kind = function.result
    result = "IntPtr" if kind.pointers else "void" if kind.name == "void" else field_type(api, kind)
    return ["        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]",
            f"        internal static extern {result} {function.name}({parameters});"]


def field_size(api, kind):
    if kind.array:
        return str(array_size(api, kind))
    name = field_type(api, kind)
    return "IntPtr.Size" if name in ("IntPtr", "UIntPtr") else f"Marshal.SizeOf(typeof({name}))"


def layout_lines(api):
    lines = ["", "        internal static string Layout()", "        {", "            var text = new StringBuilder();"]
    for struct in api.structs:
        name = struct_name(struct.name)
        lines.append(f'            text.Append("{struct.name}=" + Marshal.SizeOf(typeof({name})));')
        for item in struct.fields:
            lines.append(f'            text.Append(" {item.name}@" + Marshal.OffsetOf(typeof({name}), '
                         f'"{exported(item.name)}") + ":" + {field_size(api, item.type)});')
        lines.append('            text.Append("\\n");')
    return [*lines, "            return text.ToString();", "        }"]


def emit(api):
    folder = "bindings/csharp"
    inits = {struct.name for struct in with_init(api)}
    lines = []
    for enum in api.enums:
        lines.extend(enum_lines(enum))
    for struct in api.structs:
        lines.extend(struct_lines(api, struct, struct.name in inits))
    lines.extend(["", "    /// <summary>The C ABI.</summary>", "    internal static class Native", "    {",
                  '        private const string Library = "fastserve";',
                  f'        internal const string Version = "{api.version}";'])
    for function in api.functions:
        lines.extend(function_lines(api, function))
    lines.extend([*layout_lines(api), "    }"])
    parts = [(description.ROOT / folder / "src" / name).read_text(encoding="utf-8") for name in PARTS]
    return {f"{folder}/Fastserve.cs": "\n".join([f"// {BANNER}", INTRODUCTION, *lines, "}\n", *parts])}
