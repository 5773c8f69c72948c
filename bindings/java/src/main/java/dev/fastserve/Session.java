package dev.fastserve;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/** A text that is kept between requests, with what was computed of it: requests name it in their options. */
public final class Session extends NativeHandle {
    private final Model model;

    Session(Model model, long handle) {
        super(handle, value -> Raw.fsv_session_release(value, MemorySegment.NULL));
        this.model = model;
    }

    public Model model() {
        return model;
    }

    /** A session of the whole text; what is computed of it is shared. */
    public Session fork() {
        return fork(Call.UNLIMITED);
    }

    /** A session of the first tokens of the text. */
    public Session fork(long tokenCount) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment made = arena.allocate(8, 8);
            Call.check(arena, error -> Raw.fsv_session_fork(handle, tokenCount, made, error));
            return new Session(model, made.get(JAVA_LONG, 0));
        }
    }

    public void truncate(long tokenCount) {
        Call.check(error -> Raw.fsv_session_truncate(handle, tokenCount, error));
    }

    /** Takes the last turn back. */
    public void undo() {
        Call.check(error -> Raw.fsv_session_undo(handle, error));
    }

    /** Writes the file `name` of the engine's write folder. Blocks. */
    public void save(String name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = Call.bytes(arena, name);
            Call.check(arena, error -> Raw.fsv_session_save(handle, bytes, bytes.byteSize(), 0, error));
        }
    }

    /** What an export writes, one piece after the other. */
    private static final class Bytes {
        private byte[] all;
        private int size;

        // Called by the library: nothing may be thrown at it.
        int append(MemorySegment context, MemorySegment data, long count, long total) {
            try {
                if (all == null) all = new byte[Math.toIntExact(total)];
                MemorySegment.copy(data.reinterpret(count), JAVA_BYTE, 0, all, size, (int) count);
                size += (int) count;
                return 0;
            } catch (Throwable failure) {
                return Status.OUT_OF_MEMORY.number;
            }
        }
    }

    /** The same as bytes, for {@link Model#importSession}. Blocks. */
    public byte[] export() {
        Bytes bytes = new Bytes();
        try (Arena arena = Arena.ofConfined()) {
            MethodType type = MethodType.methodType(int.class, MemorySegment.class, MemorySegment.class, long.class, long.class);
            MethodHandle target = MethodHandles.lookup().bind(bytes, "append", type);
            MemorySegment write = Linker.nativeLinker().upcallStub(target,
                FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_LONG, JAVA_LONG), arena);
            Call.check(arena, error -> Raw.fsv_session_export(handle, 0, write, MemorySegment.NULL, error));
            return bytes.all;
        } catch (ReflectiveOperationException impossible) {
            throw new AssertionError(impossible);
        }
    }

    public SessionInfo info() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = Raw.SessionInfo.make(arena);
            Call.check(arena, error -> Raw.fsv_session_get_info(handle, info, error));
            return SessionInfo.read(info);
        }
    }

    public int[] tokenIds() {
        try (Arena arena = Arena.ofConfined()) {
            return Call.fillIds(arena, (ids, capacity, count, error) ->
                Raw.fsv_session_get_tokens(handle, ids, capacity, count, error));
        }
    }
}
