package dev.fastserve;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;

/** The Java runner of bindings/conformance: one command a line in, one reply a line out. */
public final class ConformanceRunner {
    private static final Map<String, AutoCloseable> objects = new LinkedHashMap<>();

    /** An answer that remembers what came. */
    private record Answer(Generation generation, StringBuilder text, List<String> ids) implements AutoCloseable {
        Answer(Generation generation) {
            this(generation, new StringBuilder(), new ArrayList<>());
        }

        boolean next(Duration timeout) {
            Piece piece = timeout == null ? generation.next() : generation.next(timeout);
            if (piece == null) return false;
            text.append(piece.text());
            for (int id : piece.tokenIds()) ids.add(Integer.toString(id));
            return true;
        }

        Map<String, Object> finish() {
            while (next(null)) {}
            End end = generation.end();
            return Map.of("text", text, "ids", String.join(",", ids), "finish", end.reason().name().toLowerCase(Locale.ROOT),
                "prompt_tokens", end.promptTokens(), "generated_tokens", end.generatedTokens(),
                "cached_tokens", end.cachedTokens(), "whole_code_points", text.indexOf("\ufffd") < 0 ? 1 : 0);
        }

        @Override
        public void close() {
            generation.close();
        }
    }

    @SuppressWarnings("unchecked")
    private static <T> T get(String name) {
        return (T) objects.get(name);
    }

    private static int[] numbers(String text) {
        return Arrays.stream(text.split(",")).filter(part -> !part.isEmpty()).mapToInt(Integer::parseInt).toArray();
    }

    private static String joined(int[] ids) {
        return Arrays.stream(ids).mapToObj(Integer::toString).collect(Collectors.joining(","));
    }

    private static int flag(boolean value) {
        return value ? 1 : 0;
    }

    private static void open(Map<String, String> a) {
        EngineOptions options = new EngineOptions().threadCount(Integer.parseInt(a.getOrDefault("thread_count", "1")));
        if (a.containsKey("write_folder")) options.writeFolder(a.get("write_folder"));
        if (a.containsKey("mode")) options.engineConfig.put(Raw.EngineConfig.mode, Integer.parseInt(a.get("mode")));
        if (a.containsKey("context_tokens")) options.contextTokens(Integer.parseInt(a.get("context_tokens")));
        if (a.containsKey("memory_events")) options.memoryEvents(Integer.parseInt(a.get("memory_events")));
        if (a.containsKey("max_sequences")) options.maxSequences(Integer.parseInt(a.get("max_sequences")));
        if (a.containsKey("memory_budget_bytes")) options.memoryBudgetBytes(Long.parseLong(a.get("memory_budget_bytes")));
        objects.put(a.get("id"), new Engine(options));
    }

    private static Map<String, Object> load(Map<String, String> a) {
        long[] last = {0, 0, 1};
        Engine engine = get(a.get("engine"));
        LoadOptions options = new LoadOptions().flags(Integer.parseInt(a.getOrDefault("flags", "0")));
        objects.put(a.get("id"), engine.load(a.get("path"), options.onProgress((done, total) -> {
            if (done < last[0]) last[2] = 0;
            last[0] = done;
            last[1] = total;
        })));
        return Map.of("monotonic", last[2], "complete", flag(last[0] == last[1] && last[1] > 0));
    }

