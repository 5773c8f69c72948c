// WeightUpload: packed weights on their way to a device, in pieces through page-locked buffers: while one piece is
// under way the next is packed. Any number of workers at once.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/device_memory.h"

namespace fastserve {

class WeightUpload {
 public:
  // Buffers for pieces of at most `piece_bytes`; `worker_count` workers find one each, and one is under way.
  static Result<std::unique_ptr<WeightUpload>> create(std::shared_ptr<DeviceMemory> memory, size_t piece_bytes,
                                                      uint32_t worker_count);
  static uint64_t buffer_bytes(size_t piece_bytes, uint32_t worker_count) {
    return uint64_t{piece_bytes} * (uint64_t{worker_count} + 1);
  }

  // Lets `pack` fill a buffer and sends it to `target`.
  template <typename F>
  Status send(uint8_t* target, size_t size_bytes, F&& pack) {
    FSV_TRY(commit(target, size_bytes));
    Slot& slot = take();
    Status status = guarded([&]() -> Status {
      FSV_TRY(slot.stream->wait());  // its last piece has arrived
      pack(slot.buffer.data());
      slot.stream->copy_to_device(target, slot.buffer.data(), size_bytes);
      return {};
    });
    give(slot);
    return status;
  }
  Status write(void* target, const void* source, size_t size_bytes);
  // Every piece has arrived. Nobody may send meanwhile.
  Status finish();

 private:
  struct Slot {
    PinnedBuffer buffer;
    std::unique_ptr<DeviceStream> stream;
    bool is_taken = false;
  };
  explicit WeightUpload(std::shared_ptr<DeviceMemory> memory) : memory_(std::move(memory)) {}
  Status commit(void* target, size_t size_bytes);
  Slot& take();
  void give(Slot& slot);

  std::shared_ptr<DeviceMemory> memory_;
  std::mutex mutex_;
  std::condition_variable given_;
  std::vector<Slot> slots_;
  size_t next_ = 0;
};

}  // namespace fastserve
