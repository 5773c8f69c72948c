// Time as the engine sees it: monotonic nanoseconds, replaceable by a virtual clock in tests and simulation.
#pragma once
#include <cstdint>

namespace fastserve {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t now_ns() const noexcept = 0;
};

// The system's monotonic clock; static storage.
const Clock& system_clock();

class VirtualClock final : public Clock {
 public:
  int64_t now_ns() const noexcept override { return now_ns_; }
  void advance_ns(int64_t delta_ns) { now_ns_ += delta_ns; }

 private:
  int64_t now_ns_ = 0;
};

}  // namespace fastserve
