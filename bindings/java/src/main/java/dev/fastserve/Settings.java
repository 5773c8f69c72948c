package dev.fastserve;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** What is to be written over the defaults of a struct. */
final class Settings {
    private final List<Consumer<MemorySegment>> writes = new ArrayList<>();

    void put(long offset, int value) {
        writes.add(struct -> struct.set(ValueLayout.JAVA_INT, offset, value));
    }

    void put(long offset, long value) {
        writes.add(struct -> struct.set(ValueLayout.JAVA_LONG, offset, value));
    }

    void put(long offset, float value) {
        writes.add(struct -> struct.set(ValueLayout.JAVA_FLOAT, offset, value));
    }

    boolean isEmpty() {
        return writes.isEmpty();
    }

    MemorySegment write(MemorySegment struct) {
        for (Consumer<MemorySegment> write : writes) write.accept(struct);
        return struct;
    }
}
