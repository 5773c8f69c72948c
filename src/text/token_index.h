// From a token's text to its id: open addressing over ids, the texts stay where they are.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "text/string_table.h"

namespace fastserve {

class TokenIndex {
 public:
  // `texts` must outlive the index and stay as it is.
  explicit TokenIndex(const StringTable* texts) : texts_(texts) {
    size_t capacity = 16;
    while (capacity < texts->size() * 3 / 2) capacity *= 2;
    slots_.assign(capacity, -1);
  }
  // The first id inserted under a text keeps it.
  void insert(int32_t id) {
    int32_t& slot = slots_[slot_of((*texts_)[static_cast<size_t>(id)])];
    if (slot < 0) slot = id;
  }
  // -1 if there is none.
  int32_t find(std::string_view text) const { return slots_[slot_of(text)]; }

 private:
  size_t slot_of(std::string_view text) const {
    size_t at = std::hash<std::string_view>()(text) & (slots_.size() - 1);
    while (slots_[at] >= 0 && (*texts_)[static_cast<size_t>(slots_[at])] != text) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  const StringTable* texts_;
  std::vector<int32_t> slots_;
};

}  // namespace fastserve
