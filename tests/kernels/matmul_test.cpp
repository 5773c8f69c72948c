// Matrix kernels of every table this processor runs: equal to the bit where the contract says so, close to a double
// product of the dequantised weights everywhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "support/packed_weights.h"

namespace fastserve {
namespace {

using kernels::Epilogue;
using kernels::KernelTable;
using kernels::MatmulArgs;
using kernels::QuantizedRows;
using test::PackedWeights;

std::vector<const KernelTable*> tables() {
  const KernelTable* found[8];
  const int count = kernels::runnable_cpu_tables(found, 8);
  return {found, found + count};
}

bool is_quantised(DType type) { return type != DType::kF32 && type != DType::kF16 && type != DType::kBF16; }

std::vector<DType> quantised_types() {
  std::vector<DType> types;
  std::copy_if(std::begin(test::kAllTypes), std::end(test::kAllTypes), std::back_inserter(types), is_quantised);
  return types;
}

std::vector<float> random_rows(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = normal(random);
  return out;
}

// m rows of activations in both forms, quantised by the reference.
struct Input {
  Input(int64_t m_rows, int64_t row_cols, uint32_t seed)
      : m(m_rows), cols(row_cols), floats(random_rows(m * cols, seed)) {
    values.resize(floats.size());
    scales.resize(floats.size() / 32 + 1);
    sums.resize(scales.size());
    q8 = {values.data(), scales.data(), sums.data(), cols};
    if (cols % 32 != 0) return;
    const kernels::QuantizeArgs args = {floats.data(), cols, &q8, 0, m};
    kernels::reference_cpu_table().quantize_q8(&args);
    tile_scales.resize(static_cast<size_t>((m + 15) / 16 * 16 * cols / 32));
    tile_sums.resize(tile_scales.size());
    for (int64_t row = 0; row < m; ++row) {
      for (int64_t b = 0; b < cols / 32; ++b) {
        const auto from = static_cast<size_t>(row * (cols / 32) + b);
        const auto to = static_cast<size_t>(kernels::quantized_tile_index(row, b, cols / 32));
        tile_scales[to] = scales[from];
        tile_sums[to] = scales[from] * static_cast<float>(sums[from]);
      }
    }
    q8.tile_scales = tile_scales.data();
    q8.tile_sums = tile_sums.data();
  }
  Input(const Input&) = delete;

  int64_t m, cols;
  std::vector<float> floats;
  std::vector<int8_t> values;
  std::vector<float> scales, tile_scales, tile_sums;
  std::vector<int32_t> sums;
  QuantizedRows q8{};
};

struct Path {
  const KernelTable* table;
  bool int8;
  const float* bias = nullptr;
  Epilogue epilogue = Epilogue::kStore;
};

constexpr float kUntouched = -12345.0F;

// output[m][rows + 1]; the last column must stay untouched.
void multiply(const Path& path, const PackedMatrix& w, const Input& input, int64_t row_begin, int64_t m,
              int64_t panel_begin, int64_t panel_end, float* output) {
  MatmulArgs args{};
  args.weights = &w;
  const int64_t blocks = w.cols / 32;
  QuantizedRows part = {input.q8.values + row_begin * w.cols, input.q8.scales + row_begin * blocks,
                        input.q8.sums + row_begin * blocks, w.cols};
  if (row_begin % 16 == 0 && input.q8.tile_scales != nullptr) {  // elsewhere kernels do without
    part.tile_scales = input.q8.tile_scales + row_begin * blocks;
    part.tile_sums = input.q8.tile_sums + row_begin * blocks;
  }
  args.input_q8 = &part;
  args.input = input.floats.data() + row_begin * input.cols;
  args.input_stride = input.cols;
  args.m = m;
  args.output = output + row_begin * (w.rows + 1);
  args.output_stride = w.rows + 1;
  args.bias = path.bias;
  args.epilogue = path.epilogue;
  args.panel_begin = panel_begin;
  args.panel_end = panel_end;
  const auto layout = static_cast<int>(w.layout);
  (path.int8 ? path.table->matmul_q8[layout] : path.table->matmul_f32[layout])(&args);
}

std::vector<float> multiply_all(const Path& path, const PackedMatrix& w, const Input& input) {
  std::vector<float> out(static_cast<size_t>(input.m * (w.rows + 1)), kUntouched);
  multiply(path, w, input, 0, input.m, 0, packed_panel_count(w.rows), out.data());
  return out;
}

void expect_same_bits(const std::vector<float>& expected, const std::vector<float>& actual, const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::memcmp(&expected[i], &actual[i], 4), 0)
        << what << " at " << i << ": " << expected[i] << " vs " << actual[i];
  }
}

