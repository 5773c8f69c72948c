// What this machine can do at best, measured: memory read bandwidth and arithmetic peaks.
#pragma once
#include <cstdint>

#include "base/status.h"

namespace fastserve {

struct Ceilings {
  uint32_t thread_count = 0;
  double read_bytes_per_second = 0;
  double int8_ops_per_second = 0;  // multiply and add count as two
  double bf16_ops_per_second = 0;  // 0 without bf16 instructions
  double f32_ops_per_second = 0;
};

// Runs for about `duration_ms` in all on `thread_count` threads.
Result<Ceilings> measure_ceilings(uint32_t thread_count, uint32_t duration_ms);

}  // namespace fastserve
