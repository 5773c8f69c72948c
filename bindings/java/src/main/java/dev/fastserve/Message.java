package dev.fastserve;

/**
 * One message of a conversation.
 * @param role "system", "user" or "assistant"
 */
public record Message(String role, String content) {}
