// GPT-2's way to write bytes as printable characters, in which byte-level vocabularies are stored.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "text/aligned_text.h"

namespace fastserve {

// The code point that stands for `byte`.
uint32_t byte_level_code_point(uint8_t byte);
// The bytes that `token` stands for; none when it holds a character that stands for no byte, or is not UTF-8.
std::optional<std::string> byte_level_decode(std::string_view token);
std::string byte_level_encode(std::string_view bytes);
// "<0x0A>", as SentencePiece writes bytes: the byte, -1 if it is none.
int byte_of_token(std::string_view token);
// Appends the character for the byte of `text` at `at`.
void append_byte_level(const AlignedText& text, size_t at, AlignedText& out);

}  // namespace fastserve
