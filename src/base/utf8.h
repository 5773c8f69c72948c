// UTF-8 well-formedness, as the Unicode standard defines it (no overlong forms, no surrogates).
#pragma once
#include <cstddef>
#include <string_view>

namespace fastserve {

// Bytes of the well-formed sequence at the start of `text`, 0 if there is none.
inline size_t utf8_sequence_size(std::string_view text) {
  if (text.empty()) return 0;
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xC2 && first <= 0xDF   ? 2
                      : (first & 0xF0) == 0xE0         ? 3
                      : first >= 0xF0 && first <= 0xF4 ? 4
                                                       : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  return size;
}

// Offset of the first byte that is not part of well-formed UTF-8; text.size() if all is.
inline size_t utf8_valid_prefix(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const size_t size = utf8_sequence_size(text.substr(offset));
    if (size == 0) break;
    offset += size;
  }
  return offset;
}

// The longest prefix of at most `capacity` bytes that cuts no code point.
inline std::string_view utf8_truncate(std::string_view text, size_t capacity) {
  if (text.size() <= capacity) return text;
  size_t end = capacity;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace fastserve