struct Shape {
  int64_t rows, cols;
};

std::vector<Shape> shapes_for(DType type) {
  const int64_t unit = dtype_traits(static_cast<uint32_t>(type))->block_elements;
  if (unit == 1) return {{1, 1}, {15, 31}, {16, 32}, {17, 33}, {70, 95}, {33, 1100}};
  if (unit == 32) return {{1, 32}, {15, 64}, {17, 96}, {33, 160}, {70, 576}, {32, 1056}, {300, 64}};
  return {{1, 256}, {17, 512}, {70, 768}, {33, 1280}};
}

class MatmulTest : public testing::TestWithParam<DType> {};
class MatmulInt8Test : public testing::TestWithParam<DType> {};  // float layouts have no int8 path

TEST_P(MatmulInt8Test, Int8TablesAgreeToTheBit) {
  const DType type = GetParam();
  for (const Shape& shape : shapes_for(type)) {
    const PackedWeights w(type, shape.rows, shape.cols, 3);
    for (const int64_t m : {1, 2, 3, 4, 5, 7, 8, 9, 16, 20, 31, 48, 273}) {
      const Input input(m, shape.cols, static_cast<uint32_t>(m));
      const auto expected = multiply_all({&kernels::reference_cpu_table(), true}, w.matrix(), input);
      for (const KernelTable* table : tables()) {
        expect_same_bits(expected, multiply_all({table, true}, w.matrix(), input),
                         std::string(table->name) + " rows " + std::to_string(shape.rows) + " cols " +
                             std::to_string(shape.cols) + " m " + std::to_string(m));
      }
    }
  }
}

TEST_P(MatmulTest, BitsDependNeitherOnBatchNorOnRange) {
  const DType type = GetParam();
  const Shape shape = shapes_for(type).back();
  const PackedWeights w(type, shape.rows, shape.cols, 5);
  const Input input(29, shape.cols, 9);
  const int64_t panels = packed_panel_count(shape.rows);
  for (const KernelTable* table : tables()) {
    for (const bool int8 : {false, true}) {
      if (int8 && !is_quantised(type)) continue;
      const Path path = {table, int8};
      const auto whole = multiply_all(path, w.matrix(), input);
      std::vector<float> pieces(whole.size(), kUntouched);
      for (int64_t row = 0; row < input.m; ++row) {
        for (int64_t p = 0; p < panels; p += 1 + row % 3) {
          multiply(path, w.matrix(), input, row, 1, p, std::min(panels, p + 1 + row % 3), pieces.data());
        }
      }
      expect_same_bits(whole, pieces, std::string(table->name) + (int8 ? " int8" : " float") + " row by row");
      std::fill(pieces.begin(), pieces.end(), kUntouched);
      for (const int64_t step : {5, 13}) {
        for (int64_t row = 0; row < input.m; row += step) {
          multiply(path, w.matrix(), input, row, std::min(step, input.m - row), 0, panels, pieces.data());
        }
        expect_same_bits(whole, pieces, std::string(table->name) + (int8 ? " int8" : " float") + " in batches");
      }
    }
  }
}

// Sum of |w * a|, and the exact product, in double.
struct Exact {
  double value, magnitude;
};
Exact exact_product(const float* w, const float* a, int64_t cols) {
  Exact sum{0, 0};
  for (int64_t k = 0; k < cols; ++k) {
    const double product = static_cast<double>(w[k]) * static_cast<double>(a[k]);
    sum.value += product;
    sum.magnitude += std::fabs(product);
  }
  return sum;
}

