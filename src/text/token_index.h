// From a token's text to its id: open addressing over ids, the texts stay where they are.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fastserve {

class TokenIndex {
 public:
  // `tokens` must outlive the index and keep its place.
  explicit TokenIndex(const std::vector<std::string>* tokens) : tokens_(tokens) {
    size_t capacity = 16;
    while (capacity < tokens->size() * 3 / 2) capacity *= 2;
    slots_.assign(capacity, -1);
  }
  // The first id inserted under a text keeps it.
  void insert(int32_t id) {
    int32_t& slot = slots_[slot_of((*tokens_)[static_cast<size_t>(id)])];
    if (slot < 0) slot = id;
  }
  // -1 if there is none.
  int32_t find(std::string_view text) const { return slots_[slot_of(text)]; }

 private:
  size_t slot_of(std::string_view text) const {
    size_t at = std::hash<std::string_view>()(text) & (slots_.size() - 1);
    while (slots_[at] >= 0 && (*tokens_)[static_cast<size_t>(slots_[at])] != text) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  const std::vector<std::string>* tokens_;
  std::vector<int32_t> slots_;
};

}  // namespace fastserve
