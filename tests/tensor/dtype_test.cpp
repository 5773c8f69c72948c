// Element types: traits, dequantisation against goldens of the `gguf` package, and 16-bit floats against the compiler.
#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace fastserve {
namespace {

struct Golden {
  uint32_t type = 0;
  std::vector<uint8_t> blocks;
  std::vector<float> floats;
};

Golden read_golden(const std::string& name) {
  std::ifstream file(std::string(FASTSERVE_TEST_DATA "/dequantize/") + name + ".bin", std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  uint32_t header[3] = {};
  Golden golden;
  if (bytes.size() < sizeof(header)) return golden;
  std::memcpy(header, bytes.data(), sizeof(header));
  golden.type = header[0];
  golden.blocks.resize(header[1]);
  golden.floats.resize(header[2]);
  if (bytes.size() != sizeof(header) + header[1] + 4 * size_t{header[2]}) return Golden{};
  std::memcpy(golden.blocks.data(), bytes.data() + sizeof(header), header[1]);
  std::memcpy(golden.floats.data(), bytes.data() + sizeof(header) + header[1], 4 * size_t{header[2]});
  return golden;
}

class Dequantize : public testing::TestWithParam<const char*> {};

TEST_P(Dequantize, EqualsGgufPackageBitForBit) {
  const Golden golden = read_golden(GetParam());
  ASSERT_FALSE(golden.floats.empty());
  const auto traits = dtype_traits(golden.type);
  ASSERT_TRUE(traits.has_value());
  EXPECT_STREQ(traits->name, GetParam());
  const auto elements = static_cast<int64_t>(golden.floats.size());
  ASSERT_EQ(elements % traits->block_elements, 0);
  ASSERT_EQ(row_bytes(static_cast<DType>(golden.type), elements), static_cast<int64_t>(golden.blocks.size()));

  std::vector<uint8_t> unaligned(golden.blocks.size() + 1);
  std::memcpy(unaligned.data() + 1, golden.blocks.data(), golden.blocks.size());
  std::vector<float> floats(golden.floats.size(), 12345.0f);
  dequantize_row(static_cast<DType>(golden.type), unaligned.data() + 1, floats.data(), elements);
  for (size_t i = 0; i < floats.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]), std::bit_cast<uint32_t>(golden.floats[i]))
        << "element " << i << ": " << floats[i] << " instead of " << golden.floats[i];
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Dequantize,
                         testing::Values("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K",
                                         "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(DType, NamesTypesThatCannotRun) {
  EXPECT_STREQ(gguf_type_name(16), "IQ2_XXS");
  EXPECT_FALSE(dtype_traits(16).has_value());
  ASSERT_TRUE(gguf_type_traits(16).has_value());
  EXPECT_EQ(gguf_type_traits(16)->block_bytes, 66);
  for (uint32_t unknown : {4u, 5u, 31u, 38u, 43u, 77u, 0xffffffffu}) {
    EXPECT_EQ(gguf_type_name(unknown), nullptr) << unknown;
    EXPECT_FALSE(gguf_type_traits(unknown).has_value()) << unknown;
    EXPECT_FALSE(dtype_traits(unknown).has_value()) << unknown;
  }
}

TEST(DType, RowBytesDoesNotOverflowOnLongRows) {
  EXPECT_EQ(row_bytes(DType::kQ4_0, 0), 0);
  EXPECT_EQ(row_bytes(DType::kF32, int64_t{1} << 40), int64_t{1} << 42);
  EXPECT_EQ(row_bytes(DType::kQ6_K, int64_t{256} << 30), int64_t{210} << 30);
}

#ifdef __FLT16_MANT_DIG__
TEST(Half, EveryHalfEqualsTheCompilersConversion) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const auto expected = static_cast<float>(std::bit_cast<_Float16>(half));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(half_to_float(half))) << bits;
      ASSERT_EQ(float_to_half(half_to_float(half)) & 0x7c00, 0x7c00);
      ASSERT_NE(float_to_half(half_to_float(half)) & 0x03ff, 0);
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(half_to_float(half)), std::bit_cast<uint32_t>(expected)) << bits;
    ASSERT_EQ(float_to_half(expected), half);
  }
}

TEST(Half, RoundsAsTheCompilerDoes) {
  uint32_t steps = 0;
  // A stride coprime to the mantissa's powers of two visits ties, subnormals, overflow and both signs.
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 4093, ++steps) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(float_to_half(value), std::bit_cast<uint16_t>(static_cast<_Float16>(value))) << std::hexfloat << value;
  }
  EXPECT_GT(steps, 1000000u);
  for (uint32_t half = 0; half < 0x7c00; ++half) {  // exact midpoints between neighbours, and one float beside them
    const float low = half_to_float(static_cast<uint16_t>(half));
    const float high = half + 1 == 0x7c00 ? 65536.0f : half_to_float(static_cast<uint16_t>(half + 1));
    const float middle = low + (high - low) / 2;
    for (float value : {middle, std::nextafterf(middle, 0.0f), std::nextafterf(middle, 1e9f)}) {
      ASSERT_EQ(float_to_half(value), std::bit_cast<uint16_t>(static_cast<_Float16>(value))) << std::hexfloat << value;
    }
  }
}
#endif

TEST(BFloat16, RoundsToNearestEvenAndKeepsNan) {
  EXPECT_EQ(float_to_bfloat16(1.0f), 0x3f80);
  EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie to even
  EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(float_to_bfloat16(std::numeric_limits<float>::infinity()), 0x7f80);
  EXPECT_EQ(float_to_bfloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(std::bit_cast<float>(0x7f800001u)))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bfloat16_to_float(static_cast<uint16_t>(bits));
    if (!std::isnan(value)) {
      ASSERT_EQ(float_to_bfloat16(value), bits);
    }
  }
}

}  // namespace
}  // namespace fastserve
