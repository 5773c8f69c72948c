package dev.fastserve;

import java.util.function.BiConsumer;

/** Settings of an engine: {@code new EngineOptions().threadCount(4).prefixCache(1)}. */
public final class EngineOptions extends EngineSettings<EngineOptions> {
    BiConsumer<LogLevel, String> log;
    int[] cpus;
    String writeFolder;

    @Override
    EngineOptions self() {
        return this;
    }

    /** Receives the library's lines, on its threads: it must not call the library. Level INFO unless told. */
    public EngineOptions log(BiConsumer<LogLevel, String> receiver) {
        log = receiver;
        return this;
    }

    /** Numbers of the CPUs that the library's threads may run on. */
    public EngineOptions cpus(int... numbers) {
        cpus = numbers;
        return this;
    }

    /** The one folder that the library may write into; none unless told. */
    public EngineOptions writeFolder(String folder) {
        writeFolder = folder;
        return this;
    }
}
