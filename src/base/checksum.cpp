// Four lanes, so that their multiplications overlap. Every step is a bijection of its lane and of its word: a word that
// differs leaves a lane that differs, to the end.
#include "base/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/little_endian.h"

namespace fastserve {
namespace {

constexpr uint64_t kWordFactor = 0x9E3779B97F4A7C15, kLaneFactor = 0xD1342543DE82EF95;  // odd

uint64_t load_word(const uint8_t* bytes) {
  if constexpr (std::endian::native == std::endian::little) {
    uint64_t word;
    std::memcpy(&word, bytes, sizeof(word));
    return word;
  } else {
    return load_little_endian<uint64_t>(bytes);
  }
}

uint64_t step(uint64_t lane, uint64_t word) {
  return std::rotl((lane ^ (word * kWordFactor)) * kLaneFactor, 29) + kWordFactor;
}

// A bijection whose every output bit depends on every input bit.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * kWordFactor;
  x = (x ^ (x >> 29)) * kLaneFactor;
  return x ^ (x >> 32);
}

}  // namespace

void Checksum::add_stripe(const uint8_t* stripe) noexcept {
  for (size_t i = 0; i < 4; ++i) lanes_[i] = step(lanes_[i], load_word(stripe + 8 * i));
}

void Checksum::add(const void* data, size_t size_bytes) noexcept {
  if (size_bytes == 0) return;
  const auto* bytes = static_cast<const uint8_t*>(data);
  const auto begun = static_cast<size_t>(size_bytes_ % kStripeBytes);
  size_bytes_ += size_bytes;
  if (begun != 0) {
    const size_t taken = std::min(size_bytes, kStripeBytes - begun);
    std::memcpy(rest_ + begun, bytes, taken);
    bytes += taken;
    size_bytes -= taken;
    if (begun + taken < kStripeBytes) return;
    add_stripe(rest_);
  }
  for (; size_bytes >= kStripeBytes; bytes += kStripeBytes, size_bytes -= kStripeBytes) add_stripe(bytes);
  if (size_bytes != 0) std::memcpy(rest_, bytes, size_bytes);
}

uint64_t Checksum::value() const noexcept {
  Checksum ended = *this;
  const auto begun = static_cast<size_t>(size_bytes_ % kStripeBytes);
  if (begun != 0) {
    std::memset(ended.rest_ + begun, 0, kStripeBytes - begun);
    ended.add_stripe(ended.rest_);
  }
  uint64_t sum = mix(size_bytes_);
  for (const uint64_t lane : ended.lanes_) sum = std::rotl(sum, 17) + mix(lane);
  return mix(sum);
}

}  // namespace fastserve
