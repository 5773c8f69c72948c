// String building for messages: format("tensor ", name, ": ", count, " rows"). Numbers in decimal.
#pragma once
#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>

namespace fastserve {

inline void append_piece(std::string& out, std::string_view piece) { out.append(piece); }
template <typename T>
  requires std::is_arithmetic_v<T>
void append_piece(std::string& out, T value) {
  if constexpr (std::is_same_v<T, bool>) {
    out.append(value ? "true" : "false");
  } else if constexpr (std::is_same_v<T, char>) {
    out.push_back(value);
  } else {
    char digits[64];
    auto end = std::to_chars(digits, digits + sizeof(digits), value);
    out.append(digits, static_cast<size_t>(end.ptr - digits));
  }
}

template <typename... Pieces>
std::string format(const Pieces&... pieces) {
  std::string out;
  (append_piece(out, pieces), ...);
  return out;
}

}  // namespace fastserve
