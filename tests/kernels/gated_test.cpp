// Gated activations and add: against double arithmetic over the whole range of inputs.
#include <limits>

#include "kernels/kernel_fixture.h"

namespace fastserve::kernels {
namespace {

class GatedKernel : public PerTable {};
FASTSERVE_PER_TABLE(GatedKernel);

const Activation kActivations[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu};

double activate_exact(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kRelu:
      return x > 0 ? x : 0;
  }
  return 0;
}

TEST_P(GatedKernel, MatchesDoubleForEveryShape) {
  for (Activation activation : kActivations) {
    for (int64_t cols : {1, 15, 16, 17, 33, 100, 576}) {
      for (int form = 0; form < 3; ++form) {  // plain, without up, in place
        const int64_t stride = cols + 3;
        Floats gate(3 * stride, 21, 3.0f), up(3 * stride, 22), out(3 * stride);
        out.fill(777.0f);
        const Floats original = gate;
        GatedArgs args = {};
        args.gate = gate.data();
        args.gate_stride = args.up_stride = args.output_stride = stride;
        args.up = form == 1 ? nullptr : up.data();
        args.activation = activation;
        args.output = form == 2 ? gate.data() : out.data();
        args.cols = cols;
        args.row_begin = 1;
        args.row_end = 3;
        table().gated(&args);
        for (int64_t row = 0; row < 3; ++row) {
          for (int64_t c = 0; c < stride; ++c) {
            const int64_t i = row * stride + c;
            if (row == 0 || c >= cols) {
              EXPECT_EQ(args.output[i], form == 2 ? original[i] : 777.0f);
              continue;
            }
            const double exact = activate_exact(activation, original[i]) * (form == 1 ? 1.0 : up[i]);
            EXPECT_NEAR(args.output[i], exact, 3e-7 + 1e-6 * std::fabs(exact))
                << static_cast<int>(activation) << " x " << original[i];
          }
        }
      }
    }
  }
}

// The whole line: relative error where the result is not tiny, limits at the ends, NaN stays.
TEST_P(GatedKernel, HoldsAtTheEnds) {
  std::vector<float> xs;
  for (float x = -120.0f; x <= 120.0f; x += 0.0173f) xs.push_back(x);
  const float infinity = std::numeric_limits<float>::infinity();
  const size_t finite_count = xs.size();
  for (float x : {0.0f, 1e-30f, -1e-30f, 1e-42f, 3e38f, -3e38f, infinity}) xs.push_back(x);
  std::vector<float> out(xs.size());
  for (Activation activation : kActivations) {
    GatedArgs args = {};
    args.gate = xs.data();
    args.activation = activation;
    args.output = out.data();
    args.cols = static_cast<int64_t>(xs.size());
    args.gate_stride = args.output_stride = args.cols;
    args.row_end = 1;
    table().gated(&args);
    for (size_t i = 0; i < finite_count; ++i) {
      const double exact = activate_exact(activation, xs[i]);
      // gelu near -5 is a difference of nearly equal numbers in float for everyone: absolute there.
      const double tolerance = activation == Activation::kSilu ? 1e-36 + 6e-7 * std::fabs(exact)
                                                               : 1.2e-7 * std::fabs(xs[i]) + 5e-7 * std::fabs(exact);
      EXPECT_NEAR(out[i], exact, tolerance) << static_cast<int>(activation) << " x " << xs[i];
    }
    const float* tail = out.data() + finite_count;
    EXPECT_EQ(tail[0], 0.0f);
    EXPECT_NEAR(tail[1], activation == Activation::kRelu ? 1e-30f : 0.5e-30f, 1e-36f);
    EXPECT_EQ(tail[4], 3e38f);
    EXPECT_EQ(tail[5], 0.0f);
    EXPECT_EQ(tail[6], infinity);

    const float nan = std::numeric_limits<float>::quiet_NaN();
    float result = 0.0f;
    args.gate = &nan;
    args.output = &result;
    args.cols = 1;
    table().gated(&args);
    EXPECT_TRUE(std::isnan(result)) << static_cast<int>(activation);
  }
}

TEST_P(GatedKernel, BitsDoNotDependOnThePlace) {
  for (Activation activation : kActivations) {
    Floats gate(67, 31, 4.0f), up(67, 32), whole(67), single(67);
    GatedArgs args = {gate.data(), 67, up.data(), 67, activation, whole.data(), 67, 67, 0, 1};
    table().gated(&args);
    for (size_t i = 0; i < 67; ++i) {
      GatedArgs one = {gate.data() + i, 1, up.data() + i, 1, activation, single.data() + i, 1, 1, 0, 1};
      table().gated(&one);
    }
    EXPECT_TRUE(same_bits(whole.data(), single.data(), 67)) << static_cast<int>(activation);
  }
}

TEST_P(GatedKernel, Adds) {
  for (size_t count : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{17}, size_t{100}}) {
    Floats a(count + 1, 41), b(count + 1, 42), out(count + 1);
    AddArgs args = {a.data(), b.data(), out.data(), static_cast<int64_t>(count)};
    table().add(&args);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(out[i], a[i] + b[i]);
    EXPECT_EQ(out[count], 0.0f);
    args.out = a.data();
    table().add(&args);
    EXPECT_TRUE(same_bits(a.data(), out.data(), count));
  }
}

}  // namespace
}  // namespace fastserve::kernels
