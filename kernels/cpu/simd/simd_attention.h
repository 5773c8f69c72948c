// Attention over the paged cache on Vec, for include after a vec16.h. A step's (row, query head) pairs that read one kv
// head are taken kAttentionRows at a time: a vector of 16 keys or of values is loaded once for all of them. The order
// of every pair's own arithmetic is fixed by key positions alone:
//   score   fma over dimensions in order, one lane a key
//   run     kAttentionSplit positions: maximum; exponentials, summed lane by lane over blocks, then sum_lanes;
//           values by fma over keys in order
//   merge   runs in order, as in reference/attention.cpp
// Keys outside a pair's range never enter its arithmetic: scores are replaced by -inf, values are not read.
#pragma once
#include "kernels/cpu/kv_layout.h"
#include "kernels/cpu/simd/simd_math.h"

namespace fastserve::kernels {
namespace {

constexpr int32_t kBlock = kKvBlockTokens;
constexpr int32_t kTilePairs = 64;   // pairs that walk over the runs together, so that a run's K and V stay in L2
constexpr int32_t kTileVecsMax = 4;  // value_vectors_at_once is at most this

struct Pair {
  const float* q;
  float* output;  // weighted values of the runs so far, not yet divided
  const float* sink;
  KeyRange keys;
  float maximum, sum;
  bool started;
};

struct Source {  // one kv head of one sequence
  const AttentionArgs* args;
  uint8_t* const* blocks;
  int64_t k_offset, v_offset;  // in a block
  const uint8_t* k(int32_t block) const { return blocks[block] + k_offset; }
  const uint8_t* v(int32_t block) const { return blocks[block] + v_offset; }
};

// What R pairs hold while one run is worked on.
template <int R>
struct Run {
  Pair* pair[R];
  KeyRange keys[R];        // of the pair, within the run
  int32_t begin;           // the run's first position
  KeyRange all, common;    // union and intersection of keys
  float keep[R], take[R];  // merge: output * keep + run * take
  float scores[R][kAttentionSplit];
};

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
  for (; block + B <= end; block += B) score_blocks<type, R, B>(run, source, block);
  for (; block < end; ++block) score_blocks<type, R, 1>(run, source, block);
}

inline Vec cap_scores(Vec scores, float softcap) { return splat(softcap) * tanh_of(scores / splat(softcap)); }

// Scores of one pair to weights; its maximum and sum move on, keep and take are set.
template <int R>
inline void softmax_run(Run<R>& run, int r, float softcap) {
  float* scores = run.scores[r];
  const int32_t begin = run.keys[r].begin - run.begin, end = run.keys[r].end - run.begin;
  const int32_t block_begin = begin / kBlock * kBlock;
  const Vec nothing = splat(-__builtin_inff());
  Vec top = nothing;
  for (int32_t i = block_begin; i < end; i += kBlock) {
    Vec s = load(scores + i);
    if (softcap > 0.0f) s = cap_scores(s, softcap);
    if (i < begin || i + kBlock > end) {
      s = keep_lanes(s, begin > i ? begin - i : 0, end - i < kBlock ? end - i : kBlock, nothing);
    }
    store(scores + i, s);
    top = max_of(top, s);
  }
  const float run_maximum = max_lanes(top);
  Vec sum = zero();
  for (int32_t i = block_begin; i < end; i += kBlock) {
    const Vec weight = exp_of(load(scores + i) - splat(run_maximum));
    store(scores + i, weight);
    sum = sum + weight;
  }
  const float run_sum = sum_lanes(sum);
  Pair& pair = *run.pair[r];
  if (!pair.started) {
    pair.maximum = run_maximum;
    pair.sum = run_sum;
    return;
  }
  const float maximum = pair.maximum > run_maximum ? pair.maximum : run_maximum;
  run.keep[r] = exp_of(pair.maximum - maximum);
  run.take[r] = exp_of(run_maximum - maximum);
  pair.sum = pair.sum * run.keep[r] + run_sum * run.take[r];
  pair.maximum = maximum;
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

// sums[r][t] += weight * value over `keys`, for T vectors of dimensions from byte `offset` of a value. lanes < kLanes
// only for the last dimensions, with T = 1.
template <KvType type, int R, int T>
inline void add_values(const float* const (&weights)[R], const Source& source, KeyRange keys, int32_t run_begin,
                       int64_t offset, int lanes, float (*sums)[kTileVecsMax * kLanes]) {
  constexpr int64_t kVecBytes = kLanes * kv_element_bytes(type);
  const int64_t stride = source.args->layer->value_dim * kv_element_bytes(type);
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

// T vectors of dimensions of the run's values, merged into the outputs. Keys that all pairs share are read once;
// the ragged ends, where neighbouring rows differ, pair by pair.
template <KvType type, int R, int T>
inline void value_tile(Run<R>& run, const Source& source, int32_t dim, int lanes) {
  float sums[R][kTileVecsMax * kLanes];
  const int64_t offset = dim * kv_element_bytes(type);
  const float* weights[R];
  for (int r = 0; r < R; ++r) {
    weights[r] = run.scores[r];
    for (int t = 0; t < T; ++t) store(sums[r] + t * kLanes, zero());
  }
  for (int r = 0; r < R; ++r) {
    const float* const one[1] = {weights[r]};
    const int32_t end = run.keys[r].end < run.common.begin ? run.keys[r].end : run.common.begin;
    const KeyRange before = {run.keys[r].begin, end};
    if (before.begin < before.end) add_values<type, 1, T>(one, source, before, run.begin, offset, lanes, sums + r);
  }
  add_values<type, R, T>(weights, source, run.common, run.begin, offset, lanes, sums);
  for (int r = 0; r < R; ++r) {
    const float* const one[1] = {weights[r]};
    const KeyRange after = {run.common.end, run.keys[r].end};
    if (after.begin < after.end) add_values<type, 1, T>(one, source, after, run.begin, offset, lanes, sums + r);
  }
  for (int r = 0; r < R; ++r) {
    float* out = run.pair[r]->output + dim;
    for (int t = 0; t < T; ++t, out += kLanes) {
      Vec value = load(sums[r] + t * kLanes);
      if (run.pair[r]->started) {
        value = fma(value, splat(run.take[r]), load_first(out, lanes) * splat(run.keep[r]));
      }
      store_first(out, value, lanes);
    }
  }
}

template <KvType type, int R>
inline void value_run(Run<R>& run, const Source& source) {
  constexpr int T = value_vectors_at_once(R);
  const int32_t value_dim = source.args->layer->value_dim;
  int32_t dim = 0;
  for (; dim + T * kLanes <= value_dim; dim += T * kLanes) value_tile<type, R, T>(run, source, dim, kLanes);
  for (; dim < value_dim; dim += kLanes) {
    value_tile<type, R, 1>(run, source, dim, value_dim - dim < kLanes ? value_dim - dim : kLanes);
  }
}

// One run of keys for R pairs, each of which has keys in it.
template <KvType type, int R>
void attend_run(Pair* const* pairs, const Source& source, int32_t run_begin) {
  Run<R> run;
  run.begin = run_begin;
  run.all = {INT32_MAX, 0};
  run.common = {0, INT32_MAX};
  const int32_t run_end = run_begin + kAttentionSplit;
  for (int r = 0; r < R; ++r) {
    run.pair[r] = pairs[r];
    KeyRange& keys = run.keys[r];
    keys.begin = pairs[r]->keys.begin > run_begin ? pairs[r]->keys.begin : run_begin;
    keys.end = pairs[r]->keys.end < run_end ? pairs[r]->keys.end : run_end;
    if (keys.begin < run.all.begin) run.all.begin = keys.begin;
    if (keys.end > run.all.end) run.all.end = keys.end;
    if (keys.begin > run.common.begin) run.common.begin = keys.begin;
    if (keys.end < run.common.end) run.common.end = keys.end;
  }
  // Without a common key everything is ragged: the whole range of a pair is then "before" an empty middle.
  if (run.common.begin >= run.common.end) run.common = {run.all.end, run.all.end};
  score_run<type, R>(run, source);
  for (int r = 0; r < R; ++r) softmax_run(run, r, source.args->softcap);
  if constexpr (type == KvType::kQ8) scale_weights(run, source);
  value_run<type, R>(run, source);
  for (int r = 0; r < R; ++r) run.pair[r]->started = true;
}

template <KvType type>
inline void attend_run_of(int count, Pair* const* pairs, const Source& source, int32_t run_begin) {
  static_assert(kAttentionRows == 8 || kAttentionRows == 4);
  if constexpr (kAttentionRows == 8) {
    switch (count) {
      case 8:
        return attend_run<type, 8>(pairs, source, run_begin);
      case 7:
        return attend_run<type, 7>(pairs, source, run_begin);
      case 6:
        return attend_run<type, 6>(pairs, source, run_begin);
      case 5:
        return attend_run<type, 5>(pairs, source, run_begin);
    }
  }
  switch (count) {
    case 4:
      return attend_run<type, 4>(pairs, source, run_begin);
    case 3:
      return attend_run<type, 3>(pairs, source, run_begin);
    case 2:
      return attend_run<type, 2>(pairs, source, run_begin);
    case 1:
      return attend_run<type, 1>(pairs, source, run_begin);
  }
}

inline void finish(const Pair& pair, int32_t value_dim) {
  float sum = pair.sum;
  if (pair.sink != nullptr) sum = sum + exp_of(*pair.sink - pair.maximum);
  const Vec factor = splat(1.0f / sum);
  for (int32_t d = 0; d < value_dim; d += kLanes) {
    const int lanes = value_dim - d < kLanes ? value_dim - d : kLanes;
    store_first(pair.output + d, load_first(pair.output + d, lanes) * factor, lanes);
  }
}

// Up to kTilePairs pairs of one kv head and sequence, in order of rows, over all their runs.
template <KvType type>
void attend_tile(Pair* pairs, int32_t count, const Source& source) {
  KeyRange all = pairs[0].keys;
  for (int32_t i = 1; i < count; ++i) {
    if (pairs[i].keys.begin < all.begin) all.begin = pairs[i].keys.begin;
    if (pairs[i].keys.end > all.end) all.end = pairs[i].keys.end;
  }
  for (int32_t run = all.begin / kAttentionSplit * kAttentionSplit; run < all.end; run += kAttentionSplit) {
    Pair* active[kAttentionRows];
    int active_count = 0;
    for (int32_t i = 0; i < count; ++i) {
      if (pairs[i].keys.begin < run + kAttentionSplit && pairs[i].keys.end > run) active[active_count++] = pairs + i;
      if (active_count == kAttentionRows || (i + 1 == count && active_count > 0)) {
        attend_run_of<type>(active_count, active, source, run);
        active_count = 0;
      }
    }
  }
  for (int32_t i = 0; i < count; ++i) finish(pairs[i], source.args->layer->value_dim);
}

// The pairs of rows x heads that read one kv head.
template <KvType type>
void attend_kv_head(const AttentionArgs& args, const KvView& view, KvRows rows, int32_t kv_head, int32_t head_begin,
                    int32_t head_end) {
  const KvLayer& layer = *args.layer;
  const Source source = {&args, view.blocks, layer.k_offset_bytes + kv_head * kv_head_bytes(type, layer.head_dim),
                         layer.v_offset_bytes + kv_head * kv_head_bytes(type, layer.value_dim)};
  Pair pairs[kTilePairs];
  int32_t count = 0;
  for (int32_t row = rows.begin; row < rows.end; ++row) {
    const KeyRange keys = kv_keys_of(view, row, args.window, args.bidirectional);
    for (int32_t h = head_begin; h < head_end; ++h) {
      pairs[count++] = {args.q + row * args.q_stride + int64_t{h} * layer.head_dim,
                        args.output + row * args.output_stride + int64_t{h} * layer.value_dim,
                        args.sinks != nullptr ? args.sinks + h : nullptr,
                        keys,
                        0.0f,
                        0.0f,
                        false};
      if (count == kTilePairs) {
        attend_tile<type>(pairs, count, source);
        count = 0;
      }
    }
  }
  if (count > 0) attend_tile<type>(pairs, count, source);
}

template <KvType type>
void attend_rows(const AttentionArgs& args) {
  const int32_t group = args.head_count / args.layer->kv_head_count;
  for (int32_t s = 0; s < args.sequence_count; ++s) {
    const KvRows rows = kv_rows_of(args.sequences[s], args.row_begin, args.row_end);
    if (rows.begin >= rows.end) continue;
    for (int32_t head = args.head_begin; head < args.head_end;) {
      const int32_t kv_head = head / group;
      const int32_t end = (kv_head + 1) * group < args.head_end ? (kv_head + 1) * group : args.head_end;
      attend_kv_head<type>(args, args.sequences[s], rows, kv_head, head, end);
      head = end;
    }
  }
}

inline void attend_all(const AttentionArgs& args) {
  switch (args.layer->type) {
    case KvType::kF16:
      return attend_rows<KvType::kF16>(args);
    case KvType::kF32:
      return attend_rows<KvType::kF32>(args);
    case KvType::kBF16:
      return attend_rows<KvType::kBF16>(args);
    case KvType::kQ8:
      return attend_rows<KvType::kQ8>(args);
  }
}

}  // namespace
}  // namespace fastserve::kernels
