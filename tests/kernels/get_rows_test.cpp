// Embedding lookup: any order of rows, the scale, and every table, against dequantize_row.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "support/packed_weights.h"

namespace fastserve {
namespace {

class GetRowsTest : public testing::TestWithParam<DType> {};

TEST_P(GetRowsTest, AnyRowsScaled) {
  const DType type = GetParam();
  const auto traits = dtype_traits(static_cast<uint32_t>(type));
  const int64_t rows = 37, cols = traits->block_elements == 1 ? 45 : traits->block_elements * 3;
  const test::PackedWeights w(type, rows, cols, 3);
  const std::vector<float> expected = w.dequantized();
  const std::vector<int32_t> ids = {36, 0, 15, 16, 16, 3, 31, 32};
  const int64_t stride = cols + 3;
  const kernels::KernelTable* tables[8];
  const int count = kernels::runnable_cpu_tables(tables, 8);
  for (int t = 0; t < count; ++t) {
    for (const float scale : {1.0F, 25.298F}) {
      std::vector<float> out(ids.size() * static_cast<size_t>(stride), -7.0F);
      const kernels::GetRowsArgs args = {&w.matrix(), ids.data(), static_cast<int64_t>(ids.size()),
                                         out.data(),  stride,     scale};
      tables[t]->get_rows(&args);
      for (size_t i = 0; i < ids.size(); ++i) {
        for (int64_t k = 0; k < stride; ++k) {
          const float value = out[i * static_cast<size_t>(stride) + static_cast<size_t>(k)];
          const float wanted = k < cols ? expected[static_cast<size_t>(ids[i] * cols + k)] * scale : -7.0F;
          ASSERT_EQ(value, wanted) << tables[t]->name << " row " << ids[i] << " column " << k;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, GetRowsTest, testing::ValuesIn(test::kAllTypes), test::type_test_name);

}  // namespace
}  // namespace fastserve
