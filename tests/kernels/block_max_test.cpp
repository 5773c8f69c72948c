// Maxima of blocks of logits: against the definition, over every place of what is not a number and the ragged end.
#include <limits>

#include "kernels/kernel_fixture.h"

namespace fastserve::kernels {
namespace {

class BlockMaxKernel : public PerTable {
 protected:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // Maxima of blocks [begin, end) of `rows` rows; what is not asked for stays 777.
  std::vector<float> maxima(const std::vector<float>& values, int64_t rows, int64_t cols, int64_t begin, int64_t end) {
    const int64_t blocks = (cols + kLogitBlock - 1) / kLogitBlock;
    std::vector<float> out(static_cast<size_t>(rows * (blocks + 1)), 777.0f);
    const BlockMaxArgs args = {values.data(), cols, rows, cols, begin, end, out.data(), blocks + 1};
    table().block_max(&args);
    return out;
  }
};
FASTSERVE_PER_TABLE(BlockMaxKernel);

TEST_P(BlockMaxKernel, LargestOfEveryBlock) {
  for (const int64_t cols : {1, 15, 16, 17, 63, 64, 65, 200, 1000}) {
    const int64_t rows = 3, blocks = (cols + kLogitBlock - 1) / kLogitBlock, stride = blocks + 1;
    const Floats random(rows * cols, 5, 4.0f);
    const std::vector<float> values(random.data(), random.data() + rows * cols);
    const int64_t begin = blocks > 2 ? 1 : 0;
    const std::vector<float> out = maxima(values, rows, cols, begin, blocks);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t block = 0; block < stride; ++block) {
        const float found = out[static_cast<size_t>(row * stride + block)];
        if (block < begin || block == blocks) {
          EXPECT_EQ(found, 777.0f);
          continue;
        }
        const auto first = values.begin() + row * cols + block * kLogitBlock;
        EXPECT_EQ(found, *std::max_element(first, first + std::min<int64_t>(kLogitBlock, cols - block * kLogitBlock)));
      }
    }
  }
}

TEST_P(BlockMaxKernel, ShowsWhatIsNotFinite) {
  constexpr int64_t kCols = 100;
  for (int64_t place = 0; place < kCols; ++place) {
    for (const float odd : {std::nanf(""), kInfinity, -kInfinity}) {
      std::vector<float> values(kCols, -2.0f);
      values[static_cast<size_t>(place)] = odd;
      const std::vector<float> out = maxima(values, 1, kCols, 0, 2);
      const size_t block = static_cast<size_t>(place / kLogitBlock);
      EXPECT_EQ(std::isnan(out[block]), odd != -kInfinity) << place << " " << odd;
      EXPECT_EQ(out[1 - block], -2.0f);
      if (odd == -kInfinity) EXPECT_EQ(out[block], -2.0f);
    }
  }
  EXPECT_EQ(maxima(std::vector<float>(70, -kInfinity), 1, 70, 0, 2)[1], -kInfinity);
}

}  // namespace
}  // namespace fastserve::kernels
