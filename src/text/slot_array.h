// The slots of an open-addressing table. A large one is made in parts, since memory that is touched for the first time
// takes its time.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

namespace fastserve {

template <typename Slot>
class SlotArray {
 public:
  // For `count` entries, of two thirds of the slots at most. None is there before fill_part().
  explicit SlotArray(size_t count) {
    while (capacity_ < count * 3 / 2) capacity_ *= 2;
    slots_.reserve(capacity_);
  }
  // Makes some of the slots that are missing. True when none is.
  bool fill_part() {
    slots_.resize(std::min(capacity_, slots_.size() + kPartBytes / sizeof(Slot)));
    return slots_.size() == capacity_;
  }
  size_t mask() const { return capacity_ - 1; }
  Slot& operator[](size_t i) { return slots_[i]; }
  const Slot& operator[](size_t i) const { return slots_[i]; }

 private:
  static constexpr size_t kPartBytes = size_t{1} << 18;
  size_t capacity_ = 16;  // a power of two
  std::vector<Slot> slots_;
};

}  // namespace fastserve
