package dev.fastserve;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** Calls of fallible functions, and their arguments. */
final class Call {
    static final long UNLIMITED = -1; // as an unsigned number, the largest

    private Call() {}

    interface Function {
        int run(MemorySegment error);
    }

    /** A function of (array, capacity, &count). */
    interface Fill {
        int run(MemorySegment array, long capacity, MemorySegment count, MemorySegment error);
    }

    static void check(Arena arena, Function function) {
        MemorySegment error = arena.allocate(Raw.Error.LAYOUT);
        int status = function.run(error);
        if (status != 0) throw failure(status, error);
    }

    static void check(Function function) {
        try (Arena arena = Arena.ofConfined()) {
            check(arena, function);
        }
    }

    static FastserveException failure(int status, MemorySegment error) {
        return failure(status, error.asSlice(Raw.Error.message), error.get(ValueLayout.JAVA_INT, Raw.Error.message_size));
    }

    static FastserveException failure(int status, MemorySegment message, long size) {
        String text = size > 0 ? text(message, size) : Raw.fsv_status_name(status).reinterpret(64).getString(0);
        return FastserveException.of(status, text);
    }

    static String text(MemorySegment bytes, long size) {
        if (size == 0) return "";
        return new String(bytes.reinterpret(size).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
    }

    /** Bytes of a text in UTF-8, in native memory. */
    static MemorySegment bytes(Arena arena, String text) {
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        MemorySegment block = arena.allocate(encoded.length + 1L);
        MemorySegment.copy(encoded, 0, block, ValueLayout.JAVA_BYTE, 0, encoded.length);
        return block.asSlice(0, encoded.length);
    }

    static MemorySegment ids(Arena arena, int[] ids) {
        MemorySegment block = arena.allocate(4L * ids.length + 4, 4);
        MemorySegment.copy(ids, 0, block, ValueLayout.JAVA_INT, 0, ids.length);
        return block.asSlice(0, 4L * ids.length);
    }

    /** Asks for the size, then for the array. */
    static MemorySegment fill(Arena arena, long elementSize, Fill function) {
        MemorySegment count = arena.allocate(8, 8);
        check(arena, error -> function.run(MemorySegment.NULL, 0, count, error));
        long needed = count.get(ValueLayout.JAVA_LONG, 0);
        MemorySegment array = arena.allocate(Math.max(1, needed) * elementSize, 8);
        check(arena, error -> function.run(array, needed, count, error));
        return array.asSlice(0, count.get(ValueLayout.JAVA_LONG, 0) * elementSize);
    }

    static int[] fillIds(Arena arena, Fill function) {
        return fill(arena, 4, function).toArray(ValueLayout.JAVA_INT);
    }

    static String fillText(Arena arena, Fill function) {
        MemorySegment bytes = fill(arena, 1, function);
        return text(bytes, bytes.byteSize());
    }

    static void setText(MemorySegment struct, long pointer, long size, MemorySegment bytes) {
        struct.set(ValueLayout.ADDRESS, pointer, bytes);
        struct.set(ValueLayout.JAVA_LONG, size, bytes.byteSize());
    }

    static void setString(MemorySegment struct, long offset, MemorySegment bytes) {
        setText(struct, offset + Raw.String.data, offset + Raw.String.size, bytes);
    }

    static long microseconds(Duration timeout) {
        return timeout == null ? UNLIMITED : Math.max(0, timeout.toNanos() / 1000);
    }
}
