package dev.fastserve;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What Java adds to the conformance cases: exceptions, streams, interrupts, cleaners, ends in any order. */
public final class LifecycleTest {
    private static final String CAT = " sat on the mat. The dog sat on the log.";
    private static String tiny;

    private LifecycleTest() {}

    private static void check(boolean isTrue, String what) {
        if (!isTrue) throw new AssertionError(what);
    }

    private static <T extends Throwable> T thrown(Class<T> kind, Runnable action) {
        try {
            action.run();
        } catch (Throwable caught) {
            if (kind.isInstance(caught)) return kind.cast(caught);
            throw new AssertionError("not " + kind, caught);
        }
        throw new AssertionError("nothing was thrown, not " + kind);
    }

    private static Engine engine() {
        return new Engine(new EngineOptions().threadCount(1));
    }

    private static RequestOptions greedy() {
        return new RequestOptions().temperature(0);
    }

    private static RequestOptions endless() {
        return new RequestOptions().ignoreEos(1).maxTokens(100_000_000).contextFull(ContextFull.SLIDE);
    }

    private static void exceptions() {
        try (Engine engine = engine(); Model model = engine.load(tiny)) {
            var missing = thrown(FastserveException.NotFound.class, () -> engine.load("nowhere.gguf"));
            check(missing.getMessage().contains("nowhere.gguf") && missing.status() == Status.NOT_FOUND, missing.getMessage());
            thrown(FastserveException.InvalidArgument.class, () -> model.generate(""));
            thrown(IllegalStateException.class, () -> engine.load(tiny,
                new LoadOptions().loadDtype(Dtype.F16).onProgress((done, total) -> {
                    throw new IllegalStateException("stop");
                })));
            check(engine.memoryStats().modelCount() == 1, "the cancelled load left a model");
        }
    }

    private static void streams() {
        try (Engine engine = engine(); Model model = engine.load(tiny)) {
            check(model.generate("The cat", greedy()).stream().map(Piece::text).collect(Collectors.joining()).equals(CAT), "stream");
            try (Stream<Piece> pieces = model.generate("tick tock", endless()).stream()) {
                check(pieces.limit(3).count() == 3, "limit");
            }
            Generation answer = model.generate("The cat", greedy().reportLogprobs(1).logprobCount(2));
            Piece first = answer.next();
            check(first.logprobs().length == first.tokenIds().length, "logprobs");
            check(first.topLogprobs().get(0).get(0).tokenId() == first.tokenIds()[0], "alternatives");
            answer.close();
            check(answer.next() == null, "a piece after the end");
            Generation two = model.generate("The cat", greedy().choiceCount(2));
            check(two.text().equals(CAT) && two.choices().size() == 2, "choices");
            check(model.generate("The cat", new RequestOptions().beamSearch(new BeamSearch().beamCount(2))).text().equals(CAT), "beams");
            int[] ids = model.tokenize("The cat sat on the mat.");
            float[] scores = model.score(ids);
            check(scores[0] == 0 && scores[ids.length - 1] > -1, Arrays.toString(scores));
            int sat = model.tokenize(" sat", 0)[0];
            check(!model.generate("The cat", greedy().maxTokens(3).logitBias(Map.of(sat, -1e9f))).text().startsWith(" sat"), "bias");
        }
    }

    private static void cancellation() throws InterruptedException {
        try (Engine engine = engine(); Model model = engine.load(tiny)) {
            Generation answer = model.generate("tick tock", endless());
            answer.next();
            Thread canceller = new Thread(answer::cancel);
            canceller.start();
            answer.text();
            canceller.join();
            check(answer.end().reason() == FinishReason.CANCELLED, "cancel");

            engine.pause();
            CountDownLatch begun = new CountDownLatch(1);
            AtomicReference<Throwable> seen = new AtomicReference<>();
            Thread reader = new Thread(() -> {
                Generation waiting = model.generate("tick tock", endless());
                begun.countDown();
                try (waiting) {
                    waiting.next();
                } catch (FastserveException.Cancelled interrupt) {
                    seen.set(Thread.currentThread().isInterrupted() ? interrupt : null);
                }
            });
            reader.start();
            begun.await();
            reader.interrupt();
            reader.join();
            check(seen.get() != null, "an interrupt ends the wait");
            engine.resume();
            check(model.generate("The cat", greedy()).text().equals(CAT), "after an interrupt");
        }
    }

