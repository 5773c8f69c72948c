// Attention over the paged cache, one row and head at a time. Keys are reduced in runs of kAttentionSplit absolute
// positions: scores, maximum, exponentials and their sum, weighted values; runs are merged in order as in
// "Online normalizer calculation for softmax" (Milakov, Gimelshein).
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/kv_layout.h"

namespace fastserve::kernels::reference {
namespace {

constexpr int32_t kDimChunk = 64;

// Elements first, first + step, ... of a head of K or V; kQ8 without its scale.
void load_elements(KvType type, const uint8_t* head, int64_t first, int64_t step, int32_t count, float* out) {
  switch (type) {
    case KvType::kF32: {
      const float* source = reinterpret_cast<const float*>(head) + first;
      for (int32_t i = 0; i < count; ++i) out[i] = source[i * step];
      break;
    }
    case KvType::kF16: {
      const uint16_t* source = reinterpret_cast<const uint16_t*>(head) + first;
      for (int32_t i = 0; i < count; ++i) out[i] = f16_to_float(source[i * step]);
      break;
    }
    case KvType::kBF16: {
      const uint16_t* source = reinterpret_cast<const uint16_t*>(head) + first;
      for (int32_t i = 0; i < count; ++i) out[i] = bf16_to_float(source[i * step]);
      break;
    }
    case KvType::kQ8: {
      const int8_t* source = reinterpret_cast<const int8_t*>(head) + first;
      for (int32_t i = 0; i < count; ++i) out[i] = static_cast<float>(source[i * step]);
      break;
    }
  }
}

// Dimension d of a block's keys.
void load_keys(KvType type, const uint8_t* head, int32_t d, float* out) {
  const bool pairs = type == KvType::kBF16;
  load_elements(type, head, pairs ? kv_bf16_key(d, 0) : int64_t{d} * kKvBlockTokens, pairs ? 2 : 1, kKvBlockTokens,
                out);
}

// Dimensions [d, d + count) of the value in a slot.
void load_values(KvType type, const uint8_t* head, int32_t slot, int32_t value_dim, int32_t d, int32_t count,
                 float* out) {
  const bool pairs = type == KvType::kBF16;
  load_elements(type, head, pairs ? kv_bf16_value(d, slot, value_dim) : int64_t{slot} * value_dim + d, pairs ? 2 : 1,
                count, out);
}

// One row and query head.
struct Row {
  const KvLayer* layer;
  uint8_t* const* blocks;
  int64_t k_head_offset, v_head_offset;  // in a block
  const float* q;
  float scale, softcap;
  float* output;
  float maximum, sum;  // of the runs so far; output holds their weighted values, not yet divided
  bool started;
};

// Scores of the keys [begin, end) of one run into scores[0..end - begin), a block of keys at a time.
void score_run(const Row& row, int32_t begin, int32_t end, float* scores) {
  const KvType type = row.layer->type;
  const int32_t head_dim = row.layer->head_dim;
  for (int32_t key = begin; key < end;) {
    uint8_t* head = row.blocks[key / kKvBlockTokens] + row.k_head_offset;
    float dots[kKvBlockTokens] = {};
    for (int32_t d = 0; d < head_dim; ++d) {
      float keys[kKvBlockTokens] = {};
      load_keys(type, head, d, keys);
      for (int32_t slot = 0; slot < kKvBlockTokens; ++slot) dots[slot] += row.q[d] * keys[slot];
    }
    do {
      const int32_t slot = key % kKvBlockTokens;
      float score = dots[slot] * row.scale;
      if (type == KvType::kQ8) score *= kv_q8_scales(head, head_dim)[slot];
      if (row.softcap > 0.0f) score = row.softcap * std::tanh(score / row.softcap);
      scores[key - begin] = score;
    } while (++key < end && key % kKvBlockTokens != 0);
  }
}

// output = output * keep + take * sum(weights * V) over the run's keys.
void accumulate_values(const Row& row, int32_t begin, int32_t end, const float* weights, float keep, float take) {
  const int32_t value_dim = row.layer->value_dim;
  for (int32_t chunk = 0; chunk < value_dim; chunk += kDimChunk) {
    const int32_t dims = value_dim - chunk < kDimChunk ? value_dim - chunk : kDimChunk;
    float sums[kDimChunk] = {};
    for (int32_t key = begin; key < end; ++key) {
      uint8_t* head = row.blocks[key / kKvBlockTokens] + row.v_head_offset;
      const int32_t slot = key % kKvBlockTokens;
      float weight = weights[key - begin];
      if (row.layer->type == KvType::kQ8) weight *= kv_q8_scales(head, value_dim)[slot];
      float values[kDimChunk] = {};
      load_values(row.layer->type, head, slot, value_dim, chunk, dims, values);
      for (int32_t d = 0; d < dims; ++d) sums[d] += weight * values[d];
    }
    for (int32_t d = 0; d < dims; ++d) {
      float& out = row.output[chunk + d];
      out = row.started ? out * keep + sums[d] * take : sums[d];
    }
  }
}

void add_run(Row& row, int32_t begin, int32_t end) {
  float scores[kAttentionSplit] = {};
  score_run(row, begin, end, scores);
  const int32_t count = end - begin;
  float run_maximum = scores[0];
  for (int32_t i = 1; i < count; ++i) run_maximum = scores[i] > run_maximum ? scores[i] : run_maximum;
  float run_sum = 0.0f;
  for (int32_t i = 0; i < count; ++i) {
    scores[i] = std::exp(scores[i] - run_maximum);
    run_sum += scores[i];
  }
  float keep = 0.0f, take = 1.0f;
  float maximum = run_maximum;
  if (row.started) {
    maximum = row.maximum > run_maximum ? row.maximum : run_maximum;
    keep = std::exp(row.maximum - maximum);
    take = std::exp(run_maximum - maximum);
  }
  accumulate_values(row, begin, end, scores, keep, take);
  row.sum = row.started ? row.sum * keep + run_sum * take : run_sum;
  row.maximum = maximum;
  row.started = true;
}

void attend(Row& row, KeyRange keys, const float* sink) {
  for (int32_t begin = keys.begin; begin < keys.end;) {
    const int32_t run_end = (begin / kAttentionSplit + 1) * kAttentionSplit;
    const int32_t end = run_end < keys.end ? run_end : keys.end;
    add_run(row, begin, end);
    begin = end;
  }
  // A sink is a logit without a value: it only takes its share of the weight.
  const float sum = sink != nullptr ? row.sum + std::exp(*sink - row.maximum) : row.sum;
  for (int32_t d = 0; d < row.layer->value_dim; ++d) row.output[d] *= 1.0f / sum;
}

}  // namespace

void attention(const AttentionArgs* args) {
  const KvLayer& layer = *args->layer;
  const int32_t group = args->head_count / layer.kv_head_count;
  const int64_t k_bytes = kv_head_bytes(layer.type, layer.head_dim);
  const int64_t v_bytes = kv_head_bytes(layer.type, layer.value_dim);
  for (int32_t s = 0; s < args->sequence_count; ++s) {
    const KvView& view = args->sequences[s];
    const KvRows rows = kv_rows_of(view, args->row_begin, args->row_end);
    for (int32_t r = rows.begin; r < rows.end; ++r) {
      for (int32_t h = args->head_begin; h < args->head_end; ++h) {
        Row row = {};
        row.layer = &layer;
        row.blocks = view.blocks;
        row.k_head_offset = layer.k_offset_bytes + h / group * k_bytes;
        row.v_head_offset = layer.v_offset_bytes + h / group * v_bytes;
        row.q = args->q + r * args->q_stride + static_cast<int64_t>(h) * layer.head_dim;
        row.scale = args->scale;
        row.softcap = args->softcap;
        row.output = args->output + r * args->output_stride + static_cast<int64_t>(h) * layer.value_dim;
        attend(row, kv_keys_of(view, r, args->window, args->bidirectional), args->sinks ? args->sinks + h : nullptr);
      }
    }
  }
}

}  // namespace fastserve::kernels::reference
