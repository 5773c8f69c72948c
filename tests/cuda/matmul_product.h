// A product as tests of device kernels run it, and what the CPU's reference makes of the same.
#pragma once
#include <algorithm>
#include <memory>

#include "cuda/device_fixture.h"
#include "kernels/kernel_api.h"
#include "support/packed_weights.h"

namespace fastserve::test {

using namespace kernels;  // NOLINT(google-build-using-namespace): of tests alone

inline bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

// m rows by weights [rows][cols].
struct Case {
  int64_t m, rows, cols;
  uint32_t flags = 0;
};

// A product of rows that lie in device memory, and what the reference makes of the same.
class Product {
 public:
  Product(DType type, const Case& shape, uint32_t seed)
      : type_(type),
        shape_(shape),
        stride_(shape.cols + 4),
        // Only a library minds.
        out_stride_((shape.flags & kDeviceBlas) != 0 ? (shape.rows + 6) / 4 * 4 : shape.rows + 3),
        weights_(type, shape.rows, shape.cols, seed),
        device_(weights_.matrix()),
        input_(random_floats(static_cast<size_t>(shape.m * stride_), seed + 1)) {
    args.input.rows = input_.data();
    args.input.stride = stride_;
    args.input.cols = shape.cols;
    args.input.m = shape.m;
    args.flags = shape.flags;
    add_output(device_.matrix());
  }
  void add_output(const PackedMatrix& matrix) {
    outputs_.push_back(std::make_unique<DeviceMemory<float>>(static_cast<size_t>(shape_.m * out_stride_), 0));
    DeviceMatmulOutput& output = args.outputs[args.output_count++];
    output.weights = &matrix;
    output.output = outputs_.back()->data();
    output.output_stride = out_stride_;
    output.panel_end = INT64_MAX;
  }

  std::vector<float> run() {
    DeviceMemory<uint8_t> scratch(matmul_scratch());
    args.scratch = {scratch.data(), scratch.size()};
    for (auto& output : outputs_) {
      for (size_t i = 0; i < output->size(); ++i) (*output)[i] = start(i);
    }
    run_entry(device_kernels().matmul, args);
    std::vector<float> all;
    for (auto& output : outputs_) all.insert(all.end(), output->data(), output->data() + output->size());
    return all;
  }
  uint64_t matmul_scratch() const { return device_kernels().matmul_scratch_bytes(&args); }
  static float start(size_t i) { return static_cast<float>(i % 7); }

  // One output by the reference table, from `prepared` floats in place of the input where given.
  std::vector<float> expected(const float* prepared = nullptr, const PackedMatrix* matrix = nullptr,
                              const float* bias = nullptr, Epilogue epilogue = Epilogue::kStore) const {
    const int64_t m = shape_.m, cols = shape_.cols;
    std::vector<float> floats(static_cast<size_t>(m * cols));
    for (int64_t i = 0; i < m; ++i) {
      const float* row = prepared != nullptr ? prepared + i * cols : input_.data() + i * stride_;
      std::copy_n(row, cols, floats.begin() + i * cols);
    }
    std::vector<float> out(static_cast<size_t>(m * out_stride_));
    for (size_t i = 0; i < out.size(); ++i) out[i] = start(i);
    MatmulArgs matmul = {};
    matmul.weights = matrix != nullptr ? matrix : &device_.matrix();
    matmul.m = m;
    matmul.output = out.data();
    matmul.output_stride = out_stride_;
    matmul.bias = bias;
    matmul.epilogue = epilogue;
    matmul.panel_end = (shape_.rows + 15) / 16;
    compute(matmul, floats);
    return out;
  }

  DeviceMatmulArgs args = {};
  int64_t out_stride() const { return out_stride_; }

 private:
  void compute(MatmulArgs& matmul, std::vector<float>& floats) const {
    const auto layout = static_cast<int>(matmul.weights->layout);
    const bool exact = (shape_.flags & kDeviceExact) != 0;
    matmul.input = floats.data();
    matmul.input_stride = shape_.cols;
    if (type_ == DType::kBF16 && !exact) {
      for (float& x : floats) x = bfloat16_to_float(float_to_bfloat16(x));
    }
    if (is_float(type_) || exact) {
      reference_cpu_table().matmul_f32[layout](&matmul);
      return;
    }
    std::vector<int8_t> values(floats.size());
    std::vector<float> scales(floats.size() / 32);
    std::vector<int32_t> sums(floats.size() / 32);
    const QuantizedRows rows = {values.data(), scales.data(), sums.data(), shape_.cols};
    const QuantizeArgs quantize = {floats.data(), shape_.cols, &rows, 0, shape_.m};
    reference_cpu_table().quantize_q8(&quantize);
    matmul.input_q8 = &rows;
    reference_cpu_table().matmul_q8[layout](&matmul);
  }

  DType type_;
  Case shape_;
  int64_t stride_, out_stride_;
  PackedWeights weights_;
  DeviceWeights device_;
  DeviceMemory<float> input_;
  std::vector<std::unique_ptr<DeviceMemory<float>>> outputs_;
};

inline float largest(const std::vector<float>& values) {
  float top = 0.0f;
  for (const float value : values) top = std::max(top, std::fabs(value));
  return top;
}

inline void expect_product(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  const float tolerance = 3e-6f * largest(expected) + 1e-6f;
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], tolerance) << "at " << i;
  }
}

}  // namespace fastserve::test
