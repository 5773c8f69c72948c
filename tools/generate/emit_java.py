"""Java: Raw.java (layouts and functions for the foreign function interface), and a file for each public enumeration, info
and group of settings."""

import re

import description
from description import pascal
from emit_cpp import init_arguments, with_init
from emit_layout import BANNER
from emit_node import camel
from python_errors import class_name

FOLDER = "bindings/java"
PACKAGE = f"{FOLDER}/src/main/java/dev/fastserve"
LAYOUTS = {"int32_t": "JAVA_INT", "uint32_t": "JAVA_INT", "uint64_t": "JAVA_LONG", "size_t": "JAVA_LONG",
           "intptr_t": "JAVA_LONG", "float": "JAVA_FLOAT", "double": "JAVA_DOUBLE", "char": "JAVA_BYTE",
           "uint8_t": "JAVA_BYTE"}
JAVA = {"JAVA_INT": "int", "JAVA_LONG": "long", "JAVA_FLOAT": "float", "JAVA_DOUBLE": "double", "ADDRESS": "MemorySegment"}
RESERVED = {"native", "new", "default", "switch", "package", "final"}


def file_text(*lines):
    return "\n".join([f"// {BANNER}", "package dev.fastserve;", "", *lines]) + "\n"


def name_of(name):
    return f"{name}_" if name in RESERVED else name


def doc(text, indent="", parameters=()):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("*/", "*&#47;").replace("@", "&#64;")
    lines = [*escaped.splitlines(), *parameters]
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"] if lines else []


def layout(api, kind):
    """Of a field or parameter. Handles are numbers, which the library alone understands."""
    if kind.name in api.handles and kind.pointers == 1:
        return "JAVA_LONG"
    if kind.pointers or kind.callback or any(kind.name == callback.name for callback in api.callbacks):
        return "ADDRESS"
    name = api.aliases.get(kind.name, kind.name)
    return LAYOUTS.get(name) or f"{pascal(name)}.LAYOUT"


def struct_lines(api, struct):
    name = pascal(struct.name)
    lines = ["", f"    /** {struct.name}: where its fields lie. */", f"    static final class {name} {{",
             "        static final StructLayout LAYOUT = Layouts.struct("]
    values = {item.name: item.value for item in api.constants}
    rows = []
    for item in struct.fields:
        inner = layout(api, item.type)
        if item.type.array:
            inner = f"MemoryLayout.sequenceLayout({values.get(item.type.array) or int(item.type.array)}, {inner})"
        rows.append(f'            {inner}.withName("{item.name}")')
    lines.extend([",\n".join(rows) + ");"])
    lines.extend(f'        static final long {name_of(item.name)} = Layouts.offset(LAYOUT, "{item.name}");' for item in struct.fields)
    if struct in with_init(api):
        arguments = init_arguments(api, struct, "made", "(int) LAYOUT.byteSize()")
        lines.extend(["", "        static MemorySegment make(Arena arena) {",
                      "            MemorySegment made = arena.allocate(LAYOUT);", f"            {struct.name}_init({arguments});",
                      "            return made;", "        }"])
    return [*lines, "    }"]


def function_lines(api, function):
    kinds = [layout(api, item.type) for item in function.parameters]
    names = [camel(item.name) for item in function.parameters]
    result = None if function.result.name == "void" and not function.result.pointers else layout(api, function.result)
    given = ", ".join(f"{JAVA[kind]} {name}" for kind, name in zip(kinds, names))
    call = f"handle_{function.name}.invokeExact({', '.join(names)})"
    returned = f"return ({JAVA[result]}) {call}" if result else call
    descriptor = ", ".join([result or "null", *kinds])
    return ["", f'    private static final MethodHandle handle_{function.name} = Layouts.function("{function.name}", {descriptor});',
            "", f"    static {JAVA[result] if result else 'void'} {function.name}({given}) {{", "        try {",
            f"            {returned};", "        } catch (Throwable impossible) {", "            throw new AssertionError(impossible);",
            "        }", "    }"]


def raw(api):
    lines = ["import static java.lang.foreign.ValueLayout.*;", "", "import java.lang.foreign.Arena;",
             "import java.lang.foreign.MemoryLayout;", "import java.lang.foreign.MemorySegment;",
             "import java.lang.foreign.StructLayout;", "import java.lang.invoke.MethodHandle;", "",
             "/** The C ABI: layouts of structs, and functions. */", "final class Raw {", "    private Raw() {}", ""]
    lines.extend(f"    static final int {item.name.removeprefix('FSV_')} = {item.value if item.value < 2**31 else item.value - 2**32};"
                 for item in api.constants)
    for struct in api.structs:
        lines.extend(struct_lines(api, struct))
    for function in api.functions:
        lines.extend(function_lines(api, function))
    lines.extend(["", "    static final StructLayout[] STRUCTS = {"])
    lines.extend(f'        {pascal(struct.name)}.LAYOUT.withName("{struct.name}"),' for struct in api.structs)
    return file_text(*lines, "    };", "}")


def enum_file(enum):
    lines = [*doc(enum.doc), f"public enum {enum.name} {{"]
    rows = []
    for item in enum.members:
        name = enum.short(item).removeprefix("ERROR_")
        rows.append("\n".join([*doc(item.doc, "    "), f"    {name if not name[0].isdigit() else '_' + name}({item.value})"]))
    lines.append(",\n".join(rows) + ";")
    lines.extend(["", "    /** The C constant's. */", "    public final int number;", "",
                  f"    {enum.name}(int number) {{", "        this.number = number;", "    }", "",
                  f"    static {enum.name} of(int number) {{", f"        for ({enum.name} one : values()) {{",
                  "            if (one.number == number) return one;", "        }", "        return null;", "    }", "}"])
    return file_text(*lines)


