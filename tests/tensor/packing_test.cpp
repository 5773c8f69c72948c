// Packing is lossless: packed and read back through get_rows, every weight equals dequantize_row's to the bit.
#include "tensor/packing.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "support/packed_weights.h"

namespace fastserve {
namespace {

using kernels::GetRowsArgs;
using test::PackedWeights;

class PackingTest : public testing::TestWithParam<DType> {};

TEST_P(PackingTest, ReadBackEqualsDequantizedBitForBit) {
  const DType type = GetParam();
  for (const int64_t rows : {1, 2, 3, 5, 8, 13, 15, 16, 17, 33}) {
    for (const int64_t blocks : {1, 2, 3, 5}) {
      const auto traits = dtype_traits(static_cast<uint32_t>(type));
      const int64_t cols = traits->block_elements == 1 ? blocks * 13 : blocks * traits->block_elements;
      const PackedWeights w(type, rows, cols, static_cast<uint32_t>(rows * 31 + blocks));
      const std::vector<float> expected = w.dequantized();
      std::vector<float> actual(expected.size(), -1.0F);
      std::vector<int32_t> ids(static_cast<size_t>(rows));
      for (int32_t i = 0; i < rows; ++i) ids[static_cast<size_t>(i)] = i;
      const GetRowsArgs args = {&w.matrix(), ids.data(), rows, actual.data(), cols, 1.0F};
      kernels::reference_cpu_table().get_rows(&args);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(std::memcmp(&expected[i], &actual[i], 4), 0)
            << "rows " << rows << " cols " << cols << " at " << i << ": " << expected[i] << " vs " << actual[i];
      }
    }
  }
}

TEST_P(PackingTest, PaddedRowsMultiplyToZero) {
  const DType type = GetParam();
  const int64_t cols = 256;
  const PackedWeights w(type, 5, cols, 7);
  PackedMatrix padded = w.matrix();
  padded.rows = 16;  // as if the padding were real
  std::vector<float> input(cols, 1.0F), out(16, -1.0F);
  kernels::MatmulArgs args{};
  args.weights = &padded;
  args.input = input.data();
  args.input_stride = cols;
  args.m = 1;
  args.output = out.data();
  args.output_stride = 16;
  args.panel_end = 1;
  kernels::reference_cpu_table().matmul_f32[static_cast<int>(padded.layout)](&args);
  for (size_t row = 5; row < 16; ++row) EXPECT_EQ(out[row], 0.0F);
}

INSTANTIATE_TEST_SUITE_P(AllTypes, PackingTest, testing::ValuesIn(test::kAllTypes), test::type_test_name);

TEST(Packing, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(check_packable(DType::kQ4_1, 3, 64).ok());
  EXPECT_EQ(check_packable(DType::kQ4_1, 3, 33).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(check_packable(DType::kQ4_K, 3, 128).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(check_packable(DType::kF32, 0, 4).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(check_packable(DType::kF32, 4, -1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(check_packable(DType::kF32, INT64_MAX / 2, INT64_MAX / 2).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(check_packable(static_cast<DType>(16), 4, 256).code(), StatusCode::kUnsupported);
  EXPECT_EQ(check_packable(static_cast<DType>(999), 4, 256).code(), StatusCode::kUnsupported);
}

TEST(Packing, PanelsKeepVectorsInCacheLines) {
  for (const DType type : test::kAllTypes) {
    const PackedLayout layout = packed_layout_for(type);
    ASSERT_NE(layout, PackedLayout::kNone);
    EXPECT_EQ(packed_panel_bytes(layout, 768) % 64, 0) << packed_layout_name(layout);
    EXPECT_GE(packed_panel_bytes(layout, 768), 16 * row_bytes(type, 768)) << packed_layout_name(layout);
  }
}

}  // namespace
}  // namespace fastserve
