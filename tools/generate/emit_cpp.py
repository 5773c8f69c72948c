"""C++: fastserve_types.hpp, the structs of the C header with constructors that fill in the defaults."""

from description import pascal
from emit_layout import BANNER


def init_arguments(api, struct, instance, size):
    """The arguments of a struct's init function, whatever it takes beside the struct."""
    function = next(item for item in api.functions if item.name == f"{struct.name}_init")
    return ", ".join([instance, size][: len(function.parameters)])


def with_init(api):
    names = {function.name for function in api.functions}
    return [struct for struct in api.structs if f"{struct.name}_init" in names]


def emit(api):
    lines = [f"// {BANNER}", "// Structs of fastserve.h with the library's defaults in them.", "#pragma once",
             "#include <fastserve.h>", "", "namespace fsv {", ""]
    for struct in with_init(api):
        arguments = init_arguments(api, struct, "this", f"sizeof({struct.name})")
        lines.extend([f"struct {pascal(struct.name)} : {struct.name} {{",
                      f"  {pascal(struct.name)}() noexcept {{ {struct.name}_init({arguments}); }}", "};"])
    lines.extend(["", "}  // namespace fsv"])
    return {"bindings/cpp/include/fastserve_types.hpp": "\n".join(lines) + "\n"}
