// Checksum: known values, cuts that do not matter, and damage that does.
#include "base/checksum.h"

#include <gtest/gtest.h>

#include <vector>

namespace fastserve {
namespace {

std::vector<uint8_t> counted(size_t size) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

// Computed by a few lines of Python that follow the comments in checksum.cpp; they stand in files, so they stay.
TEST(Checksum, KnownValues) {
  EXPECT_EQ(checksum_of(nullptr, 0), 0xDB7A1E57A7FEDE33u);
  EXPECT_EQ(checksum_of("a", 1), 0x5B344A09BE309744u);
  EXPECT_EQ(checksum_of(counted(100).data(), 100), 0xDAABA793831E6A99u);
}

TEST(Checksum, CutsDoNotMatter) {
  const std::vector<uint8_t> bytes = counted(200);
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const uint64_t whole = checksum_of(bytes.data(), size);
    for (size_t cut = 0; cut <= size; ++cut) {
      Checksum checksum;
      checksum.add(bytes.data(), cut / 2);
      checksum.add(bytes.data() + cut / 2, cut - cut / 2);
      checksum.add(bytes.data() + cut, size - cut);
      ASSERT_EQ(checksum.value(), whole) << size << " cut at " << cut;
    }
  }
}

TEST(Checksum, EveryBitAndEveryByteMore) {
  std::vector<uint8_t> bytes(150, 0);
  const uint64_t whole = checksum_of(bytes.data(), bytes.size());
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_NE(checksum_of(bytes.data(), bytes.size()), whole) << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  for (size_t size = 0; size < bytes.size(); ++size) ASSERT_NE(checksum_of(bytes.data(), size), whole) << size;
}

}  // namespace
}  // namespace fastserve