def enum_of(api, item):
    """The enumeration whose members a field holds, as its comment says: "FSV_MODE_*"; flags are numbers."""
    found = re.match(r"(FSV_\w+_)\*", item.doc)
    if not found or item.name == "flags":
        return None
    named = [enum for enum in api.enums if enum.prefix == found.group(1)]
    return next((enum for enum in named if enum.name == pascal(item.name)), named[0] if named else None)


def value_type(api, item):
    return JAVA[layout(api, item.type)]


def settings_lines(api, struct, place):
    lines = []
    for item in description.settings(struct):
        enum = enum_of(api, item)
        kind, value = (enum.name, "value.number") if enum else (value_type(api, item), "value")
        offset = f"Raw.{pascal(struct.name)}.{name_of(item.name)}"
        lines.extend(["", *doc(item.doc, "    "), f"    public S {name_of(camel(item.name))}({kind} value) {{",
                      f"        {place}.put({offset}, {value});", "        return self();", "    }"])
    return lines


def settings_file(api, name, text, structs):
    lines = [f"/** {text} */", f"public abstract class {name}<S extends {name}<S>> {{"]
    for struct in structs:
        lines.append(f"    final Settings {camel(struct.name.removeprefix('fsv_'))} = new Settings();")
    lines.extend(["", f"    {name}() {{}}", "", "    abstract S self();"])
    for struct in structs:
        lines.extend(settings_lines(api, struct, camel(struct.name.removeprefix("fsv_"))))
    return file_text(*lines, "}")


def info_file(api, struct):
    name, fields = pascal(struct.name), description.info_fields(struct)
    parameters = [f"@param {name_of(camel(item.name))} {line}" for item in fields for line in [" ".join(item.doc.split())] if line]
    kinds = ["String" if item.type.array else value_type(api, item) for item in fields]
    lines = ["import java.lang.foreign.MemorySegment;", "import java.lang.foreign.ValueLayout;", "",
             *doc(struct.doc or f"What the library tells in {struct.name}.", "", [line.replace("<", "&lt;").replace(">", "&gt;") for line in parameters]),
             f"public record {name}("]
    lines.append(",\n".join(f"        {kind} {name_of(camel(item.name))}" for kind, item in zip(kinds, fields)) + ") {")
    lines.extend([f"    static {name} read(MemorySegment from) {{", f"        return new {name}("])
    reads = []
    for item in fields:
        offset = f"Raw.{name}.{name_of(item.name)}"
        reads.append(f"                from.getString({offset})" if item.type.array else
                     f"                from.get(ValueLayout.{layout(api, item.type)}, {offset})")
    return file_text(*lines, ",\n".join(reads) + ");", "    }", "}")


def exception_file(api):
    status = api.enums[0]
    lines = ["/** A call that the library refused, or an answer that failed. The message is the library's own; nested classes tell",
             " * of which kind. */", "public class FastserveException extends RuntimeException {",
             "    private static final long serialVersionUID = 1;", "    private final transient Status status;", "",
             "    FastserveException(Status status, String message) {", "        super(message);", "        this.status = status;", "    }", "",
             "    public Status status() {", "        return status;", "    }", "",
             "    static FastserveException of(int status, String message) {", "        return switch (status) {"]
    names = [(item, class_name(status.short(item)).removesuffix("Error")) for item in status.members[1:]]
    lines.extend(f"            case {item.value} -> new {name}(message);" for item, name in names)
    lines.extend(["            default -> new FastserveException(null, message);", "        };", "    }"])
    for item, name in names:
        short = status.short(item).removeprefix("ERROR_")
        lines.extend(["", *doc(f"{item.doc[:1].upper()}{item.doc[1:]}.", "    "),
                      f"    public static final class {name} extends FastserveException {{",
                      "        private static final long serialVersionUID = 1;", "",
                      f"        {name}(String message) {{", f"            super(Status.{short}, message);", "        }", "    }"])
    return file_text(*lines, "}")


def with_version(api, path):
    text = (description.ROOT / path).read_text(encoding="utf-8")
    return re.sub(r"<version>[^<]*</version><!-- of the header -->", f"<version>{api.version}</version><!-- of the header -->", text)


def checked(files):
    """No generated type has the name of one that is written by hand."""
    for name in files:
        path = description.ROOT / name
        if path.suffix == ".java" and path.is_file() and BANNER not in path.read_text(encoding="utf-8"):
            raise ValueError(f"{name} is written by hand: call the generated type otherwise (ENUM_NAMES of description.py)")
    return files


def emit(api):
    files = {f"{PACKAGE}/{enum.name}.java": enum_file(enum) for enum in api.enums}
    files.update({f"{PACKAGE}/{pascal(struct.name)}.java": info_file(api, struct) for struct in description.info_structs(api)})
    groups = (("EngineSettings", "Settings of an engine over the library's defaults.", ("fsv_engine_config",)),
              ("LoadSettings", "Settings of a load over the library's defaults.", ("fsv_load_config",)),
              ("BeamSearchSettings", "Settings of a beam search over the library's defaults.", ("fsv_beam_search",)),
              ("RequestSettings", "Settings of a request over the library's defaults; of its sampling, over the model's own.",
               ("fsv_generate_config", "fsv_sampling")))
    for name, text, structs in groups:
        files[f"{PACKAGE}/{name}.java"] = settings_file(api, name, text, [api.struct(struct) for struct in structs])
    files[f"{PACKAGE}/Raw.java"] = raw(api)
    files[f"{PACKAGE}/FastserveException.java"] = exception_file(api)
    files[f"{FOLDER}/pom.xml"] = with_version(api, f"{FOLDER}/pom.xml")
    return checked(files)
