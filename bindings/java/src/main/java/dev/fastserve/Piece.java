package dev.fastserve;

import java.util.List;

/**
 * New tokens, and the text that they complete.
 * @param logprobs one for each token, if asked for; else empty
 * @param topLogprobs the likeliest tokens in each one's place, if asked for; else empty
 * @param choice which of several answers
 */
public record Piece(String text, int[] tokenIds, float[] logprobs, List<List<Alternative>> topLogprobs, int choice) {
    /** A token that could have come instead. */
    public record Alternative(int tokenId, float logprob) {}

    /** The text alone, to print it. */
    @Override
    public String toString() {
        return text;
    }
}
