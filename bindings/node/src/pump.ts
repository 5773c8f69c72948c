// Hands an engine's events to those who wait for them. The addon brings them; pumped engines are stepped here, a piece at
// a time, between the event loop's other work.
import { EventType, Status } from "./types";
import { makeError, raw, RawEngine, RawEvent } from "./raw";

interface Waiter {
  resolve(event: RawEvent): void;
  reject(failure: unknown): void;
}

/** The events of one request or load. They name it by `key`, which comes back as user_data. */
export class Sink {
  readonly items: RawEvent[] = [];
  readonly waiters: Waiter[] = [];
  failure: unknown = undefined;
  hasFailed = false;

  constructor(readonly key: number) {}

  put(event: RawEvent): void {
    if (this.hasFailed) return;
    const waiter = this.waiters.shift();
    if (waiter === undefined) this.items.push(event);
    else waiter.resolve(event);
  }

  /** What is waited for now and later ends with `failure`. */
  fail(failure: unknown): void {
    this.failure = failure;
    this.hasFailed = true;
    for (const waiter of this.waiters.splice(0)) waiter.reject(failure);
  }

  /** As fail(), and nothing that has come is handed out any more. */
  abort(reason: unknown): void {
    this.items.length = 0;
    this.fail(reason);
  }
}

export class Pump {
  private readonly sinks = new Map<number, Sink>();
  private lastKey = 0;
  private waiting = 0;
  private isStepping = false;
  private handle = 0n;
  private engine: RawEngine | undefined;

  /** Of MEMORY events, which bring no key back. */
  readonly memory = new Sink(0);

  constructor(private readonly isPumped: boolean) {
    this.sinks.set(0, this.memory);
  }

  start(handle: bigint, engine: RawEngine): void {
    this.handle = handle;
    this.engine = engine;
  }

  open(): Sink {
    const sink = new Sink(++this.lastKey);
    this.sinks.set(sink.key, sink);
    return sink;
  }

  forget(sink: Sink): void {
    this.sinks.delete(sink.key);
  }

  /** The next event of `sink`. Only who waits keeps the process from ending. */
  next(sink: Sink, timeoutMs?: number): Promise<RawEvent> {
    const item = sink.items.shift();
    if (item !== undefined) return Promise.resolve(item);
    if (sink.hasFailed) return Promise.reject(sink.failure);
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const done = (): void => {
        clearTimeout(timer);
        this.hold(-1);
      };
      const waiter: Waiter = {
        resolve: (event) => (done(), resolve(event)),
        reject: (failure) => (done(), reject(failure)),
      };
      if (timeoutMs !== undefined) {
        timer = setTimeout(() => {
          sink.waiters.splice(sink.waiters.indexOf(waiter), 1);
          waiter.reject(makeError(Status.Timeout, "no event within the time given"));
        }, timeoutMs);
      }
      sink.waiters.push(waiter);
      this.hold(1);
    });
  }

  deliver(events: RawEvent[] | undefined, failure: unknown): void {
    for (const event of events ?? []) {
      const sink = this.sinks.get(event.key);
      if (sink === undefined) continue; // of a request that was closed before its end
      if (event.type === EventType.Finished || event.type === EventType.LoadFinished) this.sinks.delete(event.key);
      const earlier = sink === this.memory ? sink.items.shift() : undefined; // one at most, however long nobody asks
      if (earlier !== undefined) event.pressure |= earlier.pressure;
      sink.put(event);
    }
    if (failure !== undefined) this.fail(failure);
  }

  /** The engine has ended: so do all that wait for it. */
  fail(failure: unknown): void {
    for (const sink of this.sinks.values()) sink.fail(failure);
    this.sinks.clear();
  }

  private hold(change: number): void {
    this.waiting += change;
    if (this.isPumped) this.stepSoon();
    else if (this.engine !== undefined && this.waiting <= 1) raw.engineHold(this.engine, this.waiting > 0);
  }

  private stepSoon(): void {
    if (this.isStepping || this.waiting === 0) return;
    this.isStepping = true;
    setImmediate(() => {
      this.isStepping = false;
      if (this.waiting === 0 || this.engine === undefined) return;
      try {
        raw.engineStep(this.handle, 0);
        this.deliver(raw.enginePoll(this.engine), undefined);
      } catch (failure) {
        this.fail(failure);
      }
      this.stepSoon();
    });
  }
}
