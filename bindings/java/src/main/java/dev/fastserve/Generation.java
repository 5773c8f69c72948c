package dev.fastserve;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Cleaner;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** A running request: iterate it, {@link #stream()} it, or take all with {@link #text()}. One thread reads it; cancel() and
 * close() may be called by any. An answer that fails throws from the iteration. close() cancels what still runs, and so
 * does the collector. */
public final class Generation implements Iterable<Piece>, AutoCloseable {
    private final Model model; // in use until the end
    private final Running running;
    private final Cleaner.Cleanable cleanable;
    private final List<End> choices = new ArrayList<>();
    private volatile End end;

    /** What outlives a generation that nobody refers to any more, until it is cancelled. */
    private record Running(Pump pump, long engine, Pump.Sink sink, long request, AtomicBoolean isOver) implements Runnable {
        @Override
        public void run() {
            if (isOver.getAndSet(true)) return;
            cancel();
            pump.forget(sink);
        }

        void cancel() {
            Raw.fsv_request_cancel(engine, request, MemorySegment.NULL);
        }
    }

    Generation(Model model, Pump.Sink sink, long request) {
        this.model = model;
        running = new Running(model.engine().pump, model.engine().handle, sink, request, new AtomicBoolean());
        cleanable = NativeHandle.CLEANER.register(this, running);
    }

    /** The next piece, waiting for it; null at the end. */
    public Piece next() {
        return next(-1);
    }

    /** The next piece; FastserveException.Timeout where none came within the time given: one may go on. Null at the end. */
    public Piece next(Duration timeout) {
        return next(timeout.toNanos());
    }

    private Piece next(long timeoutNs) {
        while (!running.isOver.get()) {
            Item item = running.pump.next(running.sink, timeoutNs);
            if (item.piece() != null) return item.piece();
            if (item.type() == EventType.CHOICE_FINISHED) {
                choices.add(item.end());
                continue;
            }
            end = item.end();
            running.isOver.set(true);
            if (item.failure() != null) throw item.failure();
        }
        return null;
    }

    @Override
    public Iterator<Piece> iterator() {
        return new Iterator<>() {
            private Piece ahead;

            @Override
            public boolean hasNext() {
                if (ahead == null) ahead = Generation.this.next();
                return ahead != null;
            }

            @Override
            public Piece next() {
                if (!hasNext()) throw new NoSuchElementException();
                Piece piece = ahead;
                ahead = null;
                return piece;
            }
        };
    }

    /** The pieces as they come; closing the stream cancels. */
    public Stream<Piece> stream() {
        return StreamSupport.stream(spliterator(), false).onClose(this::close);
    }

    /** Waits for the end: all text that is left, of choice 0 where there are several. */
    public String text() {
        StringBuilder all = new StringBuilder();
        for (Piece piece : this) {
            if (piece.choice() == 0) all.append(piece.text());
        }
        return all.toString();
    }

    /** How it ended; null before. */
    public End end() {
        return end;
    }

    /** Of several answers, as they ended. */
    public List<End> choices() {
        return List.copyOf(choices);
    }

    public Model model() {
        return model;
    }

    /** Asks the request to end, from any thread; the iteration goes on to its end, with FinishReason.CANCELLED. */
    public void cancel() {
        if (!running.isOver.get()) running.cancel();
    }

    /** How far it is; FastserveException.Stale some time after its end. */
    public RequestInfo info() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = Raw.RequestInfo.make(arena);
            Call.check(arena, error -> Raw.fsv_request_get_info(running.engine, running.request, info, error));
            return RequestInfo.read(info);
        }
    }

    /** Of a live request, from the next step on. */
    public void setPriority(int priority) {
        Call.check(error -> Raw.fsv_request_set_priority(running.engine, running.request, priority, error));
    }

    /** Cancels, and forgets the rest of the answer. Harmless twice. */
    @Override
    public void close() {
        cleanable.clean();
    }
}
