// Quantisation of activations: the reference keeps its definition, every other table equals it to the bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/kernel_api.h"

namespace fastserve::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Quantized {
  explicit Quantized(int64_t count) : values(static_cast<size_t>(count)), scales(values.size() / 32), sums(scales) {}
  std::vector<int8_t> values;
  std::vector<float> scales;
  struct Sums : std::vector<int32_t> {
    explicit Sums(const std::vector<float>& like) : std::vector<int32_t>(like.size()) {}
  } sums;
};

Quantized quantize(const KernelTable& table, const std::vector<float>& input, int64_t cols) {
  Quantized out(static_cast<int64_t>(input.size()));
  const QuantizedRows rows = {out.values.data(), out.scales.data(), out.sums.data(), cols};
  const QuantizeArgs args = {input.data(), cols, &rows, 0, static_cast<int64_t>(input.size()) / cols};
  table.quantize_q8(&args);
  return out;
}

std::vector<float> blocks_of_every_kind() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x;
  for (const float size : {1.0F, 1e-3F, 1e20F, 3e38F, 1e-29F, 2e-30F, 9e-31F, 1e-40F, 0.0F}) {
    for (int i = 0; i < 32; ++i) x.push_back(std::fmax(-1.0F, std::fmin(1.0F, normal(random))) * size);
  }
  for (int i = 0; i < 32; ++i) x.push_back((static_cast<float>(i) - 15.5F) * 8.0F);  // ties
  x[9 * 32] = 127.0F;
  for (const float odd : {kInfinity, -kInfinity, std::nanf(""), -std::nanf(""), 3.4e38F}) {
    for (int i = 0; i < 32; ++i) x.push_back(i == 17 ? odd : normal(random));
  }
  return x;
}

TEST(Quantize, ErrorIsHalfAStepAtMost) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(96 * 7);
  for (float& v : x) v = normal(random);
  const Quantized q = quantize(reference_cpu_table(), x, 96);
  for (size_t b = 0; b < q.scales.size(); ++b) {
    float amax = 0;
    int32_t sum = 0;
    for (size_t i = b * 32; i < b * 32 + 32; ++i) {
      amax = std::fmax(amax, std::fabs(x[i]));
      sum += q.values[i];
      EXPECT_LE(std::fabs(static_cast<float>(q.values[i]) * q.scales[b] - x[i]), q.scales[b] * 0.5001F);
    }
    EXPECT_EQ(q.scales[b], amax / 127.0F);
    EXPECT_EQ(q.sums[b], sum);
  }
}

TEST(Quantize, TiesGoToEven) {
  std::vector<float> x(32, 0.0F);
  x[0] = 127.0F;
  for (size_t i = 1; i < 12; ++i) x[i] = static_cast<float>(i) - 6.5F;
  const Quantized q = quantize(reference_cpu_table(), x, 32);
  for (size_t i = 1; i < 12; ++i) EXPECT_EQ(q.values[i], static_cast<int>(std::nearbyint(x[i]))) << x[i];
}

TEST(Quantize, WhatIsNotFiniteMakesTheScaleNaN) {
  const std::vector<float> x = blocks_of_every_kind();
  const Quantized q = quantize(reference_cpu_table(), x, 32);
  for (size_t b = 10; b < 14; ++b) {
    EXPECT_TRUE(std::isnan(q.scales[b]));
    EXPECT_EQ(q.sums[b], 0);
    for (size_t i = b * 32; i < b * 32 + 32; ++i) EXPECT_EQ(q.values[i], 0);
  }
  for (const size_t zero : {size_t{6}, size_t{7}, size_t{8}}) EXPECT_EQ(q.scales[zero], 0.0F);
  EXPECT_TRUE(std::isfinite(q.scales[14]));
}

TEST(Quantize, TablesAgreeToTheBit) {
  std::vector<float> x = blocks_of_every_kind();
  x.resize(x.size() / 96 * 96);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 96 * 50; ++i) x.push_back(normal(random));
  const Quantized expected = quantize(reference_cpu_table(), x, 96);
  const KernelTable* tables[8];
  const int count = runnable_cpu_tables(tables, 8);
  for (int t = 0; t < count; ++t) {
    const Quantized actual = quantize(*tables[t], x, 96);
    EXPECT_EQ(actual.values, expected.values) << tables[t]->name;
    EXPECT_EQ(actual.sums, expected.sums) << tables[t]->name;
    EXPECT_EQ(std::memcmp(actual.scales.data(), expected.scales.data(), expected.scales.size() * 4), 0)
        << tables[t]->name;
  }
}

}  // namespace
}  // namespace fastserve::kernels
