// From a token's text to its id: open addressing over ids, the texts stay where they are.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/string_table.h"
#include "text/slot_array.h"

namespace fastserve {

class TokenIndex {
 public:
  // `texts` must outlive the index and stay as it is. Call fill_part() until it is true, before anything else.
  explicit TokenIndex(const StringTable* texts) : texts_(texts), slots_(texts->size()) {}
  bool fill_part() { return slots_.fill_part(); }
  // The first id inserted under a text keeps it.
  void insert(int32_t id) {
    const std::string_view text = (*texts_)[static_cast<size_t>(id)];
    const size_t hash = std::hash<std::string_view>()(text);
    Slot& slot = slots_[slot_of(text, hash)];
    if (slot.id < 0) slot = {id, tag_of(hash)};
  }
  // -1 if there is none.
  int32_t find(std::string_view text) const { return slots_[slot_of(text, std::hash<std::string_view>()(text))].id; }

 private:
  // Other bits of the hash than those that choose the slot tell most texts apart without a look at them.
  struct Slot {
    int32_t id = -1;
    uint32_t tag = 0;
  };
  static uint32_t tag_of(size_t hash) { return static_cast<uint32_t>(uint64_t{hash} >> 32); }
  bool holds(const Slot& slot, std::string_view text, size_t hash) const {
    return slot.tag == tag_of(hash) && (*texts_)[static_cast<size_t>(slot.id)] == text;
  }
  size_t slot_of(std::string_view text, size_t hash) const {
    size_t at = hash & slots_.mask();
    while (slots_[at].id >= 0 && !holds(slots_[at], text, hash)) at = (at + 1) & slots_.mask();
    return at;
  }

  const StringTable* texts_;
  SlotArray<Slot> slots_;
};

}  // namespace fastserve