    private static RequestOptions options(Map<String, String> a) {
        RequestOptions options = new RequestOptions();
        if (a.containsKey("max_tokens")) options.maxTokens(Integer.parseInt(a.get("max_tokens")));
        if (a.containsKey("seed")) options.seed(Long.parseLong(a.get("seed")));
        if (a.containsKey("top_k")) options.topK(Integer.parseInt(a.get("top_k")));
        if (a.containsKey("ignore_eos")) options.ignoreEos(Integer.parseInt(a.get("ignore_eos")));
        if (a.containsKey("context_full")) options.contextFull(ContextFull.of(Integer.parseInt(a.get("context_full"))));
        if (a.containsKey("speculation")) options.speculation(Speculation.of(Integer.parseInt(a.get("speculation"))));
        if (a.containsKey("choice_count")) options.choiceCount(Integer.parseInt(a.get("choice_count")));
        if (a.containsKey("temperature")) options.temperature(Float.parseFloat(a.get("temperature")));
        if (a.containsKey("priority")) options.priority(Integer.parseInt(a.get("priority")));
        if (a.containsKey("stop")) options.stop(a.get("stop"));
        if (a.containsKey("session")) options.session(get(a.get("session")));
        return options;
    }

    private static Answer begin(Map<String, String> a) {
        Model model = get(a.get("model"));
        if (a.containsKey("prompt")) return new Answer(model.generate(a.get("prompt"), options(a)));
        if (a.containsKey("prompt_ids")) return new Answer(model.generate(numbers(a.get("prompt_ids")), options(a)));
        List<Message> messages = new ArrayList<>();
        String[][] parts = {{"system", "system"}, {"user", "user"}, {"assistant", "reply"}, {"user", "then"}};
        for (String[] part : parts) {
            if (a.containsKey(part[1])) messages.add(new Message(part[0], a.get(part[1])));
        }
        return new Answer(model.chat(messages, options(a)));
    }

    private static Map<String, Object> cancelElsewhere(Answer answer) throws InterruptedException {
        answer.next(null);
        Thread canceller = new Thread(answer.generation()::cancel);
        canceller.start();
        Map<String, Object> reply = answer.finish();
        canceller.join();
        return reply;
    }

