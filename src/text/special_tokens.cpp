// A byte trie with sibling lists; its first level is a table, since most positions of a text fail there.
#include "text/special_tokens.h"

#include <algorithm>
#include <iterator>

namespace fastserve {

SpecialTokens::SpecialTokens() : nodes_(1) { std::fill(std::begin(first_), std::end(first_), -1); }

int32_t SpecialTokens::child_of(int32_t node, uint8_t byte) const {
  int32_t child = nodes_[static_cast<size_t>(node)].child;
  while (child >= 0 && nodes_[static_cast<size_t>(child)].byte != byte) {
    child = nodes_[static_cast<size_t>(child)].sibling;
  }
  return child;
}

void SpecialTokens::insert(std::string_view text, int32_t id) {
  if (text.empty()) return;
  int32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    int32_t child = i == 0 ? first_[byte] : child_of(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_.push_back({-1, nodes_[static_cast<size_t>(node)].child, -1, byte});
      nodes_[static_cast<size_t>(node)].child = child;
      if (i == 0) first_[byte] = child;
    }
    node = child;
  }
  int32_t& held = nodes_[static_cast<size_t>(node)].id;
  if (held < 0) held = id;
}

int32_t SpecialTokens::find_exact(std::string_view text) const {
  if (text.empty()) return -1;
  int32_t node = first_[static_cast<uint8_t>(text[0])];
  for (size_t i = 1; i < text.size() && node >= 0; ++i) node = child_of(node, static_cast<uint8_t>(text[i]));
  return node < 0 ? -1 : nodes_[static_cast<size_t>(node)].id;
}

}  // namespace fastserve
