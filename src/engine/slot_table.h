// SlotTable: generation-tagged numbers for objects of one engine. A number of another engine, an ended object or
// garbage finds nothing. Bounded; guarded by the engine's mutex.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace fastserve {

template <typename T>
class SlotTable {
 public:
  // Numbers are [engine 16 bits][generation 24][kind 4][index 20].
  SlotTable(uint32_t engine_serial, uint32_t kind, uint32_t capacity)
      : engine_serial_(engine_serial & 0xFFFF),
        kind_(kind & 0xF),
        capacity_(capacity < kIndexMax ? capacity : kIndexMax) {}

  // 0 when full.
  uint64_t insert(std::shared_ptr<T> object) {
    uint32_t index;
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else {
      if (slots_.size() >= capacity_) return 0;
      index = static_cast<uint32_t>(slots_.size());
      // So that erase() never allocates.
      if (free_.capacity() <= slots_.size()) free_.reserve(2 * slots_.size() + 16);
      slots_.emplace_back();
    }
    Slot& slot = slots_[index];
    slot.object = std::move(object);
    slot.generation = (slot.generation + 1) & 0xFFFFFF;
    if (slot.generation == 0) slot.generation = 1;
    ++count_;
    return number(index);
  }
  T* find(uint64_t number_value) const {
    const auto index = static_cast<uint32_t>(number_value & (kIndexMax - 1));
    if (index >= slots_.size() || slots_[index].object == nullptr || number(index) != number_value) return nullptr;
    return slots_[index].object.get();
  }
  // Whether the number was ever given out by this table's engine and kind.
  bool is_own(uint64_t number_value) const {
    const auto index = static_cast<uint32_t>(number_value & (kIndexMax - 1));
    return (number_value >> 48) == engine_serial_ && ((number_value >> 20) & 0xF) == kind_ && index < slots_.size();
  }
  std::shared_ptr<T> share(uint64_t number_value) const {
    return find(number_value) != nullptr ? slots_[number_value & (kIndexMax - 1)].object : nullptr;
  }
  void erase(uint64_t number_value) noexcept {
    if (find(number_value) == nullptr) return;
    const auto index = static_cast<uint32_t>(number_value & (kIndexMax - 1));
    slots_[index].object.reset();
    free_.push_back(index);
    --count_;
  }
  uint32_t count() const { return count_; }
  template <typename F>
  void for_each(F&& f) const {
    for (const Slot& slot : slots_) {
      if (slot.object != nullptr) f(*slot.object);
    }
  }

 private:
  static constexpr uint32_t kIndexMax = 1U << 20;
  struct Slot {
    std::shared_ptr<T> object;
    uint32_t generation = 0;
  };
  uint64_t number(uint32_t index) const {
    return (uint64_t{engine_serial_} << 48) | (uint64_t{slots_[index].generation} << 24) | (uint64_t{kind_} << 20) |
           index;
  }

  uint32_t engine_serial_, kind_, capacity_;
  uint32_t count_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace fastserve
