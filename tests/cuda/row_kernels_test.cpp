// Norms, activations, quantising, rounding and rows: against the CPU's reference, quantised forms to the bit.
#include <algorithm>
#include <functional>

#include "cuda/device_fixture.h"
#include "kernels/kernel_api.h"
#include "support/packed_weights.h"

namespace fastserve::test {
namespace {

using namespace kernels;  // NOLINT(google-build-using-namespace)

const KernelTable& reference() { return reference_cpu_table(); }

struct Shape {
  int64_t rows, cols, stride;
};
// Around a vector of 4, a K-block of 32 and a block of 1024; strides that are no multiple of 4 too (misaligned rows).
const Shape kShapes[] = {{1, 1, 1}, {2, 3, 5}, {3, 31, 33}, {2, 32, 32}, {1, 33, 36}, {2, 1023, 1024}, {2, 1025, 1027}};

TEST(CudaNorm, RmsAndLayerNormAreTheReferences) {
  for (const Shape& shape : kShapes) {
    const auto count = static_cast<size_t>(shape.rows * shape.stride), cols = static_cast<size_t>(shape.cols);
    DeviceMemory<float> input(random_floats(count, 1)), weight(random_floats(cols, 2)), bias(random_floats(cols, 3));
    std::vector<float> expected(count, 0.0f);
    RmsNormArgs rms = {input.data(),    shape.stride, weight.data(), 1.0f, 1e-5f,
                       expected.data(), shape.stride, shape.cols,    1,    0,
                       shape.rows};
    reference().rms_norm(&rms);
    DeviceMemory<float> output(count);
    const auto run = [&](auto entry, auto& args) {
      return in_both_orders([&] {
        std::memset(output.data(), 0, count * sizeof(float));
        args.output = output.data();
        run_entry(entry, args);
        return output.values();
      });
    };
    expect_close(run(device_kernels().rms_norm, rms), expected, 2e-6f);
    LayerNormArgs layer = {input.data(),    shape.stride, weight.data(), bias.data(), 1e-5f,
                           expected.data(), shape.stride, shape.cols,    0,           shape.rows};
    reference().layer_norm(&layer);
    expect_close(run(device_kernels().layer_norm, layer), expected, 3e-6f);
  }
}

TEST(CudaNorm, HeadsOfARowAreNormalisedOneByOneInPlace) {
  const int64_t cols = 80, parts = 3, rows = 2, stride = 244;
  const std::vector<float> input = random_floats(rows * stride, 4);
  DeviceMemory<float> weight(random_floats(cols, 5));
  std::vector<float> expected = input;
  RmsNormArgs args = {expected.data(), stride, weight.data(), 0.0f, 1e-6f, expected.data(),
                      stride,          cols,   parts,         0,    rows};
  reference().rms_norm(&args);
  const auto actual = in_both_orders([&] {
    DeviceMemory<float> data(input);
    args.input = args.output = data.data();
    run_entry(device_kernels().rms_norm, args);
    return data.values();
  });
  expect_close(actual, expected, 2e-6f);
}

TEST(CudaGated, EveryActivationWithAndWithoutUp) {
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu}) {
    for (const bool has_up : {false, true}) {
      const int64_t rows = 2, cols = 1030, stride = 1032;
      const std::vector<float> gate = random_floats(rows * stride, 6, 3.0f);
      DeviceMemory<float> up(random_floats(rows * stride, 7));
      std::vector<float> expected = gate;
      GatedArgs args = {expected.data(),
                        stride,
                        has_up ? up.data() : nullptr,
                        stride,
                        activation,
                        expected.data(),
                        stride,
                        cols,
                        0,
                        rows};
      reference().gated(&args);
      const auto actual = in_both_orders([&] {
        DeviceMemory<float> data(gate);
        args.gate = args.output = data.data();
        run_entry(device_kernels().gated, args);
        return data.values();
      });
      expect_close(actual, expected, 2e-6f);
    }
  }
}

