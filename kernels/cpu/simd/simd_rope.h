// Rotation of heads on Vec, for include after a vec16.h: the bits of reference/rope.cpp.
#pragma once

namespace fastserve::kernels {
namespace {

// Lanes hold both of a pair: out = x*cos + swapped*(-sin, sin).
inline void rotate_adjacent(const RopeArgs& args, float* row, const float* cosines, const float* sines) {
  for (int32_t pair = 0; pair < args.rope_dims / 2; pair += kLanes / 2) {
    const int32_t left = args.rope_dims / 2 - pair;
    const int pairs = left < kLanes / 2 ? left : kLanes / 2;
    const Vec cosine = load_twice(cosines + pair, pairs);
    const Vec sine = negate_even(load_twice(sines + pair, pairs));
    for (int32_t h = 0; h < args.head_count; ++h) {
      float* x = row + int64_t{h} * args.head_dim + 2 * pair;
      const Vec v = load_first(x, 2 * pairs);
      store_first(x, v * cosine + swap_pairs(v) * sine, 2 * pairs);
    }
  }
}

inline void rotate_halves(const RopeArgs& args, float* row, const float* cosines, const float* sines) {
  const int32_t half = args.rope_dims / 2;
  for (int32_t pair = 0; pair < half; pair += kLanes) {
    const int pairs = half - pair < kLanes ? half - pair : kLanes;
    const Vec cosine = load_first(cosines + pair, pairs), sine = load_first(sines + pair, pairs);
    for (int32_t h = 0; h < args.head_count; ++h) {
      float* first = row + int64_t{h} * args.head_dim + pair;
      float* second = first + half;
      const Vec a = load_first(first, pairs), b = load_first(second, pairs);
      store_first(first, a * cosine - b * sine, pairs);
      store_first(second, b * cosine + a * sine, pairs);
    }
  }
}

inline void rope_rows(const RopeArgs& args) {
  const int64_t pairs = args.rope_dims / 2;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    float* data = args.data + row * args.row_stride;
    if (args.kind == RopeKind::kAdjacent) {
      rotate_adjacent(args, data, args.cosines + row * pairs, args.sines + row * pairs);
    } else {
      rotate_halves(args, data, args.cosines + row * pairs, args.sines + row * pairs);
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
