// Rotary positions, KV append and attention. The attention partition weighs rows by the keys that they read.
#include "ops/attention.h"

#include "ops/norm.h"
#include "ops/parallel.h"

namespace fastserve::ops {
namespace {

using kernels::KvView;

// Keys that row `index` of a sequence reads.
int64_t row_cost(const KvView& sequence, int32_t index, const AttentionSpec& spec) {
  const int64_t position = int64_t{sequence.position_begin} + (spec.bidirectional ? sequence.row_count - 1 : index);
  const int64_t keys = position + 1;
  return spec.window > 0 && keys > spec.window ? spec.window : keys;
}

int64_t total_row_cost(const KvView* sequences, int32_t sequence_count, const AttentionSpec& spec) {
  int64_t cost = 0;
  for (int32_t s = 0; s < sequence_count; ++s) {
    for (int32_t i = 0; i < sequences[s].row_count; ++i) cost += row_cost(sequences[s], i, spec);
  }
  return cost;
}

// The batch row at which the running cost first reaches `target`; all rows when it never does.
int32_t row_at_cost(const KvView* sequences, int32_t sequence_count, const AttentionSpec& spec, int64_t target) {
  int64_t cost = 0;
  int32_t row = 0;
  for (int32_t s = 0; s < sequence_count; ++s) {
    for (int32_t i = 0; i < sequences[s].row_count; ++i, ++row) {
      if (cost >= target) return row;
      cost += row_cost(sequences[s], i, spec);
    }
  }
  return row;
}

constexpr int32_t kRowsOfAPart = 8;  // with fewer for each thread a cut by rows alone is uneven

// Rows and query heads of one kernel call.
struct Rectangle {
  int32_t head_begin = 0, head_end = 0;
  int32_t row_begin = 0, row_end = 0;
};

kernels::AttentionArgs attention_args(const kernels::KvLayer& layer, const KvViews& views, const AttentionSpec& spec,
                                      const Rows& q, const Rows& output, const Rectangle& r) {
  kernels::AttentionArgs args{};
  args.layer = &layer;
  args.sequences = views.sequences;
  args.sequence_count = views.sequence_count;
  args.q = q.data;
  args.q_stride = q.stride;
  args.head_count = spec.head_count;
  args.scale = spec.scale;
  args.softcap = spec.softcap;
  args.window = spec.window;
  args.bidirectional = spec.bidirectional ? 1 : 0;
  args.sinks = spec.sinks;
  args.output = output.data;
  args.output_stride = output.stride;
  args.head_begin = r.head_begin;
  args.head_end = r.head_end;
  args.row_begin = r.row_begin;
  args.row_end = r.row_end;
  return args;
}

kernels::KvAppendArgs append_args(const kernels::KvLayer& layer, const KvViews& views, const Rows& k, const Rows& v,
                                  int64_t row_begin, int64_t row_end) {
  return {&layer,
          views.sequences,
          views.sequence_count,
          k.data,
          k.stride,
          v.data,
          v.stride,
          static_cast<int32_t>(row_begin),
          static_cast<int32_t>(row_end)};
}

// A device cuts its work itself.
void run_attention(const Device& device, const kernels::KvLayer& layer, const KvViews& views, const AttentionSpec& spec,
                   const Rows& q, const Rows& output) {
  DeviceStream& stream = *device.stream;
  kernels::DeviceAttentionArgs args{};
  args.attention =
      attention_args(layer, views, spec, q, output, {0, spec.head_count, 0, static_cast<int32_t>(q.count)});
  args.key_count_max = views.key_count_max;
  args.sequence_rows_max = views.sequence_rows_max;
  args.flags = device.exact ? kernels::kDeviceExact : 0;
  const auto scratch_bytes = stream.kernels().attention_scratch_bytes;
  if (scratch_bytes != nullptr) args.scratch = stream.scratch(scratch_bytes(&args));
  stream.launch(stream.kernels().attention, "attention", args);
}

}  // namespace

void rope_angles(const Device& device, const int32_t* positions, int64_t row_count, const float* inv_freq,
                 int32_t pair_count, float magnitude, float* cosines, float* sines) {
  parallel_rows(device, row_count, row_count * pair_count * 8, [&](int64_t begin, int64_t end) {
    const kernels::RopeAnglesArgs args{positions, inv_freq, pair_count, magnitude, cosines, sines, begin, end};
    FSV_RUN_KERNEL(device, rope_angles, args);
  });
}

void rope(const Device& device, const Rows& heads, int32_t head_count, int32_t head_dim, kernels::RopeKind kind,
          const RopeAngles& angles) {
  parallel_rows(device, heads.count, heads.count * heads.cols, [&](int64_t begin, int64_t end) {
    const kernels::RopeArgs args{heads.data, heads.stride,   head_count,   head_dim, angles.pair_count * 2,
                                 kind,       angles.cosines, angles.sines, begin,    end};
    FSV_RUN_KERNEL(device, rope, args);
  });
}

void kv_append(const Device& device, const kernels::KvLayer& layer, const KvViews& views, const Rows& k,
               const Rows& v) {
  parallel_rows(device, k.count, k.count * (k.cols + v.cols), [&](int64_t begin, int64_t end) {
    const kernels::KvAppendArgs args = append_args(layer, views, k, v, begin, end);
    FSV_RUN_KERNEL(device, kv_append, args);
  });
}

void rope_append(const Device& device, const RopeAppendSpec& spec, const kernels::KvLayer& layer, const KvViews& views,
                 const Rows& q, const Rows& k, const Rows& v) {
  const bool has_norm = spec.q_norm != nullptr && spec.q_norm->present();
  if (device.stream != nullptr) {
    kernels::DeviceRopeAppendArgs args{};
    args.q = q.data;
    args.q_stride = q.stride;
    args.head_count = spec.head_count;
    args.rope_dims = spec.angles.pair_count * 2;
    args.kind = spec.kind;
    args.norm_eps = spec.norm_eps;
    args.q_norm_weight = has_norm ? spec.q_norm->vector : nullptr;
    args.k_norm_weight = has_norm ? spec.k_norm->vector : nullptr;
    args.cosines = spec.angles.cosines;
    args.sines = spec.angles.sines;
    args.append = append_args(layer, views, k, v, 0, q.count);
    device.stream->launch(device.stream->kernels().rope_append, "rope_append", args);
    return;
  }
  if (has_norm) {
    rms_norm_heads(device, q, spec.head_count, layer.head_dim, *spec.q_norm, spec.norm_eps, 0);
    rms_norm_heads(device, k, layer.kv_head_count, layer.head_dim, *spec.k_norm, spec.norm_eps, 0);
  }
  if (spec.angles.pair_count > 0) {
    const Rows qk{q.data, q.stride, q.count, q.cols + k.cols};  // their heads rotate in one call
    rope(device, qk, spec.head_count + layer.kv_head_count, layer.head_dim, spec.kind, spec.angles);
  }
  kv_append(device, layer, views, k, v);
}

void attention(const Device& device, const kernels::KvLayer& layer, const KvViews& views, const AttentionSpec& spec,
               const Rows& q, const Rows& output) {
  const KvView* const sequences = views.sequences;
  const int32_t sequence_count = views.sequence_count;
  if (device.stream != nullptr) {
    run_attention(device, layer, views, spec, q, output);
    return;
  }
  const int32_t group = spec.head_count / layer.kv_head_count;
  const int64_t row_total = total_row_cost(sequences, sequence_count, spec);
  auto run_rectangle = [&](const Rectangle& r) {
    if (r.row_begin >= r.row_end) return;
    const kernels::AttentionArgs args = attention_args(layer, views, spec, q, output, r);
    device.kernels->attention(&args);
  };
  // Many rows are cut by rows, so that the query heads of one kv head stay together and read K and V once. Few rows are
  // cut by query heads too: by kv heads alone some threads would be idle. Heads of one kv head that get the same rows
  // stay together then as well.
  const bool has_many_rows = q.count >= int64_t{kRowsOfAPart} * device.executor->width();
  const int32_t unit = has_many_rows ? group : 1;  // query heads
  const int64_t total = row_total * (spec.head_count / unit);
  auto run_costs = [&](int64_t cost_begin, int64_t cost_end) {
    Rectangle pending;
    for (int32_t head = 0; head < spec.head_count; head += unit) {
      const int64_t first = cost_begin - head / unit * row_total;
      const int64_t last = cost_end - head / unit * row_total;
      if (last <= 0 || first >= row_total) continue;
      const int32_t row_begin = first <= 0 ? 0 : row_at_cost(sequences, sequence_count, spec, first);
      const int32_t row_end =
          last >= row_total ? static_cast<int32_t>(q.count) : row_at_cost(sequences, sequence_count, spec, last);
      if (pending.head_end == head && head % group != 0 && pending.row_begin == row_begin &&
          pending.row_end == row_end) {
        pending.head_end += unit;
        continue;
      }
      run_rectangle(pending);
      pending = {head, head + unit, row_begin, row_end};
    }
    run_rectangle(pending);
  };
  constexpr int64_t kForkCost = 576;  // keys of one query head; below it a fork costs more than it saves
  if (row_total * spec.head_count < kForkCost || device.executor->width() == 1) {
    run_costs(0, total);
    return;
  }
  device.executor->run([&](uint32_t part, uint32_t part_count) {
    const Range range = split_range(total, part, part_count);
    run_costs(range.begin, range.end);
  });
}

}  // namespace fastserve::ops
