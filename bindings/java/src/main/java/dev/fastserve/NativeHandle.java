package dev.fastserve;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicBoolean;

/** What engines, models and sessions have in common: a handle of the library that is released once, by close() or when
 * nothing refers to the object any more. What is called after close() throws FastserveException.Stale. */
abstract class NativeHandle implements AutoCloseable {
    static final Cleaner CLEANER = Cleaner.create();

    final long handle; // after close() a number that the library knows to be stale
    private final Release release;
    private final Cleaner.Cleanable cleanable;

    interface Function {
        int run(long handle);
    }

    /** Must not refer to the object. */
    private static final class Release implements Runnable {
        private final long handle;
        private final Function function;
        private final AtomicBoolean isOver = new AtomicBoolean();

        Release(long handle, Function function) {
            this.handle = handle;
            this.function = function;
        }

        @Override
        public void run() {
            if (!isOver.getAndSet(true)) function.run(handle);
        }
    }

    NativeHandle(long handle, Function function) {
        this.handle = handle;
        this.release = new Release(handle, function);
        this.cleanable = CLEANER.register(this, release);
    }

    public final boolean isClosed() {
        return release.isOver.get();
    }

    /** Harmless twice, from any thread. */
    @Override
    public void close() {
        cleanable.clean();
    }
}
