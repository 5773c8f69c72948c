// The two products of attention over a run: queries with keys, weights with values; floats, and pairs of bf16. See
// simd_attention.h.
#pragma once
#include "kernels/cpu/simd/simd_attention_run.h"

namespace fastserve::kernels {
namespace {

constexpr int32_t kTileVecsMax = 4;       // value_vectors_at_once is at most this
constexpr int32_t kQueryChunkDims = 256;  // of a query as bf16 pairs; a longer one is taken in chunks

// Dot products of R queries with B blocks of keys.
template <KvType type, int R, int B>
inline void score_blocks(Run<R>& run, const Source& source, int32_t block) {
  const int32_t head_dim = source.args->layer->head_dim;
  const uint8_t* k[B];
  const float* q[R];
  Vec dots[R][B];
  for (int b = 0; b < B; ++b) k[b] = source.k(block + b);
  for (int r = 0; r < R; ++r) q[r] = run.pair[r]->q;
  for (int r = 0; r < R; ++r) {
    for (int b = 0; b < B; ++b) dots[r][b] = zero();
  }
  for (int32_t d = 0; d < head_dim; ++d) {
    Vec keys[B];
    for (int b = 0; b < B; ++b) keys[b] = load_kv<type>(k[b] + d * (kBlock * kv_element_bytes(type)));
    for (int r = 0; r < R; ++r) {
      const Vec element = splat(q[r][d]);
      for (int b = 0; b < B; ++b) dots[r][b] = fma(element, keys[b], dots[r][b]);
    }
  }
  const int32_t first = block * kBlock - run.begin;
  for (int b = 0; b < B; ++b) {
    Vec factor = splat(source.args->scale);
    if constexpr (type == KvType::kQ8) factor = factor * load(kv_q8_scales(const_cast<uint8_t*>(k[b]), head_dim));
    for (int r = 0; r < R; ++r) store(run.scores[r] + first + b * kBlock, dots[r][b] * factor);
  }
}

template <KvType type, int R>
inline void score_run(Run<R>& run, const Source& source) {
  constexpr int B = key_blocks_at_once(R);
  const int32_t end = (run.all.end + kBlock - 1) / kBlock;
  int32_t block = run.all.begin / kBlock;
  for (; block + B <= end; block += B) {
    for (int b = 0; b < B; ++b) fetch_ahead(run, source, block + b);
    score_blocks<type, R, B>(run, source, block);
  }
  for (; block < end; ++block) {
    fetch_ahead(run, source, block);
    score_blocks<type, R, 1>(run, source, block);
  }
}

// kQ8: the weight of a key takes its value's scale along.
template <int R>
inline void scale_weights(Run<R>& run, const Source& source) {
  for (int32_t block = run.all.begin / kBlock; block * kBlock < run.all.end; ++block) {
    const Vec scales = load(kv_q8_scales(const_cast<uint8_t*>(source.v(block)), source.args->layer->value_dim));
    for (int r = 0; r < R; ++r) {
      float* weights = run.scores[r] + (block * kBlock - run.begin);
      store(weights, load(weights) * scales);
    }
  }
}

// sums[r][t] += weight * value over `keys`, for T vectors of dimensions from `dim`. lanes < kLanes only for the last
// dimensions, with T = 1.
template <KvType type, int R, int T>
inline void add_values(const float* const (&weights)[R], const Source& source, KeyRange keys, int32_t run_begin,
                       int32_t dim, int lanes, float (*sums)[kTileVecsMax * kLanes]) {
  constexpr int64_t kVecBytes = kLanes * kv_element_bytes(type);
  const int64_t stride = source.args->layer->value_dim * kv_element_bytes(type);
  const int64_t offset = dim * kv_element_bytes(type);
  Vec sum[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sum[r][t] = load(sums[r] + t * kLanes);
  }
  for (int32_t key = keys.begin; key < keys.end;) {
    const int32_t block = key / kBlock;
    const int32_t stop = (block + 1) * kBlock < keys.end ? (block + 1) * kBlock : keys.end;
    const uint8_t* v = source.v(block) + (key - block * kBlock) * stride + offset;
    for (; key < stop; ++key, v += stride) {
      Vec weight[R];
      for (int r = 0; r < R; ++r) weight[r] = splat(weights[r][key - run_begin]);
      for (int t = 0; t < T; ++t) {
        const Vec value = lanes == kLanes ? load_kv<type>(v + t * kVecBytes) : load_kv_first<type>(v, lanes);
        for (int r = 0; r < R; ++r) sum[r][t] = fma(weight[r], value, sum[r][t]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) store(sums[r] + t * kLanes, sum[r][t]);
  }
}

// ---- kBF16: two dimensions, two keys at a time -------------------------------------------------------------------

template <int R>
using QueryPairs = Bf16Pair[R][kQueryChunkDims / 2];

// score_blocks for one chunk of the dimensions, from byte `k_offset` of a block's keys. Between chunks the sums rest in
// scores.
template <int R, int B>
inline void score_blocks_bf16(Run<R>& run, const Source& source, int32_t block, const QueryPairs<R>& q,
                              int32_t pair_begin, int32_t pair_count, bool last) {
  const int32_t first = block * kBlock - run.begin;
  const uint8_t* k[B];
  Vec dots[R][B];
  for (int b = 0; b < B; ++b) k[b] = source.k(block + b) + int64_t{pair_begin} * (kBlock * 4);
  for (int r = 0; r < R; ++r) {
    for (int b = 0; b < B; ++b) dots[r][b] = pair_begin == 0 ? zero() : load(run.scores[r] + first + b * kBlock);
  }
  for (int32_t pair = 0; pair < pair_count; ++pair) {
    Bf16Vec keys[B];
    for (int b = 0; b < B; ++b) keys[b] = load_pairs(k[b] + pair * (kBlock * 4));
    for (int r = 0; r < R; ++r) {
      for (int b = 0; b < B; ++b) dots[r][b] = dot(dots[r][b], keys[b], &q[r][pair]);
    }
  }
  const Vec factor = splat(last ? source.args->scale : 1.0f);
  for (int b = 0; b < B; ++b) {
    for (int r = 0; r < R; ++r) store(run.scores[r] + first + b * kBlock, dots[r][b] * factor);
  }
}

template <int R>
inline void score_run_bf16(Run<R>& run, const Source& source) {
  constexpr int B = key_blocks_at_once(R);
  const int32_t head_dim = source.args->layer->head_dim;
  const int32_t end = (run.all.end + kBlock - 1) / kBlock;
  QueryPairs<R> q;
  for (int32_t chunk = 0; chunk < head_dim; chunk += kQueryChunkDims) {
    const int32_t dims = head_dim - chunk < kQueryChunkDims ? head_dim - chunk : kQueryChunkDims;
    for (int r = 0; r < R; ++r) {
      for (int32_t d = 0; d < dims; d += kLanes) {
        store_pairs(q[r] + d / 2, load_first(run.pair[r]->q + chunk + d, dims - d < kLanes ? dims - d : kLanes));
      }
    }
    const int32_t pairs = (dims + 1) / 2;
    const bool last = chunk + dims == head_dim;
    int32_t block = run.all.begin / kBlock;
    for (; block + B <= end; block += B) {
      for (int b = 0; last && b < B; ++b) fetch_ahead(run, source, block + b);
      score_blocks_bf16<R, B>(run, source, block, q, chunk / 2, pairs, last);
    }
    for (; block < end; ++block) {
      if (last) fetch_ahead(run, source, block);
      score_blocks_bf16<R, 1>(run, source, block, q, chunk / 2, pairs, last);
    }
  }
}

// add_values; of a pair of keys that `keys` cuts, only the one inside counts.
template <int R, int T>
inline void add_values_bf16(const float* const (&weights)[R], const Source& source, KeyRange keys, int32_t run_begin,
                            int32_t dim, int lanes, float (*sums)[kTileVecsMax * kLanes]) {
  const int64_t stride = int64_t{source.args->layer->value_dim} * 4;
  Vec sum[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sum[r][t] = load(sums[r] + t * kLanes);
  }
  for (int32_t key = keys.begin / 2 * 2; key < keys.end;) {
    const int32_t block = key / kBlock;
    const int32_t stop = (block + 1) * kBlock < keys.end ? (block + 1) * kBlock : keys.end;
    const uint8_t* v = source.v(block) + (key - block * kBlock) / 2 * stride + int64_t{dim} * 4;
    for (; key < stop; key += 2, v += stride) {
      const bool whole = key >= keys.begin && key + 1 < keys.end && lanes == kLanes;
      const int32_t pair = (key - run_begin) / 2;
      for (int t = 0; t < T; ++t) {
        const uint8_t* p = v + t * (kLanes * 4);
        const Bf16Vec value = whole ? load_pairs(p) : load_pairs(p, lanes, key >= keys.begin, key + 1 < keys.end);
        for (int r = 0; r < R; ++r) {
          sum[r][t] = dot(sum[r][t], value, reinterpret_cast<const Bf16Pair*>(weights[r]) + pair);
        }
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) store(sums[r] + t * kLanes, sum[r][t]);
  }
}

}  // namespace
}  // namespace fastserve::kernels
