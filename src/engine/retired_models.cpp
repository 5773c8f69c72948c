// Pages go back a few at a time; a mapping without pages is gone in no time.
#include "engine/retired_models.h"

#include <algorithm>
#include <utility>

#include "base/heap.h"

namespace fastserve {

std::shared_ptr<LoadedModel> RetiredModels::create_model(const std::shared_ptr<RetiredModels>& home) {
  auto model = std::make_unique<LoadedModel>();
  if (home == nullptr) {
    auto end = [](LoadedModel* ended) noexcept {
      delete ended;
      trim_heap();
    };
    return {model.release(), std::move(end)};
  }
  auto retire = [home](LoadedModel* retired) noexcept { home->take(std::unique_ptr<LoadedModel>(retired)); };
  return {model.release(), std::move(retire)};
}

Buffer* RetiredModels::next_buffer(LoadedModel& model) noexcept {
  if (model.weights.data() != nullptr) return &model.weights;
  if (model.workspace.buffer().data() != nullptr) return &model.workspace.buffer();
  return model.kv.first_segment();
}

void RetiredModels::take(std::unique_ptr<LoadedModel> model) noexcept {
  const uint64_t size_bytes = model->weights.size_bytes() + model->workspace.buffer().size_bytes() +
                              static_cast<uint64_t>(model->kv.usage().total_bytes);
  if (size_bytes <= kPieceBytes) return;
  const std::lock_guard lock(mutex_);
  if (is_closed_) return;
  model->next_retired = std::move(first_);
  first_ = std::move(model);
}

bool RetiredModels::drop_once() noexcept {
  if (dropped_ == nullptr) {
    if (std::exchange(wants_trim_, false)) {
      trim_heap();
      return true;
    }
    const std::lock_guard lock(mutex_);
    dropped_ = std::move(first_);
    if (dropped_ == nullptr) return false;
    first_ = std::move(dropped_->next_retired);
  }
  Buffer* buffer = next_buffer(*dropped_);
  if (buffer == nullptr) {
    dropped_.reset();
    wants_trim_ = true;
    return true;
  }
  const uint64_t part = std::min(kPieceBytes, buffer->size_bytes() - discarded_bytes_);
  os::discard_pages(buffer->data() + discarded_bytes_, static_cast<size_t>(part));
  discarded_bytes_ += part;
  if (discarded_bytes_ < buffer->size_bytes()) return true;
  buffer->reset();
  discarded_bytes_ = 0;
  return true;
}

bool RetiredModels::empty() const noexcept {
  const std::lock_guard lock(mutex_);
  return first_ == nullptr && dropped_ == nullptr && !wants_trim_;
}

void RetiredModels::close() noexcept {
  std::unique_ptr<LoadedModel> left;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    left = std::move(first_);
  }
  dropped_.reset();
  while (left != nullptr) left = std::move(left->next_retired);
}

}  // namespace fastserve
