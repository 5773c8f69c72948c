package dev.fastserve;

/**
 * How a request, or one of its choices, ended.
 * @param cachedTokens of the prompt, that came with the session's keys and values
 * @param cumulativeLogprob sum of the tokens' log-probabilities, if reported
 * @param score of a text that a beam search found
 */
public record End(FinishReason reason, int choice, int promptTokens, int generatedTokens, int cachedTokens, long queueUs,
        long firstTokenUs, long totalUs, double cumulativeLogprob, double score) {}
