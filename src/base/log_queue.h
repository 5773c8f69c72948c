// Log lines that wait for a host that pulls them. Bounded: the oldest line goes where a new one finds no room. Writing
// allocates nothing.
#pragma once
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"

namespace fastserve {

class LogQueue {
 public:
  static constexpr size_t kLineCountMax = 256, kLineBytesMax = 500;

  LogQueue() : lines_(kLineCountMax) {}
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // A sink that writes here; valid as long as this is.
  LogSink sink(LogLevel level) { return {write, this, level}; }
  // Shows the oldest line to `take(level, text)`, waiting for one; it goes unless that returns false or a failure.
  // kTimeout; kShutdown when it is closed and empty.
  template <typename Take>
  Status read(uint64_t timeout_us, const Take& take) {
    std::unique_lock lock(mutex_);
    FSV_TRY(wait(lock, timeout_us));
    const Line& line = lines_[first_];
    FSV_ASSIGN(const bool is_taken, take(line.level, std::string_view(line.text, line.size)));
    if (is_taken) drop_first();
    return {};
  }
  // No line will come: who waits returns.
  void close();

 private:
  struct Line {
    int32_t level = 0;
    size_t size = 0;
    char text[kLineBytesMax];
  };

  Status wait(std::unique_lock<std::mutex>& lock, uint64_t timeout_us);
  void drop_first() noexcept;
  static void write(void* self, int32_t level, const char* message, size_t message_size) noexcept;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Line> lines_;  // a ring
  size_t first_ = 0, count_ = 0;
  bool is_closed_ = false;
};

}  // namespace fastserve
