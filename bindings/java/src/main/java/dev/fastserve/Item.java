package dev.fastserve;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** A copy of an event, which itself is gone with the next poll. */
record Item(EventType type, Piece piece, End end, FastserveException failure, long bytesDone, long bytesTotal,
        int pressure) {
    Item withPressure(int changed) {
        return new Item(type, piece, end, failure, bytesDone, bytesTotal, changed);
    }

    static Item of(MemorySegment event) {
        EventType type = EventType.of(word(event, Raw.Event.type));
        int status = word(event, Raw.Event.status);
        FastserveException failure = status == 0 ? null
            : Call.failure(status, address(event, Raw.Event.message), number(event, Raw.Event.message_size));
        boolean isPiece = type == EventType.TOKENS || type == EventType.SCORE;
        boolean isEnd = type == EventType.FINISHED || type == EventType.CHOICE_FINISHED;
        return new Item(type, isPiece ? pieceOf(event) : null, isEnd ? endOf(event) : null, failure,
            number(event, Raw.Event.bytes_done), number(event, Raw.Event.bytes_total),
            word(event, Raw.Event.pressure));
    }

    private static int word(MemorySegment event, long offset) {
        return event.get(ValueLayout.JAVA_INT, offset);
    }

    private static long number(MemorySegment event, long offset) {
        return event.get(ValueLayout.JAVA_LONG, offset);
    }

    private static MemorySegment address(MemorySegment event, long offset) {
        return event.get(ValueLayout.ADDRESS, offset);
    }

    private static Piece pieceOf(MemorySegment event) {
        long count = number(event, Raw.Event.token_count);
        MemorySegment ids = address(event, Raw.Event.token_ids);
        MemorySegment logprobs = address(event, Raw.Event.logprobs);
        return new Piece(Call.text(address(event, Raw.Event.text), number(event, Raw.Event.text_size)),
            count == 0 ? new int[0] : ids.reinterpret(4 * count).toArray(ValueLayout.JAVA_INT),
            logprobs.address() == 0 ? new float[0] : logprobs.reinterpret(4 * count).toArray(ValueLayout.JAVA_FLOAT),
            alternativesOf(event, count), word(event, Raw.Event.choice));
    }

    private static List<List<Piece.Alternative>> alternativesOf(MemorySegment event, long count) {
        long width = number(event, Raw.Event.top_logprob_count);
        List<List<Piece.Alternative>> rows = new ArrayList<>();
        if (width == 0) return rows;
        long size = Raw.Logprob.LAYOUT.byteSize();
        MemorySegment all = address(event, Raw.Event.top_logprobs).reinterpret(count * width * size);
        for (long row = 0; row < count; ++row) {
            List<Piece.Alternative> alternatives = new ArrayList<>();
            for (long column = 0; column < width; ++column) {
                long at = (row * width + column) * size;
                alternatives.add(new Piece.Alternative(all.get(ValueLayout.JAVA_INT, at + Raw.Logprob.token_id),
                    all.get(ValueLayout.JAVA_FLOAT, at + Raw.Logprob.logprob)));
            }
            rows.add(alternatives);
        }
        return rows;
    }

    private static End endOf(MemorySegment event) {
        return new End(FinishReason.of(word(event, Raw.Event.finish_reason)), word(event, Raw.Event.choice),
            word(event, Raw.Event.prompt_token_count), word(event, Raw.Event.generated_token_count),
            word(event, Raw.Event.cached_token_count), number(event, Raw.Event.queue_us),
            number(event, Raw.Event.first_token_us), number(event, Raw.Event.total_us),
            event.get(ValueLayout.JAVA_DOUBLE, Raw.Event.cumulative_logprob),
            event.get(ValueLayout.JAVA_DOUBLE, Raw.Event.score));
    }
}
