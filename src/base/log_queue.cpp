#include "base/log_queue.h"

#include <algorithm>
#include <chrono>

#include "base/utf8.h"

namespace fastserve {

void LogQueue::drop_first() noexcept {
  first_ = (first_ + 1) % kLineCountMax;
  --count_;
}

void LogQueue::write(void* self, int32_t level, const char* message, size_t message_size) noexcept {
  auto& queue = *static_cast<LogQueue*>(self);
  const std::string_view text = utf8_truncate({message, message_size}, kLineBytesMax);
  const std::lock_guard lock(queue.mutex_);
  if (queue.count_ == kLineCountMax) queue.drop_first();
  Line& line = queue.lines_[(queue.first_ + queue.count_++) % kLineCountMax];
  line.level = level;
  line.size = text.size();
  std::copy(text.begin(), text.end(), line.text);
  queue.changed_.notify_one();
}

Status LogQueue::wait(std::unique_lock<std::mutex>& lock, uint64_t timeout_us) {
  constexpr uint64_t kYearUs = uint64_t{365} * 24 * 3600 * 1000000;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(std::min(timeout_us, kYearUs));
  if (!changed_.wait_until(lock, deadline, [this] { return count_ > 0 || is_closed_; })) {
    return Status::from_literal(StatusCode::kTimeout, "no log line within the time given");
  }
  if (count_ == 0) return Status::from_literal(StatusCode::kShutdown, "the engine was released");
  return {};
}

void LogQueue::close() {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
  changed_.notify_all();
}

}  // namespace fastserve
