// Matrix products on the emulator: every layout against the CPU's reference, with prologues, epilogues and tails; and
// that bits do not depend on the number of rows where that is asked.
#include "cuda/matmul_product.h"

namespace fastserve::test {
namespace {

class CudaMatmul : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaMatmul, testing::ValuesIn(kAllTypes), type_test_name);

TEST_P(CudaMatmul, IsTheReferencesForFewAndManyRows) {
  const bool small_blocks = is_float(GetParam());
  const Case cases[] = {{1, 16, 256},  {1, 37, 768},  {7, 17, 256},  {9, 33, 512},
                        {20, 48, 256}, {67, 16, 256}, {130, 49, 512}};
  for (const Case& shape : cases) {
    Case sized = shape;
    if (small_blocks) sized.cols -= 5;  // an odd tail
    Product product(GetParam(), sized, 20);
    SCOPED_TRACE(testing::Message() << sized.m << " x " << sized.rows << " x " << sized.cols);
    expect_product(in_both_orders([&] { return product.run(); }), product.expected());
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

TEST_P(CudaMatmul, ExactComputesWithFloats) {
  const Case shape = {3, 18, 256, kDeviceExact};
  Product product(GetParam(), shape, 21);
  expect_product(product.run(), product.expected());
}

TEST_P(CudaMatmul, InvariantRowsDoNotDependOnTheirNumber) {
  const int64_t rows = 32, cols = 512;
  std::vector<float> whole;
  for (const int64_t m : {70, 64, 17, 9, 8, 1}) {
    Product product(GetParam(), {m, rows, cols, kDeviceInvariant}, 22);  // the same weights and first rows every time
    const std::vector<float> out = product.run();
    if (whole.empty()) whole = out;
    const auto bytes = static_cast<size_t>(m * product.out_stride()) * sizeof(float);
    ASSERT_EQ(0, std::memcmp(out.data(), whole.data(), bytes - 3 * sizeof(float))) << m << " rows";
  }
}

class CudaPrologue : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaPrologue, testing::Values(DType::kQ4_0, DType::kBF16, DType::kF16), type_test_name);

// The floats that a prologue makes, by the entry that is tested against the reference.
std::vector<float> prepared(const DeviceMatmulInput& in) {
  DeviceMemory<float> out(static_cast<size_t>(in.m * in.cols));
  if (in.prologue == DevicePrologue::kRmsNorm) {
    run_entry(device_kernels().rms_norm, RmsNormArgs{in.rows, in.stride, in.norm_weight, in.weight_offset, in.eps,
                                                     out.data(), in.cols, in.cols, 1, 0, in.m});
  } else if (in.prologue == DevicePrologue::kLayerNorm) {
    run_entry(device_kernels().layer_norm, LayerNormArgs{in.rows, in.stride, in.norm_weight, in.norm_bias, in.eps,
                                                         out.data(), in.cols, in.cols, 0, in.m});
  } else {
    run_entry(device_kernels().gated,
              GatedArgs{in.rows, in.stride, in.up, in.up_stride, in.activation, out.data(), in.cols, in.cols, 0, in.m});
  }
  return out.values();
}

TEST_P(CudaPrologue, MakesTheInputOnTheWay) {
  for (const DevicePrologue prologue : {DevicePrologue::kRmsNorm, DevicePrologue::kLayerNorm, DevicePrologue::kGated}) {
    for (const int64_t m : {2, 11}) {  // in the product's own blocks, and before it
      Product product(GetParam(), {m, 20, 288}, 23);
      DeviceMemory<float> weight(random_floats(288, 24)), bias(random_floats(288, 25)), up(random_floats(m * 288, 26));
      DeviceMatmulInput& input = product.args.input;
      input.prologue = prologue;
      input.activation = Activation::kGeluTanh;
      input.up = up.data();
      input.up_stride = 288;
      input.norm_weight = weight.data();
      input.norm_bias = bias.data();
      input.weight_offset = 1.0f;
      input.eps = 1e-5f;
      const std::vector<float> floats = prepared(input);
      expect_product(in_both_orders([&] { return product.run(); }), product.expected(floats.data()));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(CudaPrologue, WritesSeveralOutputsWithBiasesAndResiduals) {
  for (const int64_t m : {3, 70}) {
    const Case shape = {m, 49, 256};
    Product product(GetParam(), shape, 27);
    const PackedWeights second(GetParam(), 49, 256, 28), third(DType::kQ8_0, 49, 256, 29);
    const DeviceWeights second_device(second.matrix()), third_device(third.matrix());
    DeviceMemory<float> bias(random_floats(49, 30));
    product.add_output(second_device.matrix());
    product.add_output(third_device.matrix());  // another layout: a launch of its own
    product.args.outputs[0].bias = bias.data();
    product.args.outputs[1].epilogue = Epilogue::kAdd;
    const std::vector<float> all = product.run();
    const size_t one = all.size() / 3;
    expect_product({all.begin(), all.begin() + static_cast<ptrdiff_t>(one)},
                   product.expected(nullptr, nullptr, bias.data()));
    expect_product({all.begin() + static_cast<ptrdiff_t>(one), all.begin() + static_cast<ptrdiff_t>(2 * one)},
                   product.expected(nullptr, &second_device.matrix(), nullptr, Epilogue::kAdd));
    EXPECT_NE(all[2 * one], Product::start(0));
  }
}

TEST_P(CudaPrologue, GatesTwoOutputsIntoOne) {
  for (const int64_t m : {1, 12, 66}) {
    const Case shape = {m, 35, 256};
    Product product(GetParam(), shape, 31);
    const PackedWeights up(GetParam(), 35, 256, 32);
    const DeviceWeights up_device(up.matrix());
    product.add_output(up_device.matrix());
    product.args.gates_outputs = 1;
    product.args.output_activation = Activation::kSilu;
    std::vector<float> expected = product.expected();
    const std::vector<float> ups = product.expected(nullptr, &up_device.matrix());
    for (int64_t row = 0; row < m; ++row) {
      for (int64_t c = 0; c < shape.rows; ++c) {
        float& gate = expected[static_cast<size_t>(row * product.out_stride() + c)];
        gate = gate / (1.0f + std::exp(-gate)) * ups[static_cast<size_t>(row * product.out_stride() + c)];
      }
    }
    std::vector<float> actual = in_both_orders([&] { return product.run(); });
    actual.resize(expected.size());
    expect_product(actual, expected);
    if (HasFatalFailure()) return;
  }
}

TEST(CudaMatmulPanels, ComputesTheColumnsThatAreAskedFor) {
  Product product(DType::kQ8_0, {2, 70, 64}, 33);
  product.args.outputs[0].panel_begin = 1;
  product.args.outputs[0].panel_end = 3;
  const std::vector<float> actual = product.run(), whole = product.expected();
  for (int64_t c = 0; c < 70; ++c) {
    const auto i = static_cast<size_t>(c);
    if (c >= 16 && c < 48) {
      EXPECT_NEAR(actual[i], whole[i], 1e-3f) << c;
    } else {
      EXPECT_EQ(actual[i], Product::start(i)) << c;
    }
  }
}

TEST(CudaMatmulPanels, RefusesWhatItCannotDo) {
  Product product(DType::kQ8_0, {1, 16, 64}, 34);
  DeviceMessage message = {};
  product.args.scratch = {};
  EXPECT_EQ(device_kernels().matmul(device_queue(), &product.args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "matmul: the scratch is too small");
  product.args.input.cols = 32;
  EXPECT_EQ(device_kernels().matmul(device_queue(), &product.args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "matmul: input and weight differ in columns");
  product.args.gates_outputs = 1;
  EXPECT_EQ(device_kernels().matmul(device_queue(), &product.args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "matmul: gate and up are two outputs");
}

}  // namespace
}  // namespace fastserve::test
