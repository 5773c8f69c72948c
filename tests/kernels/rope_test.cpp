// Rotary embedding: angles against double arithmetic at far positions, rotation of both kinds, in ranges.
#include "kernels/kernel_fixture.h"

namespace fastserve::kernels {
namespace {

class RopeKernel : public PerTable {};
FASTSERVE_PER_TABLE(RopeKernel);

TEST_P(RopeKernel, AnglesAreAccurateAtFarPositions) {
  const std::vector<int32_t> positions = {0, 1, 2, 63, 4095, 32767, 100003, 131071};
  const int32_t pairs = 37;
  Floats inv_freq(pairs), cosines(positions.size() * pairs), sines(positions.size() * pairs);
  for (int32_t i = 0; i < pairs; ++i) inv_freq[i] = static_cast<float>(std::pow(10000.0, -double(i) / pairs));
  cosines.fill(7.0f);
  sines.fill(7.0f);
  RopeAnglesArgs args = {positions.data(), inv_freq.data(), pairs, 1.25f, cosines.data(), sines.data(), 1, 0};
  args.row_end = static_cast<int64_t>(positions.size());
  table().rope_angles(&args);
  for (size_t row = 0; row < positions.size(); ++row) {
    for (int32_t i = 0; i < pairs; ++i) {
      const float angle = static_cast<float>(positions[row]) * inv_freq[i];
      const float cosine = cosines[row * pairs + i], sine = sines[row * pairs + i];
      if (row == 0) {
        EXPECT_EQ(cosine, 7.0f);  // outside the range
        continue;
      }
      EXPECT_NEAR(cosine, 1.25 * std::cos(double(angle)), 1.6e-7) << positions[row] << " pair " << i;
      EXPECT_NEAR(sine, 1.25 * std::sin(double(angle)), 1.6e-7) << positions[row] << " pair " << i;
    }
  }
}

void check_rotation(const KernelTable& table, RopeKind kind, int32_t head_dim, int32_t rope_dims) {
  constexpr int32_t kHeads = 3, kRows = 4;
  const int32_t pairs = rope_dims / 2;
  const int64_t stride = kHeads * head_dim + 2;
  Floats data(kRows * stride, 5), cosines(kRows * pairs, 6), sines(kRows * pairs, 7);
  const Floats original = data;
  Floats reference_data = data;
  RopeArgs args = {data.data(), stride, kHeads, head_dim, rope_dims, kind, cosines.data(), sines.data(), 1, 4};
  table.rope(&args);
  args.data = reference_data.data();
  reference_cpu_table().rope(&args);
  EXPECT_TRUE(same_bits(data.data(), reference_data.data(), data.size())) << head_dim << " " << rope_dims;

  std::vector<double> exact(original.data(), original.data() + original.size());
  for (int64_t row = 1; row < kRows; ++row) {
    for (int32_t h = 0; h < kHeads; ++h) {
      for (int32_t i = 0; i < pairs; ++i) {
        const int64_t base = row * stride + h * head_dim;
        const int64_t first = base + (kind == RopeKind::kAdjacent ? 2 * i : i);
        const int64_t second = kind == RopeKind::kAdjacent ? first + 1 : first + pairs;
        const double a = original[first], b = original[second];
        const double cosine = cosines[row * pairs + i], sine = sines[row * pairs + i];
        exact[first] = a * cosine - b * sine;
        exact[second] = b * cosine + a * sine;
      }
    }
  }
  for (size_t i = 0; i < data.size(); ++i) {
    EXPECT_NEAR(data[i], exact[i], 1e-6 * (1 + std::fabs(exact[i]))) << head_dim << " " << rope_dims << " at " << i;
  }
}

TEST_P(RopeKernel, RotatesPairs) {
  for (RopeKind kind : {RopeKind::kAdjacent, RopeKind::kHalves}) {
    for (int32_t head_dim : {2, 8, 18, 32, 34, 64, 80, 96, 128, 256}) {
      check_rotation(table(), kind, head_dim, head_dim);
      check_rotation(table(), kind, head_dim, head_dim / 4 * 2);  // the rest of the head stays
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
