// The fused kernels give the very bytes of their parts run one after the other.
#include "kernels/kernel_fixture.h"

namespace fastserve::kernels {
namespace {

class FusedQuantizeKernel : public PerTable {};
FASTSERVE_PER_TABLE(FusedQuantizeKernel);

constexpr int64_t kRows = 3;
const int64_t kCols[] = {32, 96, 480, 512, 544, 576, 1536};

struct Quantized {
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::vector<float> tile_scales, tile_sums;
  QuantizedRows rows;

  explicit Quantized(int64_t cols)
      : values(kRows * cols, 77),
        scales(kRows * cols / 32, 77.0f),
        sums(kRows * cols / 32, 77),
        tile_scales(16 * cols / 32, 77.0f),
        tile_sums(tile_scales) {
    rows = {values.data(), scales.data(), sums.data(), cols, tile_scales.data(), tile_sums.data()};
  }
  bool operator==(const Quantized& other) const {
    return values == other.values && scales == other.scales && sums == other.sums && tile_scales == other.tile_scales &&
           tile_sums == other.tile_sums;
  }
};

void quantize(const KernelTable& table, const Floats& x, int64_t stride, const Quantized& out) {
  const QuantizeArgs args = {x.data(), stride, &out.rows, 1, kRows};
  table.quantize_q8(&args);
}

TEST_P(FusedQuantizeKernel, RmsNormIsThatOfItsParts) {
  for (int64_t cols : kCols) {
    for (bool with_weight : {true, false}) {
      const int64_t stride = cols + 3;
      Floats x(kRows * stride, 81), weight(cols, 82), normed(kRows * stride), kept(kRows * stride);
      RmsNormQuantizeArgs args = {};
      RmsNormArgs& norm = args.norm;
      norm.input = x.data();
      norm.input_stride = norm.output_stride = stride;
      norm.weight = with_weight ? weight.data() : nullptr;
      norm.weight_offset = 1.0f;
      norm.eps = 1e-5f;
      norm.cols = cols;
      norm.row_begin = 1;
      norm.row_end = kRows;
      norm.output = normed.data();
      Quantized expected(cols), got(cols), with_floats(cols);
      table().rms_norm(&norm);
      quantize(table(), normed, stride, expected);

      norm.output = nullptr;
      args.quantized = &got.rows;
      table().rms_norm_quantize(&args);
      EXPECT_TRUE(got == expected) << "cols " << cols;
      norm.output = kept.data();
      args.quantized = &with_floats.rows;
      table().rms_norm_quantize(&args);
      EXPECT_TRUE(with_floats == expected) << "cols " << cols;
      EXPECT_TRUE(same_bits(kept.data(), normed.data(), kept.size()));
      EXPECT_EQ(got.values[0], 77);  // row 0 is outside the range
      EXPECT_NE(got.values[cols], 77);
    }
  }
}

TEST_P(FusedQuantizeKernel, GatedIsThatOfItsParts) {
  for (Activation activation : {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu}) {
    for (int64_t cols : kCols) {
      for (bool with_up : {true, false}) {
        const int64_t stride = cols + 5;
        Floats gate(kRows * stride, 83, 2.0f), up(kRows * stride, 84), out(kRows * stride);
        GatedQuantizeArgs args = {};
        args.gated = {gate.data(), stride, with_up ? up.data() : nullptr, stride, activation, out.data(), stride, cols,
                      1,           kRows};
        Quantized expected(cols), got(cols);
        table().gated(&args.gated);
        quantize(table(), out, stride, expected);
        args.gated.output = nullptr;
        args.quantized = &got.rows;
        table().gated_quantize(&args);
        EXPECT_TRUE(got == expected) << "cols " << cols << " activation " << static_cast<int>(activation);
        EXPECT_EQ(got.values[0], 77);
        EXPECT_NE(got.scales[cols / 32], 77.0f);
      }
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