    private static Map<String, Object> concurrent(Map<String, String> a) throws Exception {
        List<Callable<String>> tasks = new ArrayList<>();
        for (int i = 0; i < Integer.parseInt(a.get("count")); ++i) tasks.add(() -> begin(a).generation().text());
        List<String> texts = new ArrayList<>();
        try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
            for (Future<String> text : executor.invokeAll(tasks)) texts.add(text.get());
        }
        return Map.of("same", flag(texts.stream().distinct().count() == 1), "text", texts.get(0));
    }

    private static void cycle(Map<String, String> a) {
        try (Engine engine = new Engine(new EngineOptions().threadCount(1))) {
            for (int i = 0; i < Integer.parseInt(a.get("count")); ++i) {
                try (Model model = engine.load(a.get("path"))) {
                    model.generate("x", new RequestOptions().maxTokens(1)).text();
                }
            }
        }
        System.gc();
    }

    private static void reset() throws Exception {
        List<AutoCloseable> made = new ArrayList<>(objects.values());
        for (int i = made.size() - 1; i >= 0; --i) made.get(i).close();
        objects.clear();
    }

    private static Map<String, Object> ofModel(String command, Map<String, String> a) {
        Model model = get(a.get("model"));
        return switch (command) {
            case "info" -> Map.of("architecture", model.info().architecture(), "name", model.info().name(),
                "vocabulary_size", model.info().vocabularySize());
            case "evict" -> {
                model.evict();
                yield Map.of();
            }
            case "model_memory" -> Map.of("state", model.memory().state());
            case "tokenize" -> Map.of("ids", joined(model.tokenize(a.get("text"))));
            case "chat_ids" ->
                Map.of("ids", joined(model.tokenizeChat(List.of(new Message(a.get("role"), a.get("content"))))));
            case "ranges" -> {
                List<TokenRange> found = model.tokenizeRanges(a.get("text"));
                yield Map.of("ids", joined(found.stream().mapToInt(TokenRange::tokenId).toArray()),
                    "starts", joined(found.stream().mapToInt(one -> (int) one.start()).toArray()),
                    "ends", joined(found.stream().mapToInt(one -> (int) one.end()).toArray()));
            }
            case "token" -> {
                Token token = model.token(Integer.parseInt(a.get("token")));
                yield Map.of("text", new String(token.bytes(), StandardCharsets.UTF_8), "attributes", token.attributes());
            }
            case "score" -> {
                float[] scores = model.score(a.get("prompt"));
                int[] tenths = new int[scores.length];
                for (int i = 0; i < scores.length; ++i) tenths[i] = (int) Math.floor(scores[i] * 10.0 + 0.5);
                yield Map.of("scores", joined(tenths));
            }
            case "detokenize" -> Map.of("text", model.detokenize(numbers(a.get("ids"))));
            default -> Map.of("text", model.renderChat(List.of(new Message(a.get("role"), a.get("content")))));
        };
    }

    private static Map<String, Object> ofSession(String command, Map<String, String> a) {
        Session session = get(a.get("session"));
        switch (command) {
            case "session" -> objects.put(a.get("id"), ConformanceRunner.<Model>get(a.get("model")).newSession());
            case "fork" -> objects.put(a.get("id"), session.fork());
            case "truncate" -> session.truncate(Long.parseLong(a.get("tokens")));
            case "undo" -> session.undo();
            case "save" -> session.save(a.get("name"));
            case "transfer" -> {
                byte[] data = session.export();
                if (a.containsKey("damaged")) data[data.length - 1] ^= 1;
                objects.put(a.get("id"), ConformanceRunner.<Model>get(a.get("model")).importSession(data));
            }
            case "restore" -> objects.put(a.get("id"), ConformanceRunner.<Model>get(a.get("model")).loadSession(a.get("path")));
            default -> {
                return Map.of("tokens", session.info().tokenCount(), "turns", session.info().turnCount(),
                    "ids", joined(session.tokenIds()));
            }
        }
        return Map.of();
    }

    private static Map<String, Object> ofEngine(String command, Map<String, String> a) {
        Engine engine = get(a.get("engine"));
        switch (command) {
            case "pause" -> engine.pause();
            case "resume" -> engine.resume();
            case "shutdown" -> engine.shutdown(null);
            case "budget" -> engine.setMemoryBudget(Long.parseLong(a.get("bytes")));
            case "step_target" -> engine.setStepTarget(Duration.ofNanos(1000 * Long.parseLong(a.get("us"))));
            case "metrics" -> {
                Metrics metrics = engine.metrics();
                return Map.of("step_target", metrics.stepTargetUs(), "submitted", metrics.submittedRequests());
            }
            case "trim" -> {
                int flags = Integer.parseInt(a.get("flags"));
                engine.trim(Arrays.stream(TrimFlags.values()).filter(flag -> (flags & flag.number) != 0)
                    .toArray(TrimFlags[]::new));
            }
            case "memory_event" -> {
                MemoryEvent event = engine.nextMemoryEvent(timeout(a));
                return Map.of("pressure", event.pressure(), "used", event.usedBytes(), "budget", event.budgetBytes());
            }
            default -> {
                MemoryStats stats = engine.memoryStats();
                return Map.of("models", stats.modelCount(), "used", stats.usedBytes(), "sessions", stats.sessionCount(),
                    "weights", stats.weightBytes());
            }
        }
        return Map.of();
    }

    private static Map<String, Object> withoutEngine(String command, Map<String, String> a) {
        switch (command) {
            case "machine":
                MachineInfo machine = Machine.info();
                MachineCeilings ceilings = Machine.measure(1, Duration.ofMillis(50));
                return Map.of("cpus", machine.usableCpuCount(), "kernels", machine.kernels(), "devices",
                    Machine.devices(DeviceKind.CPU).size(), "measured", flag(ceilings.readBytesPerSecond() > 0));
            case "inspect":
                ModelInfo info = Machine.inspect(a.get("path"));
                return Map.of("architecture", info.architecture(), "name", info.name(), "vocabulary_size",
                    info.vocabularySize(), "json", Machine.inspectJson(a.get("path")), "plan", Machine.planJson(a.get("path")));
            default:
                EngineOptions options = new EngineOptions();
                if (a.containsKey("context_tokens")) options.contextTokens(Integer.parseInt(a.get("context_tokens")));
                if (a.containsKey("memory_budget_bytes")) {
                    options.memoryBudgetBytes(Long.parseLong(a.get("memory_budget_bytes")));
                }
                MemoryEstimate found = Machine.estimate(a.get("path"), options, new LoadOptions());
                long parts = found.weightBytes() + found.kvBytes() + found.activationBytes() + found.otherBytes();
                return Map.of("weights", found.weightBytes(), "complete",
                    flag(found.totalBytes() == parts && parts <= found.peakBytes()));
        }
    }

    private static Duration timeout(Map<String, String> a) {
        return a.containsKey("timeout_us") ? Duration.ofNanos(1000 * Long.parseLong(a.get("timeout_us"))) : null;
    }

    private static Map<String, Object> ofStream(String command, Map<String, String> a) throws InterruptedException {
        Answer answer = get(a.get("stream"));
        return switch (command) {
            case "next" -> Map.of("end", flag(!answer.next(timeout(a))));
            case "finish" -> answer.finish();
            case "cancel_elsewhere" -> cancelElsewhere(answer);
            case "request_info" -> {
                RequestInfo info = answer.generation().info();
                yield Map.of("state", info.state(), "generated", info.generatedTokenCount());
            }
            case "priority" -> {
                answer.generation().setPriority(Integer.parseInt(a.get("priority")));
                yield Map.of();
            }
            default -> {
                answer.generation().cancel();
                yield Map.of();
            }
        };
    }

    private static Map<String, Object> run(String command, Map<String, String> a) throws Exception {
        switch (command) {
            case "layout": return Map.of("layout", Layouts.describe(Raw.STRUCTS));
            case "version": return Map.of("version", Engine.libraryVersion(), "abi", Raw.fsv_abi_version());
            case "open": open(a); break;
            case "load": return load(a);
            case "generate": return begin(a).finish();
            case "start": objects.put(a.get("id"), begin(a)); break;
            case "concurrent": return concurrent(a);
            case "close": objects.get(a.get("id")).close(); break;
            case "cycle": cycle(a); break;
            case "reset": reset(); break;
            case "machine", "inspect", "estimate": return withoutEngine(command, a);
            case "info", "tokenize", "detokenize", "render", "chat_ids", "ranges", "token", "score", "evict", "model_memory":
                return ofModel(command, a);
            case "session", "fork", "truncate", "undo", "save", "restore", "transfer", "session_info": return ofSession(command, a);
            case "next", "finish", "cancel", "cancel_elsewhere", "priority", "request_info": return ofStream(command, a);
            default: return ofEngine(command, a);
        }
        return Map.of();
    }

    private static String answer(String line) throws Exception {
        String[] words = line.split(" ");
        Map<String, String> a = new LinkedHashMap<>();
        for (int i = 1; i < words.length; ++i) {
            int at = words[i].indexOf('=');
            a.put(words[i].substring(0, at), URLDecoder.decode(words[i].substring(at + 1).replace("+", "%2B"), StandardCharsets.UTF_8));
        }
        StringBuilder reply = new StringBuilder("ok");
        Map<String, Object> values;
        try {
            values = run(words[0], a);
        } catch (FastserveException refused) {
            reply = new StringBuilder("error");
            values = Map.of("status", "FSV_ERROR_" + refused.status().name(), "message", refused.getMessage());
        }
        for (Map.Entry<String, Object> value : values.entrySet()) {
            String encoded = URLEncoder.encode(value.getValue().toString(), StandardCharsets.UTF_8).replace("+", "%20");
            reply.append(' ').append(value.getKey()).append('=').append(encoded);
        }
        return reply.toString();
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) out.println(answer(line));
    }
}