TEST_P(MatmulTest, CloseToTheDequantisedProduct) {
  const DType type = GetParam();
  for (const Shape& shape : shapes_for(type)) {
    const PackedWeights w(type, shape.rows, shape.cols, 11);
    const std::vector<float> weights = w.dequantized();
    const Input input(9, shape.cols, 13);
    for (const KernelTable* table : tables()) {
      for (const bool int8 : {false, true}) {
        if (int8 && !is_quantised(type)) continue;
        const auto out = multiply_all({table, int8}, w.matrix(), input);
        // Rounding an activation to int8 moves it by <= amax/254, to bf16 by <= 2^-8 of itself.
        const bool reference = table == &kernels::reference_cpu_table();
        const double relative = type == DType::kBF16 && !reference ? 1.0 / 255 : 2e-6;
        for (int64_t i = 0; i < input.m; ++i) {
          for (int64_t row = 0; row < shape.rows; ++row) {
            const float* x = input.floats.data() + i * shape.cols;
            const float* wr = weights.data() + row * shape.cols;
            const Exact exact = exact_product(wr, x, shape.cols);
            double bound = relative * exact.magnitude + 1e-7;
            if (int8) {
              for (int64_t k = 0; k < shape.cols; ++k) {
                const float scale = input.scales[static_cast<size_t>((i * shape.cols + k) / 32)];
                bound += 0.501 * static_cast<double>(std::fabs(wr[k]) * scale);
              }
            }
            const float actual = out[static_cast<size_t>(i * (shape.rows + 1) + row)];
            ASSERT_NEAR(actual, exact.value, bound)
                << table->name << (int8 ? " int8" : " float") << " rows " << shape.rows << " cols " << shape.cols
                << " at " << i << "," << row;
          }
          ASSERT_EQ(out[static_cast<size_t>(i * (shape.rows + 1) + shape.rows)], kUntouched) << table->name;
        }
      }
    }
  }
}

// The int8 path against integers: the quantised activations as floats are exact, so only float rounding remains.
TEST_P(MatmulInt8Test, Int8PathIsTheProductOfWhatWasQuantised) {
  const DType type = GetParam();
  const Shape shape = shapes_for(type).back();
  const PackedWeights w(type, shape.rows, shape.cols, 17);
  const std::vector<float> weights = w.dequantized();
  const Input input(3, shape.cols, 19);
  std::vector<float> rounded(input.floats.size());
  for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = input.scales[i / 32] * static_cast<float>(input.values[i]);
  for (const KernelTable* table : tables()) {
    const auto out = multiply_all({table, true}, w.matrix(), input);
    for (int64_t i = 0; i < input.m; ++i) {
      for (int64_t row = 0; row < shape.rows; ++row) {
        const Exact exact =
            exact_product(weights.data() + row * shape.cols, rounded.data() + i * shape.cols, shape.cols);
        // Minimums are subtracted after the scaled quants were added, which are larger than their difference.
        ASSERT_NEAR(out[static_cast<size_t>(i * (shape.rows + 1) + row)], exact.value, 2e-5 * exact.magnitude + 1e-6)
            << table->name;
      }
    }
  }
}

