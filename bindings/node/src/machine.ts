// What can be asked without an engine: devices, the machine, what a model's file holds and what it would take.
import { raw } from "./raw";
import {
  DeviceInfo, DeviceKind, EngineConfigOptions, LoadConfigOptions, MachineCeilings, MachineInfo, MemoryEstimate, ModelInfo,
} from "./types";

/** Those of a kind on this machine; asking for CUDA's loads its driver, where there is one. */
export async function devices(kind: DeviceKind | number = DeviceKind.Cpu): Promise<DeviceInfo[]> {
  const count = await raw.deviceCountAsync(kind);
  return Promise.all(Array.from({ length: count }, (_, index) => raw.deviceGetInfoAsync(kind, index)));
}

/** What the library found out about this machine; measures nothing. */
export function machine(): MachineInfo {
  return raw.machineProbe();
}

/** Ceilings of this machine, measured for `durationMs` on so many threads (0: as many as an engine has). */
export function measureMachine(threadCount = 0, durationMs = 500): Promise<MachineCeilings> {
  return raw.machineMeasureAsync(threadCount, durationMs);
}

/** Reads a file's header and says what it holds. */
export function inspect(path: string): Promise<ModelInfo> {
  return raw.modelInspectAsync(path);
}

/** All metadata and tensors of a file, as one JSON object. */
export function inspectJson(path: string): Promise<string> {
  return raw.modelInspectJsonAsync(path);
}

/** Which kernels of this processor serve which tensors of a file, as one JSON object. */
export function planJson(path: string): Promise<string> {
  return raw.modelPlanJsonAsync(path);
}

/** What the model would take in an engine of these settings, loaded with those of `load`. */
export function estimate(
  path: string,
  engine: EngineConfigOptions = {},
  load: Omit<LoadConfigOptions, "path" | "buffer" | "userData"> = {},
): Promise<MemoryEstimate> {
  return raw.modelEstimateAsync({ ...load, path }, engine);
}
