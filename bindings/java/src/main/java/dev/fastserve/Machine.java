package dev.fastserve;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** What can be asked without an engine: devices, the machine, what a model's file holds and what it would take. */
public final class Machine {
    private Machine() {}

    /** Devices of a kind on this machine; asking for CUDA's loads its driver, where there is one. */
    public static List<DeviceInfo> devices(DeviceKind kind) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment count = arena.allocate(4, 4);
            Call.check(arena, error -> Raw.fsv_device_count(kind.number, count, error));
            List<DeviceInfo> devices = new ArrayList<>();
            for (int i = 0; i < count.get(JAVA_INT, 0); ++i) {
                MemorySegment info = Raw.DeviceInfo.make(arena);
                int index = i;
                Call.check(arena, error -> Raw.fsv_device_get_info(kind.number, index, info, error));
                devices.add(DeviceInfo.read(info));
            }
            return devices;
        }
    }

    /** What the library found out about this machine; measures nothing. */
    public static MachineInfo info() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = Raw.MachineInfo.make(arena);
            Call.check(arena, error -> Raw.fsv_machine_probe(info, error));
            return MachineInfo.read(info);
        }
    }

    /** Ceilings of this machine, measured for the time given on so many threads (0: as many as an engine has). */
    public static MachineCeilings measure(int threadCount, Duration duration) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment ceilings = Raw.MachineCeilings.make(arena);
            int durationMs = (int) duration.toMillis();
            Call.check(arena, error -> Raw.fsv_machine_measure(threadCount, durationMs, ceilings, error));
            return MachineCeilings.read(ceilings);
        }
    }

    /** Reads a file's header and says what it holds. */
    public static ModelInfo inspect(String path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = Raw.ModelInfo.make(arena);
            MemorySegment bytes = Call.bytes(arena, path);
            Call.check(arena, error -> Raw.fsv_model_inspect(bytes, bytes.byteSize(), info, error));
            return ModelInfo.read(info);
        }
    }

    /** All metadata and tensors of a file, as one JSON object. */
    public static String inspectJson(String path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = Call.bytes(arena, path);
            return Call.fillText(arena, (buffer, capacity, size, error) ->
                Raw.fsv_model_inspect_json(bytes, bytes.byteSize(), buffer, capacity, size, error));
        }
    }

    /** Which kernels of this processor serve which tensors of a file, as one JSON object. */
    public static String planJson(String path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = Call.bytes(arena, path);
            return Call.fillText(arena, (buffer, capacity, size, error) ->
                Raw.fsv_model_plan_json(bytes, bytes.byteSize(), buffer, capacity, size, error));
        }
    }

    /** What the model would take in an engine of these settings, loaded with those. */
    public static MemoryEstimate estimate(String path, EngineOptions engine, LoadOptions load) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment loadConfig = load.loadConfig.write(Raw.LoadConfig.make(arena));
            MemorySegment engineConfig = engine.engineConfig.write(Raw.EngineConfig.make(arena));
            MemorySegment estimate = Raw.MemoryEstimate.make(arena);
            Call.setText(loadConfig, Raw.LoadConfig.path, Raw.LoadConfig.path_size, Call.bytes(arena, path));
            Call.check(arena, error -> Raw.fsv_model_estimate(loadConfig, engineConfig, estimate, error));
            return MemoryEstimate.read(estimate);
        }
    }
}
