// EventHub: the ring and its signals. The wait handle is set exactly while the ring holds something.
#include "engine/event_hub.h"

namespace fastserve {

Result<std::unique_ptr<EventHub>> EventHub::create(size_t capacity) {
  auto hub = std::make_unique<EventHub>();
  hub->ring_.resize(capacity);
  FSV_ASSIGN(hub->handle_, os::create_wait_handle());
  return hub;
}

void EventHub::push(uint64_t number) noexcept {
  if (count_ == ring_.size()) return;  // cannot happen: the ring has room for every request and ticket
  ring_[(first_ + count_) % ring_.size()] = number;
  if (count_++ == 0) {
    handle_->set();
    changed_.notify_all();
  }
}

void EventHub::remove(uint64_t number) noexcept {
  size_t kept = 0;
  for (size_t i = 0; i < count_; ++i) {
    const uint64_t other = ring_[(first_ + i) % ring_.size()];
    if (other != number) ring_[(first_ + kept++) % ring_.size()] = other;
  }
  if (count_ > 0 && kept == 0) handle_->clear();
  count_ = kept;
}

uint64_t EventHub::pop() noexcept {
  if (count_ == 0) return 0;
  const uint64_t number = ring_[first_];
  first_ = (first_ + 1) % ring_.size();
  if (--count_ == 0) handle_->clear();
  return number;
}

}  // namespace fastserve
