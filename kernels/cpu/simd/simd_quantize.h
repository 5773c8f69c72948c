// Activations to int8, bit for bit the reference. Include after vec16.h.
#pragma once
#include <cstring>

#include "kernels/cpu/half.h"
#include "kernels/kernel_api.h"

namespace fastserve::kernels {
namespace {

inline int32_t sum_bytes(const int8_t* values) {  // of one K-block
  const auto* halves = reinterpret_cast<const __m128i*>(values);
  const __m128i ones = _mm_set1_epi8(1);
  const __m128i pairs = _mm_add_epi16(_mm_maddubs_epi16(ones, _mm_loadu_si128(halves)),
                                      _mm_maddubs_epi16(ones, _mm_loadu_si128(halves + 1)));
  __m128i four = _mm_madd_epi16(pairs, _mm_set1_epi16(1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return _mm_cvtsi128_si32(four);
}

inline void quantize_block(const float* x, int8_t* values, float* scale, int32_t* sum) {
  const Vec x0 = load(x), x1 = load(x + 16);
  // Magnitudes as integers: the order of floats, with infinity and every NaN on top.
  const uint32_t top = max_bits_lanes(max_bits(absolute(x0), absolute(x1)));
  const float amax = bits_to_float(top);
  if (top >= 0x7f800000U || amax < kQuantizeTiny) {
    memset(values, 0, kActivationBlock);
    *scale = top >= 0x7f800000U ? bits_to_float(0x7fc00000U) : 0.0F;
    *sum = 0;
    return;
  }
  *scale = amax / 127.0F;
  const Vec inverse = splat(127.0F / amax);
  store_int8(values, round_even(x0 * inverse));
  store_int8(values + 16, round_even(x1 * inverse));
  *sum = sum_bytes(values);
}

inline void quantize_rows(const QuantizeArgs& args) {
  const QuantizedRows& out = *args.output;
  const int64_t blocks = out.cols / kActivationBlock;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.input + row * args.input_stride;
    float* scales = out.scales + row * blocks;
    int32_t* sums = out.sums + row * blocks;
    for (int64_t b = 0; b < blocks; ++b) {
      quantize_block(x + b * kActivationBlock, out.values + row * out.cols + b * kActivationBlock, scales + b,
                     sums + b);
    }
    if (out.tile_scales == nullptr) continue;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t at = quantized_tile_index(row, b, blocks);
      out.tile_scales[at] = scales[b];
      out.tile_sums[at] = scales[b] * static_cast<float>(sums[b]);
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
