package dev.fastserve;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** Hands an engine's events to those who wait for them, without a thread of its own: of all threads that wait, one polls
 * for everyone. */
final class Pump {
    private static final int BATCH = 64;
    private static final long EVENT = Raw.Event.LAYOUT.byteSize();
    private static final long WAIT_NS_MAX = 100_000_000; // so that interrupts are seen; ends nothing

    /** What one request or load has yet to say. Events name it by its key, which comes back as user_data. */
    static final class Sink {
        final long key;
        private final ArrayDeque<Item> items = new ArrayDeque<>();

        Sink(long key) {
            this.key = key;
        }
    }

    private final long engine;
    private final boolean isPumped;
    private final MemorySegment events = Arena.ofAuto().allocate(BATCH * EVENT, 8);
    private final ReentrantLock lock = new ReentrantLock(); // guards what follows
    private final Condition changed = lock.newCondition();
    private final Map<Long, Sink> sinks = new HashMap<>();
    private long lastKey;
    private boolean hasLeader;
    final Sink memory = new Sink(0); // of MEMORY events, which bring no key back

    Pump(long engine, boolean isPumped) {
        sinks.put(memory.key, memory);
        this.engine = engine;
        this.isPumped = isPumped;
    }

    Sink open() {
        lock.lock();
        try {
            Sink sink = new Sink(++lastKey);
            sinks.put(sink.key, sink);
            return sink;
        } finally {
            lock.unlock();
        }
    }

    void forget(Sink sink) {
        lock.lock();
        try {
            sinks.remove(sink.key);
        } finally {
            lock.unlock();
        }
    }

    /** The next item of the sink. `timeoutNs` below 0: however long; else FastserveException.Timeout after it. An interrupt
     * of the thread is FastserveException.Cancelled, and stays set. */
    Item next(Sink sink, long timeoutNs) {
        long begin = System.nanoTime();
        for (boolean mayWait = true;; mayWait = timeoutNs < 0 || System.nanoTime() - begin < timeoutNs) {
            lock.lock();
            try {
                if (!sink.items.isEmpty()) return sink.items.poll();
                if (!mayWait) throw FastserveException.of(Status.TIMEOUT.number, "no event within the time given");
                if (Thread.currentThread().isInterrupted()) throw interrupted();
                if (hasLeader) {
                    follow(timeoutNs < 0 ? WAIT_NS_MAX : timeoutNs - (System.nanoTime() - begin));
                    continue;
                }
                hasLeader = true;
            } finally {
                lock.unlock();
            }
            try {
                long left = timeoutNs < 0 ? WAIT_NS_MAX : timeoutNs - (System.nanoTime() - begin);
                lead(Math.max(0, Math.min(left, WAIT_NS_MAX)) / 1000);
            } finally {
                lock.lock();
                hasLeader = false;
                changed.signalAll();
                lock.unlock();
            }
        }
    }

    private static FastserveException interrupted() {
        return FastserveException.of(Status.CANCELLED.number, "the thread was interrupted while it waited");
    }

    private void follow(long ns) {
        try {
            changed.awaitNanos(ns);
        } catch (InterruptedException interrupt) {
            Thread.currentThread().interrupt();
            throw interrupted();
        }
    }

    /** Waits for events and hands them out; one thread at a time. */
    private void lead(long timeoutUs) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment count = arena.allocate(8, 8);
            if (isPumped) {
                Call.check(arena, error -> Raw.fsv_engine_step(engine, 0, count, error));
            } else {
                MemorySegment error = arena.allocate(Raw.Error.LAYOUT);
                int status = Raw.fsv_wait(engine, timeoutUs, error);
                if (status == Status.TIMEOUT.number) return;
                if (status != 0) throw Call.failure(status, error);
            }
            Call.check(arena, error -> Raw.fsv_poll(engine, events, EVENT, BATCH, count, error));
            deliver((int) count.get(ValueLayout.JAVA_LONG, 0));
        }
    }

    private void deliver(int count) {
        lock.lock();
        try {
            for (int i = 0; i < count; ++i) {
                MemorySegment event = events.asSlice(i * EVENT, EVENT);
                Sink sink = sinks.get(event.get(ValueLayout.JAVA_LONG, Raw.Event.user_data));
                if (sink == null) continue; // of a request that was closed before its end
                Item item = Item.of(event);
                if (sink == memory && !sink.items.isEmpty()) { // one at most, however long nobody asks
                    item = item.withPressure(item.pressure() | sink.items.poll().pressure());
                }
                sink.items.add(item);
                if (item.type() == EventType.FINISHED || item.type() == EventType.LOAD_FINISHED) sinks.remove(sink.key);
            }
        } finally {
            lock.unlock();
        }
    }
}
