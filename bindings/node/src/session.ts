import { ignoringStale } from "./engine";
import { Handle } from "./handle";
import { SessionFlags, SessionInfo } from "./types";
import type { Model } from "./model";
import { raw } from "./raw";

const ALL_TOKENS = 2n ** 64n - 1n;

/** A text that is kept between requests, with what was computed of it: requests name it as their `session`. */
export class Session extends Handle {
  /** @internal */
  constructor(
    readonly model: Model,
    handle: bigint,
  ) {
    super(handle, () => ignoringStale(() => raw.sessionRelease(handle)));
  }

  /** A session of the first `tokenCount` tokens (all, unless told); what is computed of them is shared. */
  fork(tokenCount?: number): Session {
    return new Session(this.model, raw.sessionFork(this.handle, tokenCount ?? ALL_TOKENS));
  }

  truncate(tokenCount: number): void {
    raw.sessionTruncate(this.handle, tokenCount);
  }

  /** Takes the last turn back. */
  undo(): void {
    raw.sessionUndo(this.handle);
  }

  get info(): SessionInfo {
    return raw.sessionGetInfo(this.handle);
  }

  get tokenIds(): number[] {
    return raw.sessionGetTokens(this.handle);
  }

  /** Writes the file `name` of the engine's `writeFolder`. */
  save(name: string, flags: SessionFlags | 0 = 0): Promise<void> {
    return raw.sessionSaveAsync(this.handle, name, flags);
  }

  /** The same as bytes, for Model.importSession(). */
  export(flags: SessionFlags | 0 = 0): Promise<Buffer> {
    return raw.sessionExportAsync(this.handle, flags);
  }

  close(): void {
    if (this.closing()) ignoringStale(() => raw.sessionRelease(this.handle));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
