// The system's monotonic clock.
#include "base/clock.h"

#include <chrono>

namespace fastserve {
namespace {

class SystemClock final : public Clock {
 public:
  int64_t now_ns() const noexcept override {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace fastserve
