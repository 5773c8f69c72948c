// The addon and the library beside it.
import { join } from "node:path";
import { FastserveError } from "./failure";
import type { End, Piece } from "./generation";
import type { RawFunctions } from "./raw_functions";
import { ABI_VERSION, EngineConfigOptions, errorsByStatus } from "./types";

/** An event as the addon makes it; which properties there are depends on its type. */
export interface RawEvent extends Piece, End {
  type: number;
  key: number;
  failure?: Error;
  bytesDone: number;
  bytesTotal: number;
  pressure: number;
}

/** What the addon keeps of an engine. */
export type RawEngine = { readonly opaque: unique symbol };

interface Raw extends RawFunctions {
  engineOpen(
    config: EngineConfigOptions,
    onEvents: (events: RawEvent[] | undefined, failure: Error | undefined) => void,
    onLog: ((level: number, line: string) => void) | undefined,
  ): { handle: bigint; events: RawEngine };
  engineHold(engine: RawEngine, isHeld: boolean): void;
  enginePoll(engine: RawEngine): RawEvent[];
  sessionExportAsync(session: bigint, flags: number): Promise<Buffer>;
  tokenizeRanges(model: bigint, text: string, flags: number): [number, number, number][];
  setErrorFactory(make: (status: number, message: string) => Error): void;
}

function load(): Raw {
  const folder = join(__dirname, "..", "prebuilds", `${process.platform}-${process.arch}`);
  const addon = require(join(folder, "fastserve.node")) as Raw;
  if (addon.abiVersion() !== ABI_VERSION) {
    throw new Error(`libfastserve has ABI version ${addon.abiVersion()}, this package needs ${ABI_VERSION}`);
  }
  addon.setErrorFactory(makeError);
  return addon;
}

/** The class of a status, with the library's message. */
export function makeError(status: number, message: string): FastserveError {
  const kind = errorsByStatus[status] ?? FastserveError;
  return new kind(status, raw.statusName(status), message);
}

export const raw: Raw = load();

/** Microseconds of a time in milliseconds; undefined: without end. */
export function microseconds(timeoutMs: number | undefined): bigint {
  return timeoutMs === undefined ? 2n ** 64n - 1n : BigInt(Math.max(0, Math.round(timeoutMs * 1000)));
}
