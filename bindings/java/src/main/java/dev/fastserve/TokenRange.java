package dev.fastserve;

/** A token, and the range of bytes of the text (in UTF-8) that it stands for. */
public record TokenRange(int tokenId, long start, long end) {}