struct Quantized {
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

template <typename Run>
Quantized quantize(int64_t rows, int64_t cols, Run&& run) {
  const auto count = static_cast<size_t>(rows * cols);
  DeviceMemory<int8_t> values(count);
  DeviceMemory<float> scales(count / 32);
  DeviceMemory<int32_t> sums(count / 32);
  const QuantizedRows out = {values.data(), scales.data(), sums.data(), cols};
  run(out);
  return {values.values(), scales.values(), sums.values()};
}

void expect_same(const Quantized& a, const Quantized& b) {
  EXPECT_EQ(a.values, b.values);
  EXPECT_EQ(a.sums, b.sums);
  EXPECT_EQ(0, std::memcmp(a.scales.data(), b.scales.data(), a.scales.size() * sizeof(float)));
}

TEST(CudaQuantize, EqualsTheReferenceToTheBit) {
  for (const int64_t cols : {32, 96, 1056, 2048}) {
    const int64_t rows = 3, stride = cols + 4;
    std::vector<float> x = random_floats(static_cast<size_t>(rows * stride), 8);
    x[3] = INFINITY;                              // a broken block
    std::fill_n(x.begin() + stride, 32, 1e-33f);  // one that counts as zero
    for (int i = 0; i < 32; ++i)
      x[static_cast<size_t>(2 * stride + i)] = 127.0f - 0.5f * static_cast<float>(i);  // ties
    DeviceMemory<float> input(x);
    const auto run = [&](auto entry) {
      return quantize(rows, cols, [&](const QuantizedRows& out) {
        const QuantizeArgs args = {input.data(), stride, &out, 0, rows};
        entry(args);
      });
    };
    set_order(Order::kDescending);
    const Quantized actual = run([](const QuantizeArgs& args) { run_entry(device_kernels().quantize_q8, args); });
    set_order(Order::kAscending);
    expect_same(actual, run([](const QuantizeArgs& args) { reference().quantize_q8(&args); }));
  }
}

TEST(CudaQuantize, FusedIsTheSameAsOneAfterTheOther) {
  const int64_t rows = 2, cols = 1056;
  DeviceMemory<float> input(random_floats(rows * cols, 9)), up(random_floats(rows * cols, 10)), floats(rows * cols);
  const RmsNormArgs norm = {input.data(), cols, nullptr, 0.0f, 1e-5f, floats.data(), cols, cols, 1, 0, rows};
  const GatedArgs gated = {input.data(), cols, up.data(), cols, Activation::kSilu, floats.data(), cols, cols, 0, rows};
  const auto quantize_floats = [&](const QuantizedRows& out) {
    const QuantizeArgs args = {floats.data(), cols, &out, 0, rows};
    run_entry(device_kernels().quantize_q8, args);
  };
  const Quantized norm_fused = quantize(rows, cols, [&](const QuantizedRows& out) {
    run_entry(device_kernels().rms_norm_quantize, RmsNormQuantizeArgs{norm, &out});
  });
  expect_same(norm_fused, quantize(rows, cols, quantize_floats));  // it left the floats too
  run_entry(device_kernels().gated, gated);
  const Quantized apart = quantize(rows, cols, quantize_floats);
  const Quantized fused = quantize(rows, cols, [&](const QuantizedRows& out) {
    run_entry(device_kernels().gated_quantize, GatedQuantizeArgs{gated, &out});
  });
  expect_same(fused, apart);
}

TEST(CudaRound, Bf16IsNearestEvenPaddedWithZeros) {
  const int64_t rows = 2, cols = 37, stride = 64;
  std::vector<float> x = random_floats(rows * cols, 11);
  x[0] = NAN;
  x[1] = INFINITY;
  DeviceMemory<float> input(x);
  DeviceMemory<uint16_t> output(rows * stride);
  run_entry(device_kernels().round_bf16, RoundBf16Args{input.data(), cols, output.data(), stride, cols, 0, rows});
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < stride; ++c) {
      const uint16_t expected = c < cols ? float_to_bfloat16(x[static_cast<size_t>(row * cols + c)]) : uint16_t{0};
      ASSERT_EQ(output[static_cast<size_t>(row * stride + c)], expected) << row << " " << c;
    }
  }
}

class CudaLookUp : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaLookUp, testing::ValuesIn(kAllTypes), type_test_name);

TEST_P(CudaLookUp, RowsAreDequantizedToTheBit) {
  const int64_t rows = 37, cols = 512;
  const PackedWeights weights(GetParam(), rows, cols, 12);
  const DeviceWeights device(weights.matrix());
  DeviceMemory<int32_t> ids(std::vector<int32_t>{36, 0, 17});
  DeviceMemory<float> output(3 * cols);
  run_entry(device_kernels().get_rows, GetRowsArgs{&device.matrix(), ids.data(), 3, output.data(), cols, 1.5f});
  std::vector<float> expected(3 * cols);
  const GetRowsArgs args = {&weights.matrix(), ids.data(), 3, expected.data(), cols, 1.5f};
  reference().get_rows(&args);
  EXPECT_EQ(output.values(), expected);
}

TEST(CudaRows, SelectSoftcapAndAdd) {
  const int64_t cols = 300, stride = 301;
  DeviceMemory<float> input(random_floats(4 * stride, 13, 20.0f)), selected(3 * cols), sums(3 * cols);
  DeviceMemory<int32_t> ids(std::vector<int32_t>{3, -1, 1});
  run_entry(device_kernels().select_rows,
            DeviceSelectRowsArgs{input.data(), stride, ids.data(), 3, cols, selected.data(), cols});
  std::vector<float> expected(3 * cols, 0.0f);
  std::copy_n(input.data() + 3 * stride, cols, expected.begin());
  std::copy_n(input.data() + stride, cols, expected.begin() + 2 * cols);
  EXPECT_EQ(selected.values(), expected);
  run_entry(device_kernels().add, AddArgs{selected.data(), input.data(), sums.data(), 3 * cols});
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(sums[i], expected[i] + input[i]);
  run_entry(device_kernels().softcap, DeviceSoftcapArgs{selected.data(), cols, 3, cols, 30.0f});
  for (float& x : expected) x = 30.0f * std::tanh(x / 30.0f);
  expect_close(selected.values(), expected, 1e-6f);
}

TEST(CudaRows, EntriesRefuseWhatTheyCannotDo) {
  DeviceMemory<float> input(40);
  const QuantizedRows out = {nullptr, nullptr, nullptr, 40};
  DeviceMemory<int8_t> values(40);
  QuantizedRows rows = out;
  rows.values = values.data();
  const QuantizeArgs args = {input.data(), 40, &rows, 0, 1};
  DeviceMessage message = {};
  EXPECT_EQ(device_kernels().quantize_q8(device_queue(), &args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "quantised rows need a multiple of 32 columns");
}

}  // namespace
}  // namespace fastserve::test
