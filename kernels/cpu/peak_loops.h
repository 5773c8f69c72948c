// Loops that do nothing but arithmetic or reading at the processor's best rate, for measuring ceilings.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fastserve::kernels {

// Each runs `rounds` rounds and returns a value that depends on all of them; *_ops_per_round says what a round did.
struct PeakLoops {
  uint64_t (*read)(const void* data, size_t size_bytes);  // size a multiple of 4096
  uint64_t (*int8)(uint64_t rounds);
  uint64_t int8_ops_per_round;
  uint64_t (*bf16)(uint64_t rounds);  // null without bf16 instructions
  uint64_t bf16_ops_per_round;
  uint64_t (*f32)(uint64_t rounds);
  uint64_t f32_ops_per_round;
};

// The best loops for this processor.
PeakLoops peak_loops();

}  // namespace fastserve::kernels
