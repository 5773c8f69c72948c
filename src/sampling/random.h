// Counter-based random numbers: a pure function of (seed, stream, draw index, purpose), the same on every machine.
#pragma once
#include <array>
#include <cstdint>

namespace fastserve {

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// What a number is for: draws of different purpose at one position are independent.
enum class RandomPurpose : uint32_t { kToken = 0, kXtc = 1 };

// Uniform in [0, 1), 53 bits.
double uniform_random(uint64_t seed, uint64_t draw_index, RandomPurpose purpose, uint32_t stream = 0);

}  // namespace fastserve
