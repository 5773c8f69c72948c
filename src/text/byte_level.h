// GPT-2's way to write bytes as printable characters, in which byte-level vocabularies are stored.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fastserve {

// The code point that stands for `byte`.
uint32_t byte_level_code_point(uint8_t byte);
// The bytes that `token` stands for; none when it holds a character that stands for no byte, or is not UTF-8.
std::optional<std::string> byte_level_decode(std::string_view token);
std::string byte_level_encode(std::string_view bytes);

}  // namespace fastserve
