package dev.fastserve;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;

/** A model in its engine. After close() no new request can name it; running ones finish. */
public final class Model extends NativeHandle {
    private final Engine engine;

    Model(Engine engine, long handle) {
        super(handle, value -> Raw.fsv_model_release(value, MemorySegment.NULL));
        this.engine = engine;
    }

    public Engine engine() {
        return engine;
    }

    /** Begins an answer to a text, and returns at once. */
    public Generation generate(String prompt, RequestOptions options) {
        return submit(options, (arena, config, request, error) -> {
            Call.setText(config, Raw.GenerateConfig.text, Raw.GenerateConfig.text_size, Call.bytes(arena, prompt));
            return Raw.fsv_submit_generate(engine.handle, handle, config, request, error);
        });
    }

    public Generation generate(String prompt) {
        return generate(prompt, new RequestOptions());
    }

    /** Begins an answer to token ids. */
    public Generation generate(int[] prompt, RequestOptions options) {
        return submit(options, (arena, config, request, error) -> {
            config.set(ADDRESS, Raw.GenerateConfig.token_ids, Call.ids(arena, prompt));
            config.set(JAVA_LONG, Raw.GenerateConfig.token_count, prompt.length);
            return Raw.fsv_submit_generate(engine.handle, handle, config, request, error);
        });
    }

    /** Begins an answer to a conversation. */
    public Generation chat(List<Message> messages, RequestOptions options) {
        return submit(options, (arena, config, request, error) -> {
            MemorySegment chat = Raw.Chat.make(arena);
            chat.set(ADDRESS, Raw.Chat.messages, messages(arena, messages));
            chat.set(JAVA_LONG, Raw.Chat.message_count, messages.size());
            Call.setString(chat, Raw.Chat.tools_json, Call.bytes(arena, options.toolsJson));
            Call.setString(chat, Raw.Chat.variables_json, Call.bytes(arena, options.variablesJson));
            Call.setString(chat, Raw.Chat.template_text, Call.bytes(arena, options.template));
            return Raw.fsv_submit_chat(engine.handle, handle, chat, config, request, error);
        });
    }

    public Generation chat(List<Message> messages) {
        return chat(messages, new RequestOptions());
    }

    /** log p(token[i] | token[0..i-1]) of every token of a prompt; the first value is 0. */
    public float[] score(int[] prompt) {
        return score((arena, config) -> {
            config.set(ADDRESS, Raw.ScoreConfig.token_ids, Call.ids(arena, prompt));
            config.set(JAVA_LONG, Raw.ScoreConfig.token_count, prompt.length);
        });
    }

    /** The same of a text. */
    public float[] score(String prompt) {
        return score((arena, config) -> Call.setText(config, Raw.ScoreConfig.text, Raw.ScoreConfig.text_size,
            Call.bytes(arena, prompt)));
    }

    private float[] score(BiConsumer<Arena, MemorySegment> writePrompt) {
        Pump.Sink sink = engine.pump.open();
        float[] scores = new float[0];
        try (Generation scoring = begin(sink, (arena, request, error) -> {
            MemorySegment config = Raw.ScoreConfig.make(arena);
            writePrompt.accept(arena, config);
            config.set(JAVA_LONG, Raw.ScoreConfig.user_data, sink.key);
            return Raw.fsv_submit_score(engine.handle, handle, config, request, error);
        })) {
            for (Piece piece : scoring) {
                int before = scores.length;
                scores = Arrays.copyOf(scores, before + piece.logprobs().length);
                System.arraycopy(piece.logprobs(), 0, scores, before, piece.logprobs().length);
            }
        }
        return scores;
    }

    private interface Submit {
        int run(Arena arena, MemorySegment config, MemorySegment request, MemorySegment error);
    }

    private interface Begin {
        int run(Arena arena, MemorySegment request, MemorySegment error);
    }

    private Generation submit(RequestOptions options, Submit submit) {
        Pump.Sink sink = engine.pump.open();
        return begin(sink, (arena, request, error) -> {
            MemorySegment config = options.write(arena, handle);
            config.set(JAVA_LONG, Raw.GenerateConfig.user_data, sink.key);
            return submit.run(arena, config, request, error);
        });
    }

