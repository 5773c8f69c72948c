// What attention holds of one run of keys for a few (row, query head) pairs, and their softmax. See simd_attention.h.
#pragma once
#include "kernels/cpu/kv_layout.h"
#include "kernels/cpu/simd/simd_math.h"

namespace fastserve::kernels {
namespace {

constexpr int32_t kBlock = kKvBlockTokens;

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
  int64_t k_bytes, v_bytes;    // of this head in a block
  const uint8_t* k(int32_t block) const { return blocks[block] + k_offset; }
  const uint8_t* v(int32_t block) const { return blocks[block] + v_offset; }
};

// What R pairs hold while one run is worked on.
template <int R>
struct Run {
  Pair* pair[R];
  KeyRange keys[R];                  // of the pair, within the run
  int32_t begin;                     // the run's first position
  int32_t fetch_end;                 // blocks before it may be fetched ahead; 0: none
  KeyRange all, common;              // union and intersection of keys
  float keep[R], take[R];            // merge: output * keep + run * take
  float scores[R][kAttentionSplit];  // then weights; of kBF16 as Bf16Pair
};

// Asks for the keys and values that the next run reads in the place of `block`: the blocks of a head lie apart, so that
// the processor's own prefetch does not find them. Little by little beside the arithmetic, and once for all pairs.
template <int R>
inline void fetch_ahead(const Run<R>& run, const Source& source, int32_t block) {
  constexpr int32_t kRunBlocks = kAttentionSplit / kBlock;
  const int32_t next = block + kRunBlocks;
  if (next >= run.fetch_end) return;
  const uint8_t *k = source.k(next), *v = source.v(next);
  for (int64_t i = 0; i < source.k_bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(k + i), _MM_HINT_T1);
  for (int64_t i = 0; i < source.v_bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(v + i), _MM_HINT_T1);
}

inline Vec cap_scores(Vec scores, float softcap) { return splat(softcap) * tanh_of(scores / splat(softcap)); }

// Scores of one pair to weights; its maximum and sum move on, keep and take are set.
template <KvType type, int R>
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
    Vec weight = exp_of(load(scores + i) - splat(run_maximum));
    if constexpr (type == KvType::kBF16) {  // in place: never ahead of the scores; the sum is that of what is used
      weight = store_pairs(reinterpret_cast<Bf16Pair*>(scores) + i / 2, weight);
    } else {
      store(scores + i, weight);
    }
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

}  // namespace
}  // namespace fastserve::kernels
