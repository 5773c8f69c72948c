// Finds tokens that are written as they are (control and user-defined ones) in a text: leftmost, then longest.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace fastserve {

class SpecialTokens {
 public:
  SpecialTokens();
  // Empty texts are left out; of equal texts the first id stays.
  void insert(std::string_view text, int32_t id);
  // Id under exactly `text`, -1 if none.
  int32_t find_exact(std::string_view text) const;
  bool empty() const { return nodes_.size() == 1; }

  struct Match {
    size_t start = 0, size_bytes = 0;
    int32_t id = -1;  // -1: none
  };
  // The first match at or after `from` among those that `accept(match)` allows.
  template <typename Accept>
  Match find(std::string_view text, size_t from, Accept&& accept) const {
    for (size_t start = from; start < text.size(); ++start) {
      int32_t node = first_[static_cast<uint8_t>(text[start])];
      Match found;
      for (size_t end = start + 1; node >= 0; ++end) {
        const Match match{start, end - start, nodes_[static_cast<size_t>(node)].id};
        if (match.id >= 0 && accept(match)) found = match;
        if (end >= text.size()) break;
        node = child_of(node, static_cast<uint8_t>(text[end]));
      }
      if (found.id >= 0) return found;
    }
    return {};
  }

 private:
  struct Node {
    int32_t child = -1, sibling = -1, id = -1;
    uint8_t byte = 0;
  };
  int32_t child_of(int32_t node, uint8_t byte) const;

  std::vector<Node> nodes_;
  int32_t first_[256];
};

}  // namespace fastserve
