// What the kernel tests share: the runnable tables as test parameters, random data, odd alignments.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_api.h"

namespace fastserve::kernels {

inline std::vector<const KernelTable*> runnable_tables() {
  const KernelTable* tables[8] = {};
  const int count = runnable_cpu_tables(tables, 8);
  return {tables, tables + count};
}

// A suite over every table that this processor can run.
class PerTable : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
};
inline std::string table_name(const testing::TestParamInfo<const KernelTable*>& info) { return info.param->name; }
#define FASTSERVE_PER_TABLE(suite) \
  INSTANTIATE_TEST_SUITE_P(Tables, suite, testing::ValuesIn(runnable_tables()), table_name)

// Normally distributed floats; the pointer it hands out is 4 bytes off any wider alignment.
class Floats {
 public:
  explicit Floats(size_t count, uint32_t seed = 0, float spread = 1.0f) : storage_(count + 1, 0.0f) {
    if (seed == 0) return;
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, spread);
    for (float& x : storage_) x = normal(random);
  }
  float* data() { return storage_.data() + 1; }
  const float* data() const { return storage_.data() + 1; }
  size_t size() const { return storage_.size() - 1; }
  float& operator[](size_t i) { return data()[i]; }
  float operator[](size_t i) const { return data()[i]; }
  void fill(float value) { storage_.assign(storage_.size(), value); }

 private:
  std::vector<float> storage_;
};

inline bool same_bits(const float* a, const float* b, size_t count) {
  return count == 0 || std::memcmp(a, b, count * sizeof(float)) == 0;
}

}  // namespace fastserve::kernels
