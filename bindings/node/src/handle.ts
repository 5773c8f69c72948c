// What engines, models and sessions have in common: a handle of the library that is released once.

const finalisers = new FinalizationRegistry<() => void>((release) => release());

/** Closed by close(), by the end of a `using` or `await using` declaration, or by the garbage collector. Closing twice is
 * harmless; what is called afterwards throws StaleError. */
export abstract class Handle {
  private isClosed = false;

  protected constructor(
    /** The library's own number. After close() one that it knows to be stale. */
    readonly handle: bigint,
    release: () => void,
  ) {
    finalisers.register(this, release, this);
  }

  get closed(): boolean {
    return this.isClosed;
  }

  /** Whether it is this call that closes. */
  protected closing(): boolean {
    if (this.isClosed) return false;
    finalisers.unregister(this);
    return (this.isClosed = true);
  }
}
