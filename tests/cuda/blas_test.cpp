// Products of many rows by cuBLASLt, here a stand-in that computes on the processor: what is asked of it is what our
// own kernels compute, and where it is not there, knows no way or fails, these do.
#if !defined(FASTSERVE_REAL_DEVICE)
#include <dlfcn.h>

#include <string>
#include <utility>

#include "cuda/matmul_product.h"
#include "kernels/cuda/blas_product.cuh"
#include "support/fake_blas.h"

namespace fastserve::test {
namespace {

using kernels::cuda::Blas;

FakeBlasControl& fake_blas() {
  static FakeBlasControl* const control = [] {
    void* library = dlopen(FASTSERVE_FAKE_BLAS "/libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    return reinterpret_cast<FakeBlasEntry>(dlsym(library, kFakeBlasControlName))();
  }();
  return *control;
}

class CudaBlas : public ::testing::Test {
 protected:
  void SetUp() override {
    FakeBlasControl& fake = fake_blas();
    fake.fails_to_open = fake.knows_no_algorithm = false;
    fake.fail_product = fake.fail_call = 0;
    fake.calls = fake.searches = fake.products = fake.wrong = 0;
    kernels::cuda::blas_workspace_bytes = 4096;
    open();
  }
  void TearDown() override {
    close();
    EXPECT_EQ(fake_blas().objects, 0);
    EXPECT_EQ(fake_blas().wrong, 0);
    kernels::cuda::blas_weights_bytes = int64_t{64} << 20;
  }
  bool open(const char* folder = FASTSERVE_FAKE_BLAS) {
    close();
    note_ = {};
    kernels::cuda::emulated_blas = Blas::open(folder, &note_);
    return kernels::cuda::emulated_blas != nullptr;
  }
  static void close() { Blas::close(std::exchange(kernels::cuda::emulated_blas, nullptr)); }
  static std::string taken_note() {
    DeviceMessage note{};
    return kernels::cuda::emulated_blas->take_note(&note) ? note.text : "";
  }
  // The product's values are the reference's, whoever computed them.
  static void expect_right(const Case& shape) {
    Product product(DType::kBF16, shape, 40);
    DeviceMemory<float> bias(random_floats(static_cast<size_t>(shape.rows), 41));
    product.args.outputs[0].bias = bias.data();
    product.args.outputs[0].epilogue = Epilogue::kAdd;
    expect_product(product.run(), product.expected(nullptr, nullptr, bias.data(), Epilogue::kAdd));
  }

  DeviceMessage note_{};
};

TEST_F(CudaBlas, ComputesManyRowsByBf16Weights) {
  EXPECT_STREQ(note_.text, "cuBLASLt 130099 computes products of many rows by bf16 weights");
  int64_t products = 0;
  for (const Case& shape : {Case{128, 16, 64, kDeviceBlas}, Case{130, 49, 40, kDeviceBlas},
                            Case{257, 35, 33, kDeviceBlas}, Case{128, 300, 8, kDeviceBlas}}) {
    expect_right(shape);
    EXPECT_EQ(fake_blas().products, ++products) << shape.rows;
  }
}

TEST_F(CudaBlas, WeightsAreLaidOutSomeAtATime) {
  kernels::cuda::blas_weights_bytes = 3 * 16 * 64 * 2;  // three panels
  expect_right({128, 150, 64, kDeviceBlas});            // ten, the last one not full
  EXPECT_EQ(fake_blas().products, 4);
  EXPECT_EQ(fake_blas().searches, 2) << "three of one shape, one that is smaller";
}

TEST_F(CudaBlas, AShapeIsLookedUpOnce) {
  for (int i = 0; i < 3; ++i) expect_right({128, 32, 64, kDeviceBlas});
  EXPECT_EQ(fake_blas().products, 3);
  EXPECT_EQ(fake_blas().searches, 1);
  for (int64_t m = 129; m < 200; ++m) expect_right({m, 16, 8, kDeviceBlas});  // more than are kept
  expect_right({128, 32, 64, kDeviceBlas});
  EXPECT_EQ(fake_blas().searches, 1 + 71 + 1);
}

TEST_F(CudaBlas, OtherProductsAreOurOwn) {
  expect_right({127, 32, 64, kDeviceBlas});
  expect_right({128, 32, 64, 0});
  expect_right({128, 32, 64, kDeviceBlas | kDeviceInvariant});
  expect_right({128, 32, 64, kDeviceBlas | kDeviceExact});
  Product quantized(DType::kQ8_0, {128, 32, 64, kDeviceBlas}, 42);
  expect_product(quantized.run(), quantized.expected());
  EXPECT_EQ(fake_blas().products, 0);
}

TEST_F(CudaBlas, RowsAtOtherPlacesThanItIsPromisedAreOurOwn) {
  Product product(DType::kBF16, {128, 16, 64, kDeviceBlas}, 46);
  const int64_t stride = product.out_stride() - 1;
  product.args.outputs[0].output_stride = stride;
  const std::vector<float> actual = product.run(), expected = product.expected();
  for (int64_t i = 0; i < 128 * 16; ++i) {
    const int64_t row = i / 16, column = i % 16;
    ASSERT_NEAR(actual[static_cast<size_t>(row * stride + column)],
                expected[static_cast<size_t>(row * product.out_stride() + column)], 1e-4f);
  }
  EXPECT_EQ(fake_blas().products, 0);
}

TEST_F(CudaBlas, SeveralOutputsAndGatedOnes) {
  const Case shape = {128, 49, 64, kDeviceBlas};
  Product product(DType::kBF16, shape, 43);
  const PackedWeights up(DType::kBF16, 49, 64, 44), other(DType::kQ8_0, 49, 64, 45);
  const DeviceWeights up_device(up.matrix()), other_device(other.matrix());
  product.add_output(up_device.matrix());
  const std::vector<float> gates = product.expected(), ups = product.expected(nullptr, &up_device.matrix());
  const std::vector<float> both = product.run();
  const auto one = static_cast<std::ptrdiff_t>(both.size() / 2);
  expect_product({both.begin(), both.begin() + one}, gates);
  expect_product({both.begin() + one, both.end()}, ups);
  EXPECT_EQ(fake_blas().products, 2);
  product.args.gates_outputs = 1;
  product.args.output_activation = Activation::kRelu;
  std::vector<float> gated = product.run(), expected = gates;
  gated.resize(expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool is_value = static_cast<int64_t>(i) % product.out_stride() < shape.rows;
    if (is_value) expected[i] = std::max(gates[i], 0.0f) * ups[i];
  }
  expect_product(gated, expected);
  EXPECT_EQ(fake_blas().products, 4);
  product.args.gates_outputs = 0;
  product.add_output(other_device.matrix());
  expect_product({both.begin(), both.begin() + one}, [&] {
    const std::vector<float> all = product.run();
    return std::vector<float>(all.begin(), all.begin() + one);
  }());
  EXPECT_EQ(fake_blas().products, 6) << "the third is quantised";
}

// The second of four parts fails: what is left is our own kernel's, nothing is added twice.
TEST_F(CudaBlas, AProductThatFailsIsFinishedByOurOwnKernel) {
  kernels::cuda::blas_weights_bytes = 3 * 16 * 64 * 2;
  fake_blas().fail_product = 2;
  expect_right({128, 150, 64, kDeviceBlas});
  EXPECT_EQ(fake_blas().products, 2);
  EXPECT_EQ(taken_note(), "cuBLASLt refuses 128 rows by weights of 48 x 64 (status 14): its own kernel computes them");
  EXPECT_EQ(taken_note(), "");
  expect_right({128, 150, 64, kDeviceBlas});
  EXPECT_EQ(fake_blas().products, 2) << "what failed is not tried again";
  expect_right({129, 150, 64, kDeviceBlas});
  EXPECT_EQ(fake_blas().products, 6);
}

TEST_F(CudaBlas, EveryCallFailsInTurn) {
  const Case shape = {128, 32, 64, kDeviceBlas};
  expect_right(shape);
  const int64_t call_count = fake_blas().calls;
  EXPECT_GT(call_count, 10);
  int refusals = 0;
  for (int64_t call = 1; call <= call_count; ++call) {
    SCOPED_TRACE(call);
    ASSERT_TRUE(open());
    fake_blas().fail_call = fake_blas().calls + call;
    expect_right(shape);
    refusals += taken_note().empty() ? 0 : 1;
    fake_blas().fail_call = 0;
    ASSERT_TRUE(open());
    expect_right(shape);
    EXPECT_EQ(taken_note(), "");
  }
  EXPECT_EQ(refusals, call_count - 1) << "all but that which opens it";
  fake_blas().knows_no_algorithm = true;
  open();
  expect_right(shape);
  EXPECT_NE(taken_note().find("status 15"), std::string::npos);
}

TEST_F(CudaBlas, WithoutALibraryANoteSaysWhy) {
  fake_blas().fails_to_open = true;
  EXPECT_FALSE(open());
  EXPECT_STREQ(note_.text, "cuBLASLt cannot be used (status 14): our own kernels compute all products");
  expect_right({128, 32, 64, kDeviceBlas});
  EXPECT_FALSE(open("/nonexistent"));
  EXPECT_NE(std::string(note_.text).find("no cuBLASLt"), std::string::npos) << note_.text;
  EXPECT_FALSE(open(FASTSERVE_FAKE_BLAS "/../without"));
  EXPECT_STREQ(note_.text, "this cuBLASLt lacks functions: our own kernels compute all products");
}

}  // namespace
}  // namespace fastserve::test
#endif
