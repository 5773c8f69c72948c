#include "engine/weight_upload.h"

namespace fastserve {

Result<std::unique_ptr<WeightUpload>> WeightUpload::create(std::shared_ptr<DeviceMemory> memory, size_t piece_bytes,
                                                           uint32_t worker_count) {
  std::unique_ptr<WeightUpload> upload(new WeightUpload(std::move(memory)));
  upload->slots_.resize(size_t{worker_count} + 1);
  for (Slot& slot : upload->slots_) {
    FSV_ASSIGN(slot.buffer, PinnedBuffer::allocate(upload->memory_->device(), piece_bytes));
    FSV_ASSIGN(slot.stream, DeviceStream::open(upload->memory_->device(), kernels::DevicePriority::kLow));
  }
  return upload;
}

Status WeightUpload::commit(void* target, size_t size_bytes) {
  if (memory_->pool().commit(target, size_bytes)) return {};
  return Status::from_literal(StatusCode::kOutOfMemory, "the device has no memory left for the weights");
}

// In turn, so that the slot that was sent longest ago comes next.
WeightUpload::Slot& WeightUpload::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[(next_ + i) % slots_.size()];
      if (slot.is_taken) continue;
      slot.is_taken = true;
      next_ = (next_ + i + 1) % slots_.size();
      return slot;
    }
    given_.wait(lock);
  }
}

void WeightUpload::give(Slot& slot) {
  const std::lock_guard lock(mutex_);
  slot.is_taken = false;
  given_.notify_one();
}

Status WeightUpload::write(void* target, const void* source, size_t size_bytes) {
  FSV_TRY(commit(target, size_bytes));
  return memory_->mover(MemoryUse::kWeights).write(target, source, size_bytes);
}

Status WeightUpload::finish() {
  Status first;
  for (Slot& slot : slots_) {
    if (Status done = slot.stream->wait(); first.ok()) first = std::move(done);
  }
  return first;
}

}  // namespace fastserve
