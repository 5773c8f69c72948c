// rms_norm and layer_norm: against double arithmetic, and the same bits from every table.
#include "kernels/kernel_fixture.h"

namespace fastserve::kernels {
namespace {

const int64_t kCols[] = {1, 7, 15, 16, 17, 31, 33, 64, 100, 576, 1023};
constexpr int64_t kRows = 3;
constexpr float kUntouched = 12345.0f;

class NormKernel : public PerTable {};
FASTSERVE_PER_TABLE(NormKernel);

std::vector<double> rms_norm_exact(const float* x, const float* weight, double offset, double eps, int64_t cols) {
  double squares = 0;
  for (int64_t c = 0; c < cols; ++c) squares += double(x[c]) * x[c];
  std::vector<double> out(cols);
  for (int64_t c = 0; c < cols; ++c) {
    out[c] = x[c] / std::sqrt(squares / cols + eps) * (weight ? weight[c] + offset : 1.0);
  }
  return out;
}

std::vector<double> layer_norm_exact(const float* x, const float* weight, const float* bias, double eps, int64_t cols) {
  double mean = 0, squares = 0;
  for (int64_t c = 0; c < cols; ++c) mean += x[c];
  mean /= cols;
  for (int64_t c = 0; c < cols; ++c) squares += (x[c] - mean) * (x[c] - mean);
  std::vector<double> out(cols);
  for (int64_t c = 0; c < cols; ++c) {
    out[c] = (x[c] - mean) / std::sqrt(squares / cols + eps) * (weight ? weight[c] : 1.0) + (bias ? bias[c] : 0.0);
  }
  return out;
}

// Rows 1 and 2 of three: the range must be kept, and strides wider than a row left alone.
void check_rms(const KernelTable& table, int64_t cols, bool with_weight, float offset, bool in_place) {
  const int64_t stride = cols + 5;
  Floats x(kRows * stride, 7), weight(cols, 8), out(kRows * stride);
  out.fill(kUntouched);
  const Floats original = x;
  if (in_place) out = x;
  float* target = out.data();
  const float* source = in_place ? out.data() : x.data();
  RmsNormArgs args = {};
  args.input = source;
  args.input_stride = stride;
  args.weight = with_weight ? weight.data() : nullptr;
  args.weight_offset = offset;
  args.eps = 1e-5f;
  args.output = target;
  args.output_stride = stride;
  args.cols = cols;
  args.row_begin = 1;
  args.row_end = 3;
  Floats reference_out = out;
  table.rms_norm(&args);
  RmsNormArgs reference_args = args;
  reference_args.input = in_place ? reference_out.data() : x.data();
  reference_args.output = reference_out.data();
  reference_cpu_table().rms_norm(&reference_args);
  EXPECT_TRUE(same_bits(out.data(), reference_out.data(), out.size())) << "cols " << cols;
  for (int64_t row = 0; row < kRows; ++row) {
    const auto exact = rms_norm_exact(original.data() + row * stride, args.weight, offset, 1e-5, cols);
    for (int64_t c = 0; c < stride; ++c) {
      const float got = out[row * stride + c];
      if (row == 0 || c >= cols) {
        EXPECT_EQ(got, in_place ? original[row * stride + c] : kUntouched);
      } else {
        EXPECT_NEAR(got, exact[c], 2e-6 * (1 + std::fabs(exact[c]))) << "cols " << cols << " row " << row;
      }
    }
  }
}

TEST_P(NormKernel, RmsNormMatchesDouble) {
  for (int64_t cols : kCols) {
    check_rms(table(), cols, true, 0.0f, false);
    check_rms(table(), cols, true, 1.0f, false);
    check_rms(table(), cols, true, 0.0f, true);
    check_rms(table(), cols, false, 0.0f, false);
  }
}

TEST_P(NormKernel, RmsNormOfPartsIsThatOfRows) {
  for (int64_t cols : {16, 64, 80}) {
    constexpr int64_t kParts = 3;
    Floats x(2 * kParts * cols, 3), weight(cols, 4), parts_out(x.size()), rows_out(x.size());
    RmsNormArgs args = {};
    args.input = x.data();
    args.weight = weight.data();
    args.eps = 1e-6f;
    args.cols = cols;
    args.input_stride = args.output_stride = kParts * cols;
    args.parts = kParts;
    args.output = parts_out.data();
    args.row_end = 2;
    table().rms_norm(&args);
    args.input_stride = args.output_stride = cols;
    args.parts = 1;
    args.output = rows_out.data();
    args.row_end = 2 * kParts;
    table().rms_norm(&args);
    EXPECT_TRUE(same_bits(parts_out.data(), rows_out.data(), x.size()));
    EXPECT_NE(parts_out[2 * cols], 0.0f);
  }
}

TEST_P(NormKernel, RmsNormOfZerosAndOfNan) {
  Floats x(33), out(33);
  RmsNormArgs args = {};
  args.input = x.data();
  args.eps = 1e-6f;
  args.cols = 33;
  args.input_stride = args.output_stride = 33;
  args.output = out.data();
  args.row_end = 1;
  table().rms_norm(&args);
  for (size_t c = 0; c < 33; ++c) EXPECT_EQ(out[c], 0.0f);
  x[32] = NAN;
  table().rms_norm(&args);
  for (size_t c = 0; c < 33; ++c) EXPECT_TRUE(std::isnan(out[c]));
}

TEST_P(NormKernel, LayerNormMatchesDouble) {
  for (int64_t cols : kCols) {
    for (int form = 0; form < 4; ++form) {
      const bool with_weight = form != 3, with_bias = form < 2, in_place = form == 1;
      const int64_t stride = cols + 3;
      Floats x(kRows * stride, 17), weight(cols, 18), bias(cols, 19), out(kRows * stride);
      for (size_t i = 0; i < x.size(); ++i) x[i] += 4.0f;  // a mean that matters
      const Floats original = x;
      if (in_place) out = x;
      Floats reference_out = out;
      LayerNormArgs args = {};
      args.input = in_place ? out.data() : x.data();
      args.input_stride = args.output_stride = stride;
      args.weight = with_weight ? weight.data() : nullptr;
      args.bias = with_bias ? bias.data() : nullptr;
      args.eps = 1e-5f;
      args.output = out.data();
      args.cols = cols;
      args.row_begin = 1;
      args.row_end = 3;
      table().layer_norm(&args);
      for (int64_t row = 1; row < kRows; ++row) {
        const auto exact = layer_norm_exact(original.data() + row * stride, args.weight, args.bias, 1e-5, cols);
        for (int64_t c = 0; c < cols; ++c) {
          EXPECT_NEAR(out[row * stride + c], exact[c], 1e-5 * (1 + std::fabs(exact[c]))) << "cols " << cols;
        }
      }
      if (in_place) args.input = reference_out.data();
      args.output = reference_out.data();
      reference_cpu_table().layer_norm(&args);
      EXPECT_TRUE(same_bits(out.data(), reference_out.data(), out.size())) << "cols " << cols;
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