    private Generation begin(Pump.Sink sink, Begin begin) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment request = arena.allocate(8, 8);
            Call.check(arena, error -> begin.run(arena, request, error));
            return new Generation(this, sink, request.get(JAVA_LONG, 0));
        } catch (RuntimeException refused) {
            engine.pump.forget(sink);
            throw refused;
        }
    }

    private static MemorySegment messages(Arena arena, List<Message> messages) {
        long size = Raw.ChatMessage.LAYOUT.byteSize();
        MemorySegment block = arena.allocate(size * (messages.size() + 1), 8);
        for (int i = 0; i < messages.size(); ++i) {
            MemorySegment one = block.asSlice(i * size, size);
            Call.setText(one, Raw.ChatMessage.role, Raw.ChatMessage.role_size, Call.bytes(arena, messages.get(i).role()));
            Call.setText(one, Raw.ChatMessage.content, Raw.ChatMessage.content_size,
                Call.bytes(arena, messages.get(i).content()));
        }
        return block;
    }

    public ModelInfo info() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = Raw.ModelInfo.make(arena);
            Call.check(arena, error -> Raw.fsv_model_get_info(handle, info, error));
            return ModelInfo.read(info);
        }
    }

    /** Gives its memory back now: the next request loads it again. FastserveException.WrongState with live requests,
     * FastserveException.Unsupported where LoadFlags.PINNED keeps it. */
    public void evict() {
        Call.check(error -> Raw.fsv_model_evict(engine.handle, handle, error));
    }

    /** What it takes, and in state() (of ModelState) whether it is there. */
    public ModelMemory memory() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment memory = Raw.ModelMemory.make(arena);
            Call.check(arena, error -> Raw.fsv_memory_get_model(engine.handle, handle, memory, error));
            return ModelMemory.read(memory);
        }
    }

    /** Token ids of a text, BOS and EOS as the model asks. */
    public int[] tokenize(String text) {
        return tokenize(text, TokenizeFlags.ADD_BOS.number);
    }

    /** With flags of TokenizeFlags. */
    public int[] tokenize(String text, int flags) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = Call.bytes(arena, text);
            return Call.fillIds(arena, (ids, capacity, count, error) ->
                Raw.fsv_tokenize(handle, bytes, bytes.byteSize(), flags, ids, capacity, count, error));
        }
    }

    /** Token ids of a text, each with what it stands for. */
    public List<TokenRange> tokenizeRanges(String text) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = Call.bytes(arena, text);
            int flags = TokenizeFlags.ADD_BOS.number;
            long size = Raw.TextRange.LAYOUT.byteSize();
            MemorySegment count = arena.allocate(8, 8);
            Call.check(arena, error -> Raw.fsv_tokenize_ranges(handle, bytes, bytes.byteSize(), flags, MemorySegment.NULL,
                MemorySegment.NULL, 0, count, error));
            long capacity = count.get(JAVA_LONG, 0);
            MemorySegment ids = arena.allocate(4 * capacity + 4, 4), ranges = arena.allocate(size * capacity + 8, 8);
            Call.check(arena, error -> Raw.fsv_tokenize_ranges(handle, bytes, bytes.byteSize(), flags, ids, ranges, capacity,
                count, error));
            List<TokenRange> found = new ArrayList<>();
            for (int i = 0; i < count.get(JAVA_LONG, 0); ++i) {
                found.add(new TokenRange(ids.getAtIndex(JAVA_INT, i), ranges.get(JAVA_LONG, i * size + Raw.TextRange.start),
                    ranges.get(JAVA_LONG, i * size + Raw.TextRange.end)));
            }
            return found;
        }
    }

    public Token token(int tokenId) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment attributes = arena.allocate(4, 4);
            MemorySegment bytes = Call.fill(arena, 1, (buffer, capacity, size, error) ->
                Raw.fsv_token_get(handle, tokenId, buffer, capacity, size, attributes, error));
            return new Token(bytes.toArray(JAVA_BYTE), attributes.get(JAVA_INT, 0));
        }
    }

    /** The text of token ids, without control tokens. */
    public String detokenize(int[] tokenIds) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment ids = Call.ids(arena, tokenIds);
            return Call.fillText(arena, (buffer, capacity, size, error) -> Raw.fsv_detokenize(handle, ids, tokenIds.length,
                DetokenizeFlags.SKIP_SPECIAL.number, buffer, capacity, size, error));
        }
    }

    /** The conversation as the model's template writes it. */
    public String renderChat(List<Message> messages) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment block = messages(arena, messages);
            return Call.fillText(arena, (buffer, capacity, size, error) -> Raw.fsv_chat_render(handle, block,
                messages.size(), ChatFlags.ADD_GENERATION_PROMPT.number, buffer, capacity, size, error));
        }
    }

    /** The same as token ids: control tokens are the template's own alone. */
    public int[] tokenizeChat(List<Message> messages) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment block = messages(arena, messages);
            return Call.fillIds(arena, (ids, capacity, count, error) -> Raw.fsv_chat_tokenize(handle, block,
                messages.size(), ChatFlags.ADD_GENERATION_PROMPT.number, ids, capacity, count, error));
        }
    }

    private interface Make {
        int run(Arena arena, MemorySegment session, MemorySegment error);
    }

    private Session session(Make make) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment made = arena.allocate(8, 8);
            Call.check(arena, error -> make.run(arena, made, error));
            return new Session(this, made.get(JAVA_LONG, 0));
        }
    }

    /** A new, empty session of this model. */
    public Session newSession() {
        return session((arena, made, error) -> Raw.fsv_session_create(engine.handle, handle, made, error));
    }

    /** A session of a file that {@link Session#save} wrote. */
    public Session loadSession(String path) {
        return session((arena, made, error) -> {
            MemorySegment bytes = Call.bytes(arena, path);
            return Raw.fsv_session_load(engine.handle, handle, bytes, bytes.byteSize(), made, error);
        });
    }

    /** A session of the bytes that {@link Session#export} gave. */
    public Session importSession(byte[] data) {
        return session((arena, made, error) -> {
            MemorySegment bytes = arena.allocate(data.length + 1L);
            MemorySegment.copy(data, 0, bytes, JAVA_BYTE, 0, data.length);
            return Raw.fsv_session_import(engine.handle, handle, bytes, data.length, made, error);
        });
    }
}
