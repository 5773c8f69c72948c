// bf16 products of rounded activations: close to a double product of the same numbers, and the same bits for any number
// of rows and any range of panels.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "support/packed_weights.h"

namespace fastserve {
namespace {

using kernels::KernelTable;
using kernels::MatmulArgs;
using test::PackedWeights;

struct Shape {
  int64_t rows, cols;
};
constexpr Shape kShapes[] = {{1, 1}, {15, 31}, {16, 32}, {17, 33}, {70, 95}, {33, 1100}, {48, 64}, {160, 576}};

uint16_t nearest_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
float from_bf16(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

struct Rounded {
  Rounded(const KernelTable& table, int64_t m_rows, int64_t row_cols, uint32_t seed)
      : m(m_rows), cols(row_cols), stride((cols + 31) / 32 * 32) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    floats.resize(static_cast<size_t>(m * cols));
    for (float& x : floats) x = normal(random);
    values.assign(static_cast<size_t>(m * stride), 0xffff);
    round(table);
  }
  void round(const KernelTable& table) {
    const kernels::RoundBf16Args args{floats.data(), cols, values.data(), stride, cols, 0, m};
    table.round_bf16(&args);
  }
  int64_t m, cols, stride;
  std::vector<float> floats;
  std::vector<uint16_t> values;
};

void multiply(const KernelTable& table, const kernels::PackedMatrix& w, const Rounded& input, int64_t row,
              int64_t row_count, int64_t panel_begin, int64_t panel_end, std::vector<float>* out) {
  MatmulArgs args{};
  args.weights = &w;
  args.input_bf16 = input.values.data() + row * input.stride;
  args.input_bf16_stride = input.stride;
  args.m = row_count;
  args.output_stride = w.rows + 1;
  args.output = out->data() + row * args.output_stride;
  args.panel_begin = panel_begin;
  args.panel_end = panel_end;
  table.matmul_bf16(&args);
}

constexpr float kUntouched = -12345.0F;

std::vector<float> multiply_all(const KernelTable& table, const kernels::PackedMatrix& w, const Rounded& input) {
  std::vector<float> out(static_cast<size_t>(input.m * (w.rows + 1)), kUntouched);
  multiply(table, w, input, 0, input.m, 0, packed_panel_count(w.rows), &out);
  return out;
}

class MatmulBf16 : public testing::Test {
 protected:
  void SetUp() override {
    const KernelTable* found[8];
    const int count = kernels::runnable_cpu_tables(found, 8);
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(found[i]->matmul_bf16 != nullptr, found[i]->round_bf16 != nullptr) << found[i]->name;
      if (found[i]->matmul_bf16 != nullptr) tables_.push_back(found[i]);
    }
    if (tables_.empty()) GTEST_SKIP() << "no table of this processor multiplies bf16 by tiles";
  }
  std::vector<const KernelTable*> tables_;
};

TEST_F(MatmulBf16, RoundsToNearestAndPads) {
  for (const KernelTable* table : tables_) {
    Rounded input(*table, 3, 95, 1);
    input.floats[0] = 1.00390625F;  // a tie: to even
    input.floats[1] = -1.01171875F;
    input.floats[2] = 3.4e38F;
    input.round(*table);
    for (int64_t i = 0; i < input.m; ++i) {
      for (int64_t k = 0; k < input.stride; ++k) {
        const uint16_t expected = k < 95 ? nearest_bf16(input.floats[static_cast<size_t>(i * 95 + k)]) : 0;
        ASSERT_EQ(input.values[static_cast<size_t>(i * input.stride + k)], expected) << i << " " << k;
      }
    }
  }
}

TEST_F(MatmulBf16, IsTheProductOfWhatWasRounded) {
  for (const KernelTable* table : tables_) {
    for (const Shape& shape : kShapes) {
      const PackedWeights w(DType::kBF16, shape.rows, shape.cols, 3);
      const std::vector<float> weights = w.dequantized();
      const Rounded input(*table, 5, shape.cols, 7);
      const std::vector<float> out = multiply_all(*table, w.matrix(), input);
      for (int64_t i = 0; i < input.m; ++i) {
        for (int64_t row = 0; row < shape.rows; ++row) {
          double exact = 0, magnitude = 0;
          for (int64_t k = 0; k < shape.cols; ++k) {
            const double product = double{weights[static_cast<size_t>(row * shape.cols + k)]} *
                                   from_bf16(input.values[static_cast<size_t>(i * input.stride + k)]);
            exact += product;
            magnitude += std::fabs(product);
          }
          ASSERT_NEAR(out[static_cast<size_t>(i * (shape.rows + 1) + row)], exact, 1e-6 * magnitude + 1e-30);
        }
        ASSERT_EQ(out[static_cast<size_t>(i * (shape.rows + 1) + shape.rows)], kUntouched);
      }
    }
  }
}

TEST_F(MatmulBf16, BitsDependNeitherOnRowsNorOnRange) {
  for (const KernelTable* table : tables_) {
    for (const Shape& shape : kShapes) {
      const PackedWeights w(DType::kBF16, shape.rows, shape.cols, 11);
      const Rounded input(*table, 300, shape.cols, 13);
      const std::vector<float> whole = multiply_all(*table, w.matrix(), input);
      const int64_t panels = packed_panel_count(shape.rows);
      for (const int64_t rows : {1, 2, 15, 16, 17, 31, 32, 33, 47, 64, 257}) {
        std::vector<float> parts(whole.size(), kUntouched);
        for (int64_t row = 0; row < input.m; row += rows) {
          const int64_t count = std::min(rows, input.m - row);
          for (int64_t p = 0; p < panels; p += 3) {
            multiply(*table, w.matrix(), input, row, count, p, std::min(p + 3, panels), &parts);
          }
        }
        ASSERT_EQ(std::memcmp(parts.data(), whole.data(), whole.size() * sizeof(float)), 0)
            << shape.rows << "x" << shape.cols << " in runs of " << rows;
      }
    }
  }
}

TEST_F(MatmulBf16, NaNStaysInItsRow) {
  for (const KernelTable* table : tables_) {
    const PackedWeights w(DType::kBF16, 20, 100, 17);
    Rounded input(*table, 3, 100, 19);
    input.floats[100 + 99] = std::nanf("");
    input.round(*table);
    const std::vector<float> out = multiply_all(*table, w.matrix(), input);
    for (size_t row = 0; row < 20; ++row) {
      EXPECT_TRUE(std::isfinite(out[row]));
      EXPECT_TRUE(std::isnan(out[21 + row]));
      EXPECT_TRUE(std::isfinite(out[42 + row]));
    }
  }
}

}  // namespace
}  // namespace fastserve
