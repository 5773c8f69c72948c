// Attention over the paged cache on Vec, for include after a vec16.h. A step's (row, query head) pairs that read one kv
// head are taken kAttentionRows at a time: a vector of 16 keys or of values is loaded once for all of them. The order
// of every pair's own arithmetic is fixed by key positions alone:
//   score   fma over dimensions in order, one lane a key
//   run     kAttentionSplit positions: maximum; exponentials, summed lane by lane over blocks, then sum_lanes;
//           values by fma over keys in order
//   merge   runs in order, as in reference/attention.cpp
// kBF16 takes dimensions and keys two by two. Keys outside a pair's range never enter its arithmetic: scores are
// replaced by -inf, values are not read.
#pragma once
#include "kernels/cpu/simd/simd_attention_products.h"

namespace fastserve::kernels {
namespace {

constexpr int32_t kTilePairs = 64;  // pairs that walk over the runs together, so that a run's K and V stay in L2

template <KvType type, int R, int T>
inline void add_values_of(const float* const (&weights)[R], const Source& source, KeyRange keys, int32_t run_begin,
                          int32_t dim, int lanes, float (*sums)[kTileVecsMax * kLanes]) {
  if constexpr (type == KvType::kBF16) {
    add_values_bf16<R, T>(weights, source, keys, run_begin, dim, lanes, sums);
  } else {
    add_values<type, R, T>(weights, source, keys, run_begin, dim, lanes, sums);
  }
}

// T vectors of dimensions of the run's values, merged into the outputs. Keys that all pairs share are read once;
// the ragged ends, where neighbouring rows differ, pair by pair.
template <KvType type, int R, int T>
inline void value_tile(Run<R>& run, const Source& source, int32_t dim, int lanes) {
  float sums[R][kTileVecsMax * kLanes];
  const float* weights[R];
  for (int r = 0; r < R; ++r) {
    weights[r] = run.scores[r];
    for (int t = 0; t < T; ++t) store(sums[r] + t * kLanes, zero());
  }
  for (int r = 0; r < R; ++r) {
    const float* const one[1] = {weights[r]};
    const int32_t end = run.keys[r].end < run.common.begin ? run.keys[r].end : run.common.begin;
    const KeyRange before = {run.keys[r].begin, end};
    if (before.begin < before.end) add_values_of<type, 1, T>(one, source, before, run.begin, dim, lanes, sums + r);
  }
  add_values_of<type, R, T>(weights, source, run.common, run.begin, dim, lanes, sums);
  for (int r = 0; r < R; ++r) {
    const float* const one[1] = {weights[r]};
    const KeyRange after = {run.common.end, run.keys[r].end};
    if (after.begin < after.end) add_values_of<type, 1, T>(one, source, after, run.begin, dim, lanes, sums + r);
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
void attend_run(Pair* const* pairs, const Source& source, int32_t run_begin, int32_t fetch_end) {
  Run<R> run;
  run.begin = run_begin;
  run.fetch_end = fetch_end;
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
  if constexpr (type == KvType::kBF16) {  // whole pairs of keys
    run.common.begin = (run.common.begin + 1) / 2 * 2;
    run.common.end = run.common.end / 2 * 2;
  }
  // Without a common key everything is ragged: the whole range of a pair is then "before" an empty middle.
  if (run.common.begin >= run.common.end) run.common = {run.all.end, run.all.end};
  if constexpr (type == KvType::kBF16) {
    score_run_bf16(run, source);
  } else {
    score_run<type, R>(run, source);
  }
  for (int r = 0; r < R; ++r) softmax_run<type>(run, r, source.args->softcap);
  if constexpr (type == KvType::kQ8) scale_weights(run, source);
  value_run<type, R>(run, source);
  for (int r = 0; r < R; ++r) run.pair[r]->started = true;
}

template <KvType type>
inline void attend_run_of(int count, Pair* const* pairs, const Source& source, int32_t run_begin, int32_t fetch_end) {
  static_assert(kAttentionRows == 8 || kAttentionRows == 4);
  if constexpr (kAttentionRows == 8) {
    switch (count) {
      case 8:
        return attend_run<type, 8>(pairs, source, run_begin, fetch_end);
      case 7:
        return attend_run<type, 7>(pairs, source, run_begin, fetch_end);
      case 6:
        return attend_run<type, 6>(pairs, source, run_begin, fetch_end);
      case 5:
        return attend_run<type, 5>(pairs, source, run_begin, fetch_end);
    }
  }
  switch (count) {
    case 4:
      return attend_run<type, 4>(pairs, source, run_begin, fetch_end);
    case 3:
      return attend_run<type, 3>(pairs, source, run_begin, fetch_end);
    case 2:
      return attend_run<type, 2>(pairs, source, run_begin, fetch_end);
    case 1:
      return attend_run<type, 1>(pairs, source, run_begin, fetch_end);
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
    int32_t fetch_end = (all.end + kBlock - 1) / kBlock;
    for (int32_t i = 0; i < count; ++i) {
      if (pairs[i].keys.begin < run + kAttentionSplit && pairs[i].keys.end > run) active[active_count++] = pairs + i;
      if (active_count == kAttentionRows || (i + 1 == count && active_count > 0)) {
        attend_run_of<type>(active_count, active, source, run, fetch_end);
        active_count = fetch_end = 0;  // the first ones fetched for all
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
  const int64_t k_bytes = kv_head_bytes(type, layer.head_dim), v_bytes = kv_head_bytes(type, layer.value_dim);
  const Source source = {
      &args,   view.blocks, layer.k_offset_bytes + kv_head * k_bytes, layer.v_offset_bytes + kv_head * v_bytes,
      k_bytes, v_bytes};
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
