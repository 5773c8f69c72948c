package dev.fastserve;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.StructLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;

/** Structs as C lays them out, and functions of the library. */
final class Layouts {
    private static final SymbolLookup LIBRARY = Library.open(Arena.global());

    private Layouts() {}

    /** The members with the padding that C puts between them. */
    static StructLayout struct(MemoryLayout... members) {
        List<MemoryLayout> padded = new ArrayList<>();
        long at = 0;
        long alignment = 1;
        for (MemoryLayout member : members) {
            at += pad(padded, at, member.byteAlignment());
            padded.add(member);
            at += member.byteSize();
            alignment = Math.max(alignment, member.byteAlignment());
        }
        pad(padded, at, alignment);
        return MemoryLayout.structLayout(padded.toArray(new MemoryLayout[0]));
    }

    private static long pad(List<MemoryLayout> members, long at, long alignment) {
        long missing = -at & (alignment - 1);
        if (missing > 0) members.add(MemoryLayout.paddingLayout(missing));
        return missing;
    }

    static long offset(StructLayout layout, String field) {
        return layout.byteOffset(PathElement.groupElement(field));
    }

    static MethodHandle function(String name, MemoryLayout result, MemoryLayout... parameters) {
        FunctionDescriptor type = result == null ? FunctionDescriptor.ofVoid(parameters)
            : FunctionDescriptor.of(result, parameters);
        return Linker.nativeLinker().downcallHandle(LIBRARY.find(name).orElseThrow(
            () -> new UnsatisfiedLinkError("libfastserve has no " + name + ": it is older than this package")), type);
    }

    /** A line a struct: its size, then each field with its offset and size. */
    static String describe(StructLayout[] structs) {
        StringBuilder text = new StringBuilder();
        for (StructLayout struct : structs) {
            text.append(struct.name().orElseThrow()).append('=').append(struct.byteSize());
            for (MemoryLayout member : struct.memberLayouts()) {
                if (member.name().isEmpty()) continue; // padding
                String name = member.name().get();
                text.append(' ').append(name).append('@').append(offset(struct, name)).append(':').append(member.byteSize());
            }
            text.append('\n');
        }
        return text.toString();
    }
}
