package dev.fastserve;

/**
 * What a vocabulary has at a number.
 * @param bytes its text, which may be a part of a code point
 * @param attributes of TokenAttributes, combined
 */
public record Token(byte[] bytes, int attributes) {
    public boolean is(TokenAttributes attribute) {
        return (attributes & attribute.number) != 0;
    }
}
