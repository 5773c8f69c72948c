// Quantisation against goldens of the `gguf` package, and on values that no weight should have.
#include "tensor/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace fastserve {
namespace {

class Quantize : public testing::TestWithParam<const char*> {};

TEST_P(Quantize, EqualsGgufPackageByteForByte) {
  std::ifstream file(std::string(FASTSERVE_TEST_DATA "/quantize/") + GetParam() + ".bin", std::ios::binary);
  const std::vector<char> golden{std::istreambuf_iterator<char>(file), {}};
  uint32_t header[3] = {};
  ASSERT_GT(golden.size(), sizeof(header));
  std::memcpy(header, golden.data(), sizeof(header));
  const auto type = static_cast<DType>(header[0]);
  std::vector<float> floats(header[1]);
  ASSERT_EQ(golden.size(), sizeof(header) + floats.size() * 4 + header[2]);
  std::memcpy(floats.data(), golden.data() + sizeof(header), floats.size() * 4);
  const char* expected = golden.data() + sizeof(header) + floats.size() * 4;

  ASSERT_TRUE(can_quantize(type));
  const auto elements = static_cast<int64_t>(floats.size());
  ASSERT_EQ(row_bytes(type, elements), header[2]);
  std::vector<uint8_t> bytes(header[2] + 1, 0xee);
  quantize_row(type, floats.data(), bytes.data(), elements);
  for (size_t i = 0; i < header[2]; ++i) ASSERT_EQ(bytes[i], static_cast<uint8_t>(expected[i])) << "byte " << i;
  EXPECT_EQ(bytes.back(), 0xee);
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Quantize,
                         testing::Values("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(QuantizeValues, NotFiniteIsHarmless) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (float odd : {infinity, -infinity, nan, std::numeric_limits<float>::max(), 1e-45f}) {
    for (size_t place : {0, 5, 31}) {
      std::vector<float> floats(32, 0.5f);
      floats[place] = odd;
      uint8_t bytes[34];
      quantize_row(DType::kQ8_0, floats.data(), bytes, 32);
      for (DType type : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1}) {
        quantize_row(type, floats.data(), bytes, 32);
      }
    }
  }
}

TEST(QuantizeValues, OthersCannotBeMade) {
  EXPECT_FALSE(can_quantize(DType::kQ4_K));
  EXPECT_FALSE(can_quantize(DType::kMXFP4));
}

}  // namespace
}  // namespace fastserve
