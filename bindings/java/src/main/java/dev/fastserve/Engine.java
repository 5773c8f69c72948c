package dev.fastserve;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.BiConsumer;

/** Runs requests of the models loaded in it, many at once, on threads of its own. Every method of every object may be
 * called by any thread. */
public final class Engine extends NativeHandle {
    final Pump pump;
    private final MemorySegment log; // in use as long as the engine is

    public Engine() {
        this(new EngineOptions());
    }

    public Engine(EngineOptions options) {
        this(open(options));
    }

    private record Opened(long handle, boolean isPumped, MemorySegment log) {}

    private Engine(Opened opened) {
        super(opened.handle, release(opened.log));
        pump = new Pump(opened.handle, opened.isPumped);
        log = opened.log;
    }

    /** Keeps the log's stub until the engine has ended. */
    private static Function release(MemorySegment log) {
        return handle -> {
            int status = Raw.fsv_engine_release(handle, MemorySegment.NULL);
            java.lang.ref.Reference.reachabilityFence(log);
            return status;
        };
    }

    private static Opened open(EngineOptions options) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment config = Raw.EngineConfig.make(arena);
            MemorySegment stub = MemorySegment.NULL;
            if (options.log != null) {
                stub = logStub(options.log);
                config.set(JAVA_INT, Raw.EngineConfig.log_level, LogLevel.INFO.number);
                config.set(ADDRESS, Raw.EngineConfig.log, stub);
            }
            options.engineConfig.write(config);
            if (options.cpus != null) {
                config.set(ADDRESS, Raw.EngineConfig.cpus, Call.ids(arena, options.cpus));
                config.set(JAVA_LONG, Raw.EngineConfig.cpu_count, options.cpus.length);
            }
            if (options.writeFolder != null) {
                Call.setText(config, Raw.EngineConfig.write_folder, Raw.EngineConfig.write_folder_size,
                    Call.bytes(arena, options.writeFolder));
            }
            MemorySegment made = arena.allocate(8, 8);
            Call.check(arena, error -> Raw.fsv_engine_create(config, made, error));
            boolean isPumped = config.get(JAVA_INT, Raw.EngineConfig.mode) == Mode.PUMPED.number;
            return new Opened(made.get(JAVA_LONG, 0), isPumped, stub);
        }
    }

    private record Log(BiConsumer<LogLevel, String> receiver) {
        // Called by the library: nothing may be thrown at it.
        void receive(MemorySegment user, int level, MemorySegment message, long size) {
            try {
                receiver.accept(LogLevel.of(level), Call.text(message, size));
            } catch (Throwable ignored) {
                // there is nobody to tell
            }
        }
    }

    private static MemorySegment logStub(BiConsumer<LogLevel, String> receiver) {
        try {
            MethodType type = MethodType.methodType(void.class, MemorySegment.class, int.class, MemorySegment.class, long.class);
            MethodHandle target = MethodHandles.lookup().bind(new Log(receiver), "receive", type);
            return Linker.nativeLinker().upcallStub(target, FunctionDescriptor.ofVoid(ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG),
                Arena.ofAuto());
        } catch (ReflectiveOperationException impossible) {
            throw new AssertionError(impossible);
        }
    }

    public Model load(String path) {
        return load(path, new LoadOptions());
    }

    public Model load(Path path, LoadOptions options) {
        return load(path.toString(), options);
    }

    /** Loads a GGUF file or a Hugging Face folder and waits for it. An interrupt of the thread cancels the load. */
    public Model load(String path, LoadOptions options) {
        return load(options, (arena, config) -> Call.setText(config, Raw.LoadConfig.path, Raw.LoadConfig.path_size,
            Call.bytes(arena, path)));
    }

    /** Loads a GGUF file in memory: the remaining bytes, which are copied. */
    public Model load(ByteBuffer file, LoadOptions options) {
        return load(options, (arena, config) -> {
            MemorySegment bytes = MemorySegment.ofBuffer(file);
            if (!bytes.isNative()) bytes = arena.allocate(bytes.byteSize(), 64).copyFrom(bytes);
            Call.setText(config, Raw.LoadConfig.buffer, Raw.LoadConfig.buffer_size, bytes);
            int flags = config.get(JAVA_INT, Raw.LoadConfig.flags);
            config.set(JAVA_INT, Raw.LoadConfig.flags, flags | LoadFlags.COPY_BUFFER.number);
        });
    }

    private interface Source {
        void write(Arena arena, MemorySegment config);
    }

    private Model load(LoadOptions options, Source source) {
        Pump.Sink sink = pump.open();
        long ticket = 0;
        try {
            ticket = begin(options, source, sink.key);
            for (boolean hasEnded = false; !hasEnded;) {
                Item item = pump.next(sink, -1);
                hasEnded = item.type() == EventType.LOAD_FINISHED;
                if (options.progress != null && item.failure() == null) {
                    options.progress.report(item.bytesDone(), item.bytesTotal());
                }
            }
            long ended = ticket;
            ticket = 0; // taking the model ends it, whatever comes of that
            return take(ended);
        } finally {
            pump.forget(sink);
            if (ticket != 0) Raw.fsv_ticket_cancel(handle, ticket, MemorySegment.NULL);
        }
    }

    private long begin(LoadOptions options, Source source, long key) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment config = options.loadConfig.write(Raw.LoadConfig.make(arena));
            source.write(arena, config);
            config.set(JAVA_LONG, Raw.LoadConfig.user_data, key);
            MemorySegment ticket = arena.allocate(8, 8);
            Call.check(arena, error -> Raw.fsv_model_load(handle, config, ticket, error));
            return ticket.get(JAVA_LONG, 0);
        }
    }

    private Model take(long ticket) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment model = arena.allocate(8, 8);
            Call.check(arena, error -> Raw.fsv_ticket_take_model(handle, ticket, model, error));
            return new Model(this, model.get(JAVA_LONG, 0));
        }
    }

    /** Stops computation between layers; requests are still taken. */
    public void pause() {
        Call.check(error -> Raw.fsv_engine_pause(handle, error));
    }

    public void resume() {
        Call.check(error -> Raw.fsv_engine_resume(handle, error));
    }

    /** Pumped engines: works for about so many microseconds; whether work is left. */
    public boolean step(long maxUs) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment more = arena.allocate(4, 4);
            Call.check(arena, error -> Raw.fsv_engine_step(handle, maxUs, more, error));
            return more.get(JAVA_INT, 0) != 0;
        }
    }

    /** Refuses new work and lets what runs finish within the time given (null: however long), then cancels it. */
    public void shutdown(Duration timeout) {
        Call.check(error -> Raw.fsv_engine_shutdown(handle, Call.microseconds(timeout), error));
    }

    /** The latency that 95 of 100 steps are to stay within, from the next step on; zero: none. */
    public void setStepTarget(Duration target) {
        Call.check(error -> Raw.fsv_engine_set_step_target(handle, Call.microseconds(target), error));
    }

    /** Of a living engine; 0: none. What it takes away goes within milliseconds, and changes no text. */
    public void setMemoryBudget(long bytes) {
        Call.check(error -> Raw.fsv_memory_set_budget(handle, bytes, error));
    }

    /** Gives memory that nobody holds back to the system, and what the flags name. */
    public void trim(TrimFlags... flags) {
        int all = 0;
        for (TrimFlags flag : flags) all |= flag.number;
        int given = all;
        Call.check(error -> Raw.fsv_memory_trim(handle, given, error));
    }

    /** Waits for the next MEMORY event of an engine with memoryEvents(1), within the time given (null: however long;
     * FastserveException.Timeout). What came while nobody waited is one event. */
    public MemoryEvent nextMemoryEvent(Duration timeout) {
        Item item = pump.next(pump.memory, timeout == null ? -1 : timeout.toNanos());
        return new MemoryEvent(item.pressure(), item.bytesDone(), item.bytesTotal());
    }

    public MemoryStats memoryStats() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment stats = Raw.MemoryStats.make(arena);
            Call.check(arena, error -> Raw.fsv_memory_get_stats(handle, stats, error));
            return MemoryStats.read(stats);
        }
    }

    public Metrics metrics() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment metrics = Raw.Metrics.make(arena);
            Call.check(arena, error -> Raw.fsv_metrics_snapshot(handle, metrics, error));
            return Metrics.read(metrics);
        }
    }

    /** Of the library in use, such as "0.1.0". */
    public static String libraryVersion() {
        return Raw.fsv_version_string().reinterpret(64).getString(0);
    }
}
