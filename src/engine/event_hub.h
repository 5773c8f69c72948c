// EventHub: which requests and tickets have something to tell, in turn, and how waiting hosts learn of it. Guarded by
// the engine's mutex, except where stated.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/os.h"

namespace fastserve {

// A round-robin ring of numbers (requests and tickets); each is in it at most once.
class EventHub {
 public:
  static Result<std::unique_ptr<EventHub>> create(size_t capacity);

  void push(uint64_t number) noexcept;  // the caller makes sure that it is not in the ring
  uint64_t pop() noexcept;              // 0 when empty
  void remove(uint64_t number) noexcept;
  size_t size() const { return count_; }

  // Blocks until something is pending, `ended` turns true or the time is over; false on time-out.
  template <typename Ended>
  bool wait(std::unique_lock<std::mutex>& lock, uint64_t timeout_us, Ended ended);
  void wake_waiters() noexcept { changed_.notify_all(); }
  intptr_t native_handle() const { return handle_->native(); }

 private:
  std::vector<uint64_t> ring_;
  size_t first_ = 0, count_ = 0;
  std::condition_variable changed_;
  std::unique_ptr<os::WaitHandle> handle_;
};

// Deadlines far in the future would overflow a clock: longer waits are cut to a year.
constexpr uint64_t kWaitMaxUs = uint64_t{365} * 24 * 3600 * 1000000;

template <typename Ended>
bool EventHub::wait(std::unique_lock<std::mutex>& lock, uint64_t timeout_us, Ended ended) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us < kWaitMaxUs ? timeout_us : kWaitMaxUs);
  return changed_.wait_until(lock, deadline, [&] { return count_ > 0 || ended(); });
}

}  // namespace fastserve
