import { Handle } from "./handle";
import { Model } from "./model";
import { Pump } from "./pump";
import { makeError, microseconds, raw } from "./raw";
import {
  EngineConfigOptions, EventType, LoadConfigOptions, LoadFlags, LogLevel, MemoryStats, Metrics, Mode, Status,
} from "./types";

/** Settings of an engine, all optional: those of fsv_engine_config, and the log. */
export interface EngineOptions extends EngineConfigOptions {
  /** Receives the library's lines, on the event loop; `logLevel` is LogLevel.Info unless told. */
  log?: (level: LogLevel, line: string) => void;
}

/** Settings of a load, all optional: those of fsv_load_config, and these. */
export interface LoadOptions extends Omit<LoadConfigOptions, "path" | "buffer" | "userData"> {
  /** Called as it goes; what it throws cancels the load. */
  onProgress?: (bytesDone: number, bytesTotal: number) => void;
  /** Cancels the load, which rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What went or came back for want of memory. */
export interface MemoryEvent {
  /** PressureFlags, combined. */
  pressure: number;
  usedBytes: number;
  /** 0: none. */
  budgetBytes: number;
}

/** Runs requests of the models loaded in it, many at once, on threads of its own. */
export class Engine extends Handle {
  /** @internal */
  readonly pump: Pump;
  private ending: Promise<void> | undefined;

  constructor(options: EngineOptions = {}) {
    const { log, ...config } = options;
    const pump = new Pump(config.mode === Mode.Pumped);
    if (log !== undefined) config.logLevel ??= LogLevel.Info;
    const { handle, events } = raw.engineOpen(config, (arrived, failure) => pump.deliver(arrived, failure), log);
    pump.start(handle, events);
    super(handle, () => void release(handle));
    this.pump = pump;
  }

  /** Loads a GGUF file, a Hugging Face folder, or a GGUF file in memory (it is copied). */
  async load(source: string | Uint8Array, options: LoadOptions = {}): Promise<Model> {
    return new Model(this, await this.loadHandle(source, options));
  }

  private async loadHandle(source: string | Uint8Array, options: LoadOptions): Promise<bigint> {
    const { onProgress, signal, flags = 0, ...config } = options;
    signal?.throwIfAborted();
    const sink = this.pump.open();
    const from = typeof source === "string" ? { path: source, flags } : { buffer: source, flags: flags | LoadFlags.CopyBuffer };
    let ticket: bigint | undefined;
    const onAbort = (): void => sink.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      ticket = await raw.modelLoadAsync(this.handle, { ...config, ...from, userData: sink.key });
      for (let hasEnded = false; !hasEnded; ) {
        const event = await this.pump.next(sink);
        hasEnded = event.type === EventType.LoadFinished;
        if (event.failure === undefined) onProgress?.(event.bytesDone, event.bytesTotal);
      }
      const ended = ticket;
      ticket = undefined; // taking the model ends it, whatever comes of that
      return raw.ticketTakeModel(this.handle, ended);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.pump.forget(sink);
      if (ticket !== undefined) ignoringStale(() => raw.ticketCancel(this.handle, ticket as bigint));
    }
  }

  /** Stops computation between layers; requests are still taken. */
  pause(): void {
    raw.enginePause(this.handle);
  }

  resume(): void {
    raw.engineResume(this.handle);
  }

  /** Pumped engines: works for about `maxUs` microseconds, on this thread; whether work is left. */
  step(maxUs = 0): boolean {
    return raw.engineStep(this.handle, maxUs) !== 0;
  }

  /** Refuses new work, lets what runs finish within the time given, then cancels it. */
  shutdown(timeoutMs?: number): Promise<void> {
    return raw.engineShutdownAsync(this.handle, microseconds(timeoutMs));
  }

  /** The latency that 95 of 100 steps are to stay within, from the next step on; 0: none. */
  setStepTarget(targetUs: number | bigint): void {
    raw.engineSetStepTarget(this.handle, targetUs);
  }

  /** Of a living engine; 0: none. What it takes away goes within milliseconds, and changes no text. */
  setMemoryBudget(bytes: number | bigint): void {
    raw.memorySetBudget(this.handle, bytes);
  }

  /** Gives memory that nobody holds back to the system, and what `flags` (TrimFlags) name. */
  trim(flags = 0): void {
    raw.memoryTrim(this.handle, flags);
  }

  /**
   * The next MEMORY event of an engine with `memoryEvents: 1`; rejects with a TimeoutError after `timeoutMs`. What came while
   * nobody waited is one event.
   */
  async nextMemoryEvent(timeoutMs?: number): Promise<MemoryEvent> {
    const { pressure, bytesDone, bytesTotal } = await this.pump.next(this.pump.memory, timeoutMs);
    return { pressure, usedBytes: bytesDone, budgetBytes: bytesTotal };
  }

  memoryStats(): MemoryStats {
    return raw.memoryGetStats(this.handle);
  }

  metrics(): Metrics {
    return raw.metricsSnapshot(this.handle);
  }

  /** Ends all that runs and returns the memory, off the event loop. */
  close(): Promise<void> {
    if (this.closing()) {
      this.ending = release(this.handle).then(() => {
        this.pump.fail(makeError(Status.Stale, "the engine was closed"));
      });
    }
    return this.ending ?? Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function release(handle: bigint): Promise<void> {
  return raw.engineReleaseAsync(handle).catch(() => undefined); // it has ended already
}

/** What was released or has ended already needs no end. */
export function ignoringStale(end: () => void): void {
  try {
    end();
  } catch {
    // ended already
  }
}

/** Loads a model into an engine of its own, which ends with the model. */
export async function loadModel(
  source: string | Uint8Array,
  options: EngineOptions & Pick<LoadOptions, "onProgress" | "signal"> = {},
): Promise<Model> {
  const { onProgress, signal, ...settings } = options;
  const engine = new Engine(settings);
  try {
    const model = await engine.load(source, { onProgress, signal });
    model.ownsEngine = true;
    return model;
  } catch (failure) {
    await engine.close();
    throw failure;
  }
}