TEST_P(MatmulTest, BiasAndResidual) {
  const DType type = GetParam();
  const Shape shape = shapes_for(type)[2];
  const PackedWeights w(type, shape.rows, shape.cols, 23);
  const Input input(5, shape.cols, 29);
  const std::vector<float> bias = random_rows(shape.rows, 31);
  for (const KernelTable* table : tables()) {
    for (const bool int8 : {false, true}) {
      if (int8 && !is_quantised(type)) continue;
      const auto plain = multiply_all({table, int8}, w.matrix(), input);
      std::vector<float> out = random_rows(static_cast<int64_t>(plain.size()), 37);
      std::vector<float> expected = out;
      for (size_t i = 0; i < out.size(); ++i) {
        const size_t row = i % static_cast<size_t>(shape.rows + 1);
        if (row < static_cast<size_t>(shape.rows)) expected[i] = expected[i] + (plain[i] + bias[row]);
      }
      multiply({table, int8, bias.data(), Epilogue::kAdd}, w.matrix(), input, 0, input.m, 0,
               packed_panel_count(shape.rows), out.data());
      expect_same_bits(expected, out, table->name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, MatmulTest, testing::ValuesIn(test::kAllTypes), test::type_test_name);
INSTANTIATE_TEST_SUITE_P(QuantisedTypes, MatmulInt8Test, testing::ValuesIn(quantised_types()), test::type_test_name);

TEST(Matmul, ExtremeQuantsDoNotSaturate) {
  // Every quant and activation at its largest magnitude: 16-bit partial sums would overflow where a kernel is careless.
  for (const DType type : test::kAllTypes) {
    if (!is_quantised(type)) continue;
    for (const uint8_t fill : {0xff, 0x00, 0x80}) {
      const PackedWeights w(type, 17, 512, 41, fill);
      Input input(2, 512, 43);
      for (const float value : {127.0F, -127.0F}) {
        for (float& x : input.floats) x = value;
        const kernels::QuantizeArgs args = {input.floats.data(), 512, &input.q8, 0, 2};
        kernels::reference_cpu_table().quantize_q8(&args);
        const auto expected = multiply_all({&kernels::reference_cpu_table(), true}, w.matrix(), input);
        for (const KernelTable* table : tables()) {
          expect_same_bits(expected, multiply_all({table, true}, w.matrix(), input),
                           std::string(table->name) + " " + dtype_traits(static_cast<uint32_t>(type))->name);
        }
      }
    }
  }
}

TEST(Matmul, NaNActivationsReachTheOutput) {
  for (const DType type : test::kAllTypes) {
    const PackedWeights w(type, 20, 256, 47);
    Input input(3, 256, 53);
    input.floats[256 + 40] = std::nanf("");
    const kernels::QuantizeArgs args = {input.floats.data(), 256, &input.q8, 0, 3};
    for (const KernelTable* table : tables()) {
      table->quantize_q8(&args);
      for (const bool int8 : {false, true}) {
        if (int8 && !is_quantised(type)) continue;
        const auto out = multiply_all({table, int8}, w.matrix(), input);
        for (size_t row = 0; row < 20; ++row) {
          EXPECT_TRUE(std::isfinite(out[row])) << table->name;
          EXPECT_TRUE(std::isnan(out[21 + row])) << table->name;
          EXPECT_TRUE(std::isfinite(out[42 + row])) << table->name;
        }
      }
    }
  }
}

TEST(Matmul, TablesAreComplete) {
  const auto all = tables();
  ASSERT_GE(all.size(), 1U);
  EXPECT_EQ(all.front(), &kernels::best_cpu_table());
  EXPECT_EQ(all.back(), &kernels::reference_cpu_table());
  for (const KernelTable* table : all) {
    EXPECT_EQ(table->version, kernels::kKernelTableVersion);
    ASSERT_NE(table->name, nullptr);
    EXPECT_NE(table->quantize_q8, nullptr) << table->name;
    EXPECT_NE(table->get_rows, nullptr) << table->name;
    for (const DType type : test::kAllTypes) {
      const auto layout = static_cast<int>(packed_layout_for(type));
      EXPECT_NE(table->matmul_f32[layout], nullptr) << table->name;
      EXPECT_EQ(table->matmul_q8[layout] != nullptr, is_quantised(type)) << table->name;
      EXPECT_EQ(table->matmul_q8_name[layout] != nullptr, is_quantised(type)) << table->name;
      EXPECT_EQ(table->matmul_q8_few_name[layout] != nullptr, is_quantised(type)) << table->name;
      EXPECT_NE(table->matmul_float_name[layout], nullptr) << table->name;
    }
  }
}

}  // namespace
}  // namespace fastserve
