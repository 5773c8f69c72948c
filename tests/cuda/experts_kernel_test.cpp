// Routed experts on the emulator, against the same composed of the CPU's reference kernels.
#include <algorithm>
#include <cmath>

#include "cuda/device_fixture.h"
#include "kernels/kernel_api.h"
#include "support/packed_weights.h"

namespace fastserve::test {
namespace {

using namespace kernels;  // NOLINT(google-build-using-namespace)

struct Routing {
  std::vector<int32_t> chosen;
  std::vector<float> weights;
};

// Softmax over all, the largest kept, lower index first among equals.
Routing route_by_hand(std::vector<float> logits, int64_t rows, int32_t experts, int32_t used, bool renormalize) {
  Routing out;
  for (int64_t row = 0; row < rows; ++row) {
    float* x = logits.data() + row * experts;
    double sum = 0, kept = 0;
    const float largest = *std::max_element(x, x + experts);
    for (int32_t e = 0; e < experts; ++e) sum += x[e] = std::exp(x[e] - largest);
    for (int32_t rank = 0; rank < used; ++rank) {
      const auto best = static_cast<int32_t>(std::max_element(x, x + experts) - x);
      out.chosen.push_back(best);
      out.weights.push_back(static_cast<float>(x[best] / sum));
      kept += x[best] / sum;
      x[best] = -1;
    }
    for (int32_t rank = 0; renormalize && rank < used; ++rank) {
      float& weight = out.weights[out.weights.size() - 1 - static_cast<size_t>(rank)];
      weight = static_cast<float>(weight / kept);
    }
  }
  return out;
}

TEST(CudaRoute, ChoosesTheMostLikelyExperts) {
  for (const int32_t experts : {3, 8, 130}) {
    for (const bool renormalize : {false, true}) {
      const int64_t rows = 4;
      const int32_t used = 3;
      std::vector<float> logits = random_floats(static_cast<size_t>(rows * experts), 80);
      logits[1] = logits[2] = 9.0f;  // equals
      DeviceMemory<float> device_logits(logits), weights(static_cast<size_t>(rows * used));
      DeviceMemory<int32_t> chosen(static_cast<size_t>(rows * used));
      const DeviceRouteArgs args = {device_logits.data(), experts,       rows,          experts, used,
                                    renormalize ? 1 : 0,  chosen.data(), weights.data()};
      run_entry(device_kernels().route, args);
      const Routing expected = route_by_hand(logits, rows, experts, used, renormalize);
      EXPECT_EQ(chosen.values(), expected.chosen);
      expect_close(weights.values(), expected.weights, 1e-6f);
    }
  }
}

// Experts packed one after the other, each in whole panels.
struct Stack {
  Stack(DType type, int32_t experts, int64_t rows, int64_t cols, uint32_t seed) {
    for (int32_t e = 0; e < experts; ++e) each.emplace_back(type, rows, cols, seed + static_cast<uint32_t>(e));
    const PackedMatrix& one = each[0].matrix();
    const int64_t bytes = (rows + 15) / 16 * one.panel_bytes;
    memory = std::make_unique<DeviceMemory<uint8_t>>(static_cast<size_t>(experts * bytes));
    for (int32_t e = 0; e < experts; ++e) {
      std::memcpy(memory->data() + e * bytes, each[static_cast<size_t>(e)].matrix().data, static_cast<size_t>(bytes));
    }
    matrix = one;
    matrix.data = memory->data();
  }
  std::vector<PackedWeights> each;
  std::unique_ptr<DeviceMemory<uint8_t>> memory;
  PackedMatrix matrix;
};

// One row through one expert, by the reference table.
std::vector<float> multiply(const PackedMatrix& w, DType type, std::vector<float> x) {
  std::vector<float> out(static_cast<size_t>(w.rows));
  MatmulArgs args = {};
  args.weights = &w;
  args.m = 1;
  args.output = out.data();
  args.output_stride = w.rows;
  args.panel_end = (w.rows + 15) / 16;
  args.input = x.data();
  args.input_stride = w.cols;
  const auto layout = static_cast<int>(w.layout);
  if (type == DType::kF32) {
    reference_cpu_table().matmul_f32[layout](&args);
    return out;
  }
  if (type == DType::kBF16) {
    for (float& value : x) value = bfloat16_to_float(float_to_bfloat16(value));
    reference_cpu_table().matmul_f32[layout](&args);
    return out;
  }
  std::vector<int8_t> values(x.size());
  std::vector<float> scales(x.size() / 32);
  std::vector<int32_t> sums(x.size() / 32);
  const QuantizedRows rows = {values.data(), scales.data(), sums.data(), w.cols};
  const QuantizeArgs quantize = {x.data(), w.cols, &rows, 0, 1};
  reference_cpu_table().quantize_q8(&quantize);
  args.input_q8 = &rows;
  reference_cpu_table().matmul_q8[layout](&args);
  return out;
}

class CudaExperts : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaExperts, testing::Values(DType::kF32, DType::kBF16, DType::kQ4_0, DType::kQ8_0),
                         type_test_name);

TEST_P(CudaExperts, AreTheReferencesRowByRow) {
  const int32_t experts = 5, used = 2;
  const int64_t hidden = 64, wide = 96;
  const DType type = GetParam();
  const Stack gate(type, experts, wide, hidden, 81), up(type, experts, wide, hidden, 91),
      down(type, experts, hidden, wide, 101);
  for (const int64_t rows : {1, 23}) {  // 23 rows: more of one expert than a tile holds
    const Routing routing =
        route_by_hand(random_floats(static_cast<size_t>(rows * experts), 82), rows, experts, used, true);
    const std::vector<float> before = random_floats(static_cast<size_t>(rows * hidden), 83);
    DeviceMemory<float> normed(random_floats(static_cast<size_t>(rows * hidden), 84)), weights(routing.weights);
    DeviceMemory<int32_t> chosen(routing.chosen);
    const auto actual = in_both_orders([&] {
      DeviceMemory<float> out(before);
      DeviceExpertsArgs args = {normed.data(),     hidden,         rows,         experts,    used,
                                chosen.data(),     weights.data(), &gate.matrix, &up.matrix, &down.matrix,
                                Activation::kSilu, out.data(),     hidden,       0,          {}};
      DeviceMemory<uint8_t> scratch(device_kernels().experts_scratch_bytes(&args));
      args.scratch = {scratch.data(), scratch.size()};
      run_entry(device_kernels().experts, args);
      return out.values();
    });
    std::vector<float> expected = before;
    for (int64_t row = 0; row < rows; ++row) {
      const std::vector<float> x = copy_of(normed.data() + row * hidden, hidden);
      for (int32_t rank = 0; rank < used; ++rank) {
        const auto pair = static_cast<size_t>(row * used + rank);
        const auto e = static_cast<size_t>(routing.chosen[pair]);
        std::vector<float> middle = multiply(gate.each[e].matrix(), type, x);
        const std::vector<float> ups = multiply(up.each[e].matrix(), type, x);
        for (size_t i = 0; i < middle.size(); ++i) middle[i] = middle[i] / (1.0f + std::exp(-middle[i])) * ups[i];
        const std::vector<float> out = multiply(down.each[e].matrix(), type, middle);
        for (size_t i = 0; i < out.size(); ++i) {
          expected[static_cast<size_t>(row * hidden) + i] += routing.weights[pair] * out[i];
        }
      }
    }
    float largest = 1.0f;
    for (const float value : expected) largest = std::max(largest, std::fabs(value));
    for (size_t i = 0; i < actual.size(); ++i) {
      // An activation at the border of two int8 or bf16 values may fall to either side.
      ASSERT_NEAR(actual[i], expected[i], (type == DType::kF32 ? 1e-5f : 5e-3f) * largest) << i;
    }
  }
}

TEST(CudaExpertsArguments, AreChecked) {
  PackedMatrix gate = {}, down = {};
  gate.layout = down.layout = PackedLayout::kQ8;
  gate.rows = down.cols = 32;
  gate.cols = down.rows = 64;
  DeviceExpertsArgs args = {};
  args.gate = args.up = &gate;
  args.down = &down;
  args.rows = 1;
  DeviceMessage message = {};
  const auto refusal = [&] {
    EXPECT_EQ(device_kernels().experts(device_queue(), &args, &message), DeviceResult::kInvalid);
    return std::string(message.text);
  };
  EXPECT_EQ(refusal(), "experts: 1 to 4096 of them");
  args.expert_count = 2;
  args.experts_used = 3;
  EXPECT_EQ(refusal(), "experts: a row uses 1 to 64, and no more than there are");
  args.experts_used = 2;
  EXPECT_EQ(refusal(), "experts: the scratch is too small");
  down.cols = 96;
  EXPECT_EQ(refusal(), "experts: gate and down differ in size");
}

}  // namespace
}  // namespace fastserve::test
