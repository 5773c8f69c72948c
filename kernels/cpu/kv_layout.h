// Small facts about the paged cache that its CPU kernels share.
#pragma once
#include <cstdint>

#include "kernels/cpu/half.h"
#include "kernels/kernel_api.h"

namespace fastserve::kernels {

struct KvRows {
  int32_t begin, end;
};

// The rows of a sequence that lie in [row_begin, row_end).
[[maybe_unused]] static inline KvRows kv_rows_of(const KvView& view, int32_t row_begin, int32_t row_end) {
  const int32_t end = view.row_begin + view.row_count;
  return {view.row_begin > row_begin ? view.row_begin : row_begin, end < row_end ? end : row_end};
}

struct KeyRange {
  int32_t begin, end;  // positions
};

// The keys that a row of a sequence attends to.
[[maybe_unused]] static inline KeyRange kv_keys_of(const KvView& view, int32_t row, int32_t window,
                                                   int32_t bidirectional) {
  const int32_t position = view.position_begin + (row - view.row_begin);
  KeyRange keys = {0, position + 1};
  if (bidirectional != 0) keys.end = view.position_begin + view.row_count;
  if (window > 0) {
    if (position >= window) keys.begin = position - window + 1;
    if (keys.end - position > window) keys.end = position + window;
  }
  return keys;
}

// kQ8: the scales of a head's 16 tokens, behind its values.
[[maybe_unused]] static inline float* kv_q8_scales(uint8_t* head, int32_t dim) {
  return reinterpret_cast<float*>(head + static_cast<int64_t>(dim) * kKvBlockTokens);
}

// kBF16: indices of elements within a head.
[[maybe_unused]] static inline int64_t kv_bf16_key(int32_t d, int32_t slot) {
  return int64_t{d / 2} * (2 * kKvBlockTokens) + slot * 2 + d % 2;
}
[[maybe_unused]] static inline int64_t kv_bf16_value(int32_t d, int32_t slot, int32_t value_dim) {
  return (int64_t{slot / 2} * value_dim + d) * 2 + slot % 2;
}

// Whether a token's vector with this largest magnitude (as bits) can be held: below, 127 / amax would overflow and the
// vector counts as zero; an infinity or NaN makes the scale NaN, so that a broken token stays visibly broken.
constexpr uint32_t kKvTinyBits = 0x0d800000u;  // 2^-100
[[maybe_unused]] static inline bool kv_q8_usable(uint32_t amax_bits) {
  return amax_bits >= kKvTinyBits && amax_bits < 0x7f800000u;
}
[[maybe_unused]] static inline float kv_q8_scale(uint32_t amax_bits) {
  if (amax_bits >= 0x7f800000u) return bits_to_float(0x7fc00000u);
  return amax_bits < kKvTinyBits ? 0.0f : bits_to_float(amax_bits) / 127.0f;
}

// Nearest even, for |x| <= 127.5: the addition leaves no room for a fraction.
[[maybe_unused]] static inline int8_t kv_round_to_int8(float x) {
  const float magic = 12582912.0f;  // 1.5 * 2^23
  return static_cast<int8_t>(static_cast<int32_t>((x + magic) - magic));
}

}  // namespace fastserve::kernels
