// kv_append: every element at its documented place with the right rounding, nothing else touched, any cut of rows.
#include <algorithm>

#include "kernels/kernel_fixture.h"
#include "kernels/paged_cache.h"

namespace fastserve::kernels {
namespace {

class KvAppendKernel : public PerTable {};
FASTSERVE_PER_TABLE(KvAppendKernel);

const KvType kTypes[] = {KvType::kF32, KvType::kF16, KvType::kBF16, KvType::kQ8};

// What a stored value must read back as; `amax` is that of the token's head vector.
float stored(KvType type, float x, float amax) {
  switch (type) {
    case KvType::kF32:
      return x;
    case KvType::kF16:
      return half_to_float(float_to_half(x));
    case KvType::kBF16:
      return bfloat16_to_float(float_to_bfloat16(x));
    case KvType::kQ8:
      return amax == 0.0f ? 0.0f : static_cast<float>(std::nearbyint(x * (127.0f / amax))) * (amax / 127.0f);
  }
  return 0.0f;
}

float head_amax(const float* x, int32_t dim) {
  float amax = 0.0f;
  for (int32_t d = 0; d < dim; ++d) amax = std::max(amax, std::fabs(x[d]));
  return amax;
}

void check_contents(const PagedCache& cache, const KvLayer& layer, const Floats& k, const Floats& v, int32_t tokens) {
  for (int32_t p = 0; p < tokens; ++p) {
    for (int32_t h = 0; h < layer.kv_head_count; ++h) {
      const float* k_head = k.data() + (static_cast<int64_t>(p) * layer.kv_head_count + h) * layer.head_dim;
      const float* v_head = v.data() + (static_cast<int64_t>(p) * layer.kv_head_count + h) * layer.value_dim;
      const float k_amax = head_amax(k_head, layer.head_dim), v_amax = head_amax(v_head, layer.value_dim);
      for (int32_t d = 0; d < layer.head_dim; ++d) {
        ASSERT_EQ(cache.key(p, h, d), stored(layer.type, k_head[d], k_amax)) << p << " " << h << " " << d;
      }
      for (int32_t d = 0; d < layer.value_dim; ++d) {
        ASSERT_EQ(cache.value(p, h, d), stored(layer.type, v_head[d], v_amax)) << p << " " << h << " " << d;
      }
    }
  }
}

TEST_P(KvAppendKernel, PutsEveryElementInItsPlace) {
  constexpr int32_t kTokens = 37;
  for (KvType type : kTypes) {
    for (auto [head_dim, value_dim] : {std::pair{64, 64}, {8, 16}, {80, 40}, {13, 7}}) {
      const KvLayer layer = make_layer(type, 2, head_dim, value_dim);
      Floats k(kTokens * 2 * head_dim, 51, 2.0f), v(kTokens * 2 * value_dim, 52);
      k[3] = 1e-6f;  // an f16 subnormal
      k[5] = 0.0f;
      PagedCache whole(layer, kTokens);
      append(table(), layer, whole.view(0, kTokens, 0), k.data(), v.data(), 0, kTokens);
      check_contents(whole, layer, k, v, kTokens);

      // Cut in ranges of rows (as threads do) and in steps (as chunks do): the same blocks byte for byte, so slots
      // past the end and other layers' bytes were left alone alike.
      PagedCache cut(layer, kTokens);
      for (auto [begin, end] : {std::pair{0, 1}, {1, 15}, {15, 33}, {33, 37}}) {
        append(table(), layer, cut.view(0, kTokens, 0), k.data(), v.data(), begin, end);
      }
      EXPECT_TRUE(cut.same_bytes(whole));
      PagedCache steps(layer, kTokens);
      for (int32_t p = 0; p < kTokens; ++p) {
        append(table(), layer, steps.view(0, 1, p), k.data() + p * 2 * head_dim, v.data() + p * 2 * value_dim, 0, 1);
      }
      EXPECT_TRUE(steps.same_bytes(whole));
    }
  }
}

TEST_P(KvAppendKernel, TouchesNothingElse) {
  for (KvType type : kTypes) {
    const KvLayer layer = make_layer(type, 2, 24, 24);
    Floats k(5 * 48, 61), v(5 * 48, 62);
    PagedCache cache(layer, 32);
    append(table(), layer, cache.view(0, 5, 14), k.data(), v.data(), 1, 4);  // positions 15, 16, 17
    PagedCache reference(layer, 32);
    append(reference_cpu_table(), layer, reference.view(0, 5, 14), k.data(), v.data(), 1, 4);
    EXPECT_TRUE(cache.same_bytes(reference));
    const size_t changed = cache.storage().size() - std::ranges::count(cache.storage(), uint8_t{0xff});
    const size_t written = 3 * 2 * 2 * static_cast<size_t>(24 * kv_element_bytes(type) + (type == KvType::kQ8 ? 4 : 0));
    EXPECT_LE(changed, written);
    EXPECT_GT(changed, written * 9 / 10);
  }
}

TEST_P(KvAppendKernel, SeveralSequences) {
  const KvLayer layer = make_layer(KvType::kF16, 1, 16, 16);
  Floats k(9 * 16, 71), v(9 * 16, 72);
  PagedCache first(layer, 16), second(layer, 32);
  const KvView views[] = {first.view(0, 4, 0), second.view(4, 5, 0)};
  KvAppendArgs args = {&layer, views, 2, k.data(), 16, v.data(), 16, 0, 9};
  table().kv_append(&args);
  for (int32_t row = 0; row < 9; ++row) {
    for (int32_t d = 0; d < 16; ++d) {
      const float got = row < 4 ? first.key(row, 0, d) : second.key(row - 4, 0, d);
      EXPECT_EQ(got, half_to_float(float_to_half(k[row * 16 + d])));
    }
  }
}

TEST_P(KvAppendKernel, RoundsEdgeCasesAsTheTypesDo) {
  const float edges[] = {65504.0f, 65519.9f, 65520.0f, 1e30f, -1e30f,   6.1e-5f, 5.96e-8f, 2.98e-8f,
                         2.99e-8f, 1e-9f,    1.0005f,  -0.0f, 1.00049f, 3.4e38f, 1e-40f,   INFINITY};
  for (KvType type : {KvType::kF32, KvType::kF16, KvType::kBF16}) {
    const KvLayer layer = make_layer(type, 1, 16, 16);
    PagedCache cache(layer, 1);
    append(table(), layer, cache.view(0, 1, 0), edges, edges, 0, 1);
    for (int32_t d = 0; d < 16; ++d) {
      EXPECT_EQ(cache.key(0, 0, d), stored(type, edges[d], 0)) << edges[d];
      EXPECT_EQ(cache.value(0, 0, d), stored(type, edges[d], 0)) << edges[d];
      EXPECT_EQ(std::signbit(cache.key(0, 0, d)), std::signbit(edges[d]));
    }
  }
  for (KvType type : {KvType::kF32, KvType::kF16, KvType::kBF16}) {
    const KvLayer layer = make_layer(type, 1, 16, 16);
    uint32_t bits[16];
    for (uint32_t i = 0; i < 16; ++i) bits[i] = 0x7f800001u + (i << 12) + (i % 2 << 31);  // NaN of every payload
    float nans[16];
    std::memcpy(nans, bits, sizeof nans);
    PagedCache cache(layer, 1);
    append(table(), layer, cache.view(0, 1, 0), nans, nans, 0, 1);
    for (int32_t d = 0; d < 16; ++d) EXPECT_TRUE(std::isnan(cache.key(0, 0, d)) && std::isnan(cache.value(0, 0, d)));
  }
  // A vector that int8 cannot hold stays visibly broken instead of turning into plausible numbers.
  for (float bad : {NAN, INFINITY}) {
    const KvLayer layer = make_layer(KvType::kQ8, 1, 16, 16);
    float x[16] = {1, 2, 3, bad};
    PagedCache cache(layer, 1);
    append(table(), layer, cache.view(0, 1, 0), x, x, 0, 1);
    for (int32_t d = 0; d < 16; ++d) EXPECT_TRUE(std::isnan(cache.key(0, 0, d)) && std::isnan(cache.value(0, 0, d)));
  }
}

}  // namespace
}  // namespace fastserve::kernels
