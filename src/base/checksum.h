// Checksum: 64 bits over a stream of bytes, the same however the stream is cut into pieces. It finds damage, not
// forgery: any damage within one aligned 8 bytes for certain, other damage but for one case in 2^64.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fastserve {

// Its values are part of file formats: they never change.
class Checksum {
 public:
  void add(const void* data, size_t size_bytes) noexcept;
  uint64_t value() const noexcept;

 private:
  static constexpr size_t kStripeBytes = 32;  // one word for each lane
  void add_stripe(const uint8_t* stripe) noexcept;

  uint64_t lanes_[4] = {0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89};
  uint64_t size_bytes_ = 0;
  uint8_t rest_[kStripeBytes] = {};  // of an unfinished stripe
};

inline uint64_t checksum_of(const void* data, size_t size_bytes) noexcept {
  Checksum checksum;
  checksum.add(data, size_bytes);
  return checksum.value();
}

}  // namespace fastserve
