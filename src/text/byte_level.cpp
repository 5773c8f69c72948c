// Printable Latin-1 bytes stand for themselves; the 68 others are numbered from U+0100 on.
#include "text/byte_level.h"

#include <array>
#include <charconv>

#include "text/unicode.h"

namespace fastserve {
namespace {

constexpr bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr uint32_t kOthersStart = 0x100, kOthersCount = 68;

struct Tables {
  std::array<uint16_t, 256> code_points{};
  std::array<uint8_t, kOthersCount> others{};
};

constexpr Tables make_tables() {
  Tables tables;
  uint32_t count = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (stands_for_itself(byte)) {
      tables.code_points[byte] = static_cast<uint16_t>(byte);
    } else {
      tables.others[count] = static_cast<uint8_t>(byte);
      tables.code_points[byte] = static_cast<uint16_t>(kOthersStart + count++);
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

uint32_t byte_level_code_point(uint8_t byte) { return kTables.code_points[byte]; }

std::optional<std::string> byte_level_decode(std::string_view token) {
  if (unicode::valid_prefix_bytes(token) != token.size()) return std::nullopt;
  std::string bytes;
  for (size_t position = 0; position < token.size();) {
    const unicode::CodePoint c = unicode::read_valid(token.data() + position);
    position += c.size_bytes;
    if (c.value < kOthersStart && stands_for_itself(c.value)) {
      bytes.push_back(static_cast<char>(c.value));
    } else if (c.value >= kOthersStart && c.value < kOthersStart + kOthersCount) {
      bytes.push_back(static_cast<char>(kTables.others[c.value - kOthersStart]));
    } else {
      return std::nullopt;
    }
  }
  return bytes;
}

void append_byte_level(const AlignedText& text, size_t at, AlignedText& out) {
  std::string character;
  unicode::append_utf8(byte_level_code_point(static_cast<uint8_t>(text.text[at])), character);
  out.append(character, text.source(at, at + 1));
}

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return error == std::errc() && end == token.data() + 5 && byte >= 0 ? byte : -1;
}

std::string byte_level_encode(std::string_view bytes) {
  std::string token;
  for (char byte : bytes) unicode::append_utf8(byte_level_code_point(static_cast<uint8_t>(byte)), token);
  return token;
}

}  // namespace fastserve