    private static void scheduling() {
        try (Engine engine = engine(); Model model = engine.load(tiny)) {
            Generation urgent = model.generate("tick tock", endless().priority(1).tenant(7).firstTokenDeadlineUs(1_000_000)
                .speculation(Speculation.OFF));
            urgent.next();
            urgent.setPriority(-1);
            urgent.close();
        }
        try (Engine engine = engine(); Model model = engine.load(tiny)) {
            engine.pause();
            Generation late = model.generate("The cat", new RequestOptions().queueTimeoutUs(1));
            thrown(FastserveException.Timeout.class, late::text);
        }
    }

    private static void sessions() throws IOException {
        Path folder = Files.createTempDirectory("fastserve");
        try (Engine engine = new Engine(new EngineOptions().threadCount(1).writeFolder(folder.toString()));
             Model model = engine.load(tiny); Session session = model.newSession()) {
            model.generate("The cat", greedy().session(session)).text();
            session.save("cat.session");
            try (Session loaded = model.loadSession(folder.resolve("cat.session").toString())) {
                check(Arrays.equals(loaded.tokenIds(), session.tokenIds()), "a loaded session");
            }
            thrown(FastserveException.InvalidArgument.class, () -> session.save("../cat"));
            thrown(FastserveException.Corrupt.class, () -> model.loadSession(tiny));
        }
        Files.delete(folder.resolve("cat.session"));
        Files.delete(folder);
    }

    private static void memoryAndLog() throws IOException {
        List<String> lines = java.util.Collections.synchronizedList(new ArrayList<>());
        EngineOptions options = new EngineOptions().threadCount(1).logLevel(LogLevel.DEBUG).log((level, line) -> {
            lines.add(level + line);
            throw new IllegalStateException("a log that throws");
        });
        try (Engine engine = new Engine(options);
             Model model = engine.load(ByteBuffer.wrap(Files.readAllBytes(Path.of(tiny))), new LoadOptions())) {
            check(model.generate("The cat", greedy()).text().equals(CAT), "from memory");
        }
        for (String line : lines) check(!line.startsWith("null"), line);
    }

    private static void endsInAnyOrder() throws Exception {
        for (int order = 0; order < 24; ++order) {
            Engine engine = engine();
            Model model = engine.load(tiny);
            Session session = model.newSession();
            Generation answer = model.generate("tick tock", endless().session(session));
            if (order % 2 == 0) answer.next();
            List<AutoCloseable> left = new ArrayList<>(List.of(engine, model, session, answer));
            for (int code = order; !left.isEmpty(); code /= left.size() + 1) {
                AutoCloseable one = left.remove(code % left.size());
                one.close();
                one.close();
            }
            thrown(FastserveException.Stale.class, model::info);
            thrown(FastserveException.Stale.class, session::info);
            thrown(FastserveException.Stale.class, engine::memoryStats);
            thrown(FastserveException.Stale.class, () -> model.generate("x"));
        }
    }

    private static void closedByAnotherThread() throws InterruptedException {
        Engine engine = engine();
        Model model = engine.load(tiny);
        Generation answer = model.generate("tick tock", endless());
        answer.next();
        Thread closer = new Thread(engine::close);
        closer.start();
        try {
            answer.text();
            check(answer.end().reason() == FinishReason.SHUTDOWN, "the reason");
        } catch (FastserveException gone) {
            check(gone.status() == Status.STALE || gone.status() == Status.SHUTDOWN, gone.getMessage());
        }
        closer.join();
    }

    private static void cleaners() {
        for (int i = 0; i < 20; ++i) engine().load(tiny).generate("tick tock", endless()).next();
        for (int i = 0; i < 3; ++i) System.gc();
    }

    public static void main(String[] arguments) throws Exception {
        tiny = arguments[0];
        exceptions();
        streams();
        cancellation();
        scheduling();
        sessions();
        memoryAndLog();
        endsInAnyOrder();
        closedByAnotherThread();
        cleaners();
        engine().load(tiny).generate("tick tock", endless()).next(); // the end of the process finds all this running
        System.out.println("java: all tests passed");
    }
}
