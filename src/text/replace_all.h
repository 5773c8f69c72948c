// Every occurrence of a text, from left to right, replaced by another.
#pragma once
#include <string>
#include <string_view>

namespace fastserve {

inline std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t start = 0;
  for (size_t at; !from.empty() && (at = text.find(from, start)) != std::string_view::npos; start = at + from.size()) {
    out.append(text.substr(start, at - start)).append(to);
  }
  return out.append(text.substr(start));
}

}  // namespace fastserve
