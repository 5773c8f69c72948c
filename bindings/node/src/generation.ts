// An answer as it comes.
import { ignoringStale } from "./engine";
import { EventType, FinishReason, RequestInfo } from "./types";
import type { Model } from "./model";
import type { Pump, Sink } from "./pump";
import { raw, RawEvent } from "./raw";

/** New tokens, and the text that they complete. */
export interface Piece {
  text: string;
  tokenIds: number[];
  /** One for each token, if asked for. */
  logprobs?: number[];
  /** The likeliest tokens in each one's place, if asked for. */
  topLogprobs?: { tokenId: number; logprob: number }[][];
  /** Which of several answers. */
  choice: number;
}

/** How a request, or one of its choices, ended. */
export interface End {
  reason: FinishReason;
  choice: number;
  promptTokens: number;
  generatedTokens: number;
  /** Of the prompt, that came with the session's keys and values. */
  cachedTokens: number;
  queueUs: number;
  firstTokenUs: number;
  totalUs: number;
  cumulativeLogprob: number;
  score: number;
}

/** What outlives a generation that nobody refers to any more, until it is cancelled. */
class Running {
  request: bigint | undefined;
  isOver = false;
  private wantsCancel = false;

  constructor(
    private readonly pump: Pump,
    private readonly engine: bigint,
    readonly sink: Sink,
  ) {}

  /** Settings of the wrong type are thrown at once; what the library refuses, by the iteration. */
  start(submit: (key: number) => Promise<bigint>): void {
    let submitted: Promise<bigint>;
    try {
      submitted = submit(this.sink.key);
    } catch (failure) {
      this.pump.forget(this.sink);
      throw failure;
    }
    submitted.then(
      (request) => {
        this.request = request;
        if (this.wantsCancel) this.cancel();
      },
      (failure: unknown) => {
        this.pump.forget(this.sink);
        this.sink.fail(failure);
      },
    );
  }

  cancel(): void {
    this.wantsCancel = true;
    const { request } = this;
    if (request !== undefined) ignoringStale(() => raw.requestCancel(this.engine, request));
  }

  next(timeoutMs: number | undefined): Promise<RawEvent> {
    return this.pump.next(this.sink, timeoutMs);
  }

  /** Cancels, and forgets the rest. */
  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.cancel();
    this.pump.forget(this.sink);
  }

  abort(reason: unknown): void {
    if (this.isOver) return;
    this.cancel();
    this.pump.forget(this.sink);
    this.sink.abort(reason);
  }
}

const finalisers = new FinalizationRegistry<Running>((running) => running.close());

/** A running request. Iterate it with `for await`, or take all with text(). An answer that fails, or was refused, throws
 * from the iteration. Leaving the loop, close(), the request's signal and the garbage collector cancel what still runs. */
export class Generation implements AsyncIterableIterator<Piece> {
  /** How it ended; undefined before. */
  ended: End | undefined;
  /** Of several answers, as they ended. */
  readonly choices: End[] = [];
  private readonly running: Running;
  private readonly removeListener: () => void;

  /** @internal */
  constructor(
    /** In use until the end. */
    readonly model: Model,
    options: { signal?: AbortSignal },
    submit: (userData: number) => Promise<bigint>,
  ) {
    const { engine } = model;
    const { signal } = options;
    signal?.throwIfAborted();
    const running = new Running(engine.pump, engine.handle, engine.pump.open());
    running.start(submit);
    const onAbort = (): void => running.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.removeListener = () => signal?.removeEventListener("abort", onAbort);
    this.running = running;
    finalisers.register(this, running, this);
  }

  /** The next piece; undefined at the end. With a time, TimeoutError where none came within it: one may go on. */
  async read(timeoutMs?: number): Promise<Piece | undefined> {
    const { running } = this;
    while (!running.isOver) {
      const event = await this.take(timeoutMs);
      if (event.type === EventType.Tokens || event.type === EventType.Score) return pieceOf(event);
      if (event.type === EventType.ChoiceFinished) {
        this.choices.push(endOf(event));
      } else {
        this.ended = endOf(event);
        this.finish();
        if (event.failure !== undefined) throw event.failure;
      }
    }
    return undefined;
  }

  private async take(timeoutMs: number | undefined): Promise<RawEvent> {
    try {
      return await this.running.next(timeoutMs);
    } catch (failure) {
      if (this.running.sink.hasFailed) this.finish();
      throw failure;
    }
  }

  private finish(): void {
    this.running.isOver = true;
    this.removeListener();
    finalisers.unregister(this);
  }

  async next(): Promise<IteratorResult<Piece, undefined>> {
    const value = await this.read();
    return value === undefined ? { done: true, value } : { done: false, value };
  }

  /** Of a loop that is left early. */
  async return(): Promise<IteratorResult<Piece, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Waits for the end: all text that is left, of choice 0 where there are several. */
  async text(): Promise<string> {
    let all = "";
    for await (const piece of this) if (piece.choice === 0) all += piece.text;
    return all;
  }

  /** Asks the request to end; the iteration goes on to its end, with FinishReason.Cancelled. */
  cancel(): void {
    if (!this.running.isOver) this.running.cancel();
  }

  /** How far it is; StaleError some time after its end, undefined before it was submitted. */
  get info(): RequestInfo | undefined {
    const { request } = this.running;
    return request === undefined ? undefined : raw.requestGetInfo(this.model.engine.handle, request);
  }

  /** Of a live request, from the next step on. */
  setPriority(priority: number): void {
    const { request } = this.running;
    if (request !== undefined) raw.requestSetPriority(this.model.engine.handle, request, priority);
  }

  /** Cancels, and forgets the rest of the answer. Harmless twice. */
  close(): void {
    if (this.running.isOver) return;
    this.running.close();
    this.finish();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function pieceOf(event: RawEvent): Piece {
  const { text, tokenIds, logprobs, topLogprobs, choice } = event;
  return { text, tokenIds, logprobs, topLogprobs, choice };
}

function endOf(event: RawEvent): End {
  const { type: _, key: __, failure: ___, ...end } = event;
  return end;
}
