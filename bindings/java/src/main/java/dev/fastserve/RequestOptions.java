package dev.fastserve;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;

/** Settings of a request: {@code new RequestOptions().temperature(0).maxTokens(64)}. */
public final class RequestOptions extends RequestSettings<RequestOptions> {
    private List<String> stop = List.of();
    private int[] stopTokenIds = {};
    private Map<Integer, Float> logitBias = Map.of();
    private Session session;
    private BeamSearch beamSearch;
    String toolsJson = "";
    String variablesJson = "";
    String template = "";

    @Override
    RequestOptions self() {
        return this;
    }

    /** Strings that end the answer; they are not part of it. */
    public RequestOptions stop(String... strings) {
        stop = List.of(strings);
        return this;
    }

    public RequestOptions stopTokenIds(int... ids) {
        stopTokenIds = ids.clone();
        return this;
    }

    /** Added to the logits of tokens, by their ids. */
    public RequestOptions logitBias(Map<Integer, Float> biases) {
        logitBias = Map.copyOf(biases);
        return this;
    }

    /** Whose text the prompt continues, and which takes the answer. */
    public RequestOptions session(Session kept) {
        session = kept;
        return this;
    }

    public RequestOptions beamSearch(BeamSearch search) {
        beamSearch = search;
        return this;
    }

    /** Of a chat: an array of tool definitions, as JSON, for the template. */
    public RequestOptions tools(String json) {
        toolsJson = json;
        return this;
    }

    /** Of a chat: an object of further variables of the template, as JSON. */
    public RequestOptions variables(String json) {
        variablesJson = json;
        return this;
    }

    /** Of a chat: a Jinja template to use instead of the model's. */
    public RequestOptions template(String text) {
        template = text;
        return this;
    }

    /** An fsv_generate_config without its prompt. */
    MemorySegment write(Arena arena, long model) {
        MemorySegment config = generateConfig.write(Raw.GenerateConfig.make(arena));
        if (!sampling.isEmpty() || !logitBias.isEmpty()) {
            config.set(ValueLayout.ADDRESS, Raw.GenerateConfig.sampling, writeSampling(arena, model));
        }
        MemorySegment strings = arena.allocate(Raw.String.LAYOUT, stop.size() + 1L);
        for (int i = 0; i < stop.size(); ++i) {
            Call.setString(strings, i * Raw.String.LAYOUT.byteSize(), Call.bytes(arena, stop.get(i)));
        }
        config.set(ValueLayout.ADDRESS, Raw.GenerateConfig.stop_strings, stop.isEmpty() ? MemorySegment.NULL : strings);
        config.set(ValueLayout.JAVA_LONG, Raw.GenerateConfig.stop_string_count, stop.size());
        config.set(ValueLayout.ADDRESS, Raw.GenerateConfig.stop_token_ids,
            stopTokenIds.length == 0 ? MemorySegment.NULL : Call.ids(arena, stopTokenIds));
        config.set(ValueLayout.JAVA_LONG, Raw.GenerateConfig.stop_token_count, stopTokenIds.length);
        if (session != null) config.set(ValueLayout.JAVA_LONG, Raw.GenerateConfig.session, session.handle);
        if (beamSearch != null) {
            MemorySegment search = beamSearch.beamSearch.write(Raw.BeamSearch.make(arena));
            config.set(ValueLayout.ADDRESS, Raw.GenerateConfig.beam_search, search);
        }
        return config;
    }

    /** The model's own sampling, changed. */
    private MemorySegment writeSampling(Arena arena, long model) {
        MemorySegment made = Raw.Sampling.make(arena);
        Call.check(arena, error -> Raw.fsv_model_default_sampling(model, made, error));
        sampling.write(made);
        if (logitBias.isEmpty()) return made;
        MemorySegment biases = arena.allocate(Raw.LogitBias.LAYOUT, logitBias.size());
        long at = 0;
        for (Map.Entry<Integer, Float> one : logitBias.entrySet()) {
            biases.set(ValueLayout.JAVA_INT, at + Raw.LogitBias.token_id, one.getKey());
            biases.set(ValueLayout.JAVA_FLOAT, at + Raw.LogitBias.bias, one.getValue());
            at += Raw.LogitBias.LAYOUT.byteSize();
        }
        made.set(ValueLayout.ADDRESS, Raw.Sampling.logit_bias, biases);
        made.set(ValueLayout.JAVA_LONG, Raw.Sampling.logit_bias_count, logitBias.size());
        return made;
    }
}
