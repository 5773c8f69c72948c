// Rotary positions, KV append and attention. The attention partition weighs rows by the keys that they read.
#include "ops/attention.h"

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

}  // namespace

void rope_angles(const Device& device, const int32_t* positions, int64_t row_count, const float* inv_freq,
                 int32_t pair_count, float magnitude, float* cosines, float* sines) {
  parallel_rows(device, row_count, row_count * pair_count * 8, [&](int64_t begin, int64_t end) {
    const kernels::RopeAnglesArgs args{positions, inv_freq, pair_count, magnitude, cosines, sines, begin, end};
    device.kernels->rope_angles(&args);
  });
}

void rope(const Device& device, const Rows& heads, int32_t head_count, int32_t head_dim, kernels::RopeKind kind,
          const RopeAngles& angles) {
  parallel_rows(device, heads.count, heads.count * heads.cols, [&](int64_t begin, int64_t end) {
    const kernels::RopeArgs args{heads.data, heads.stride,   head_count,   head_dim, angles.pair_count * 2,
                                 kind,       angles.cosines, angles.sines, begin,    end};
    device.kernels->rope(&args);
  });
}

void kv_append(const Device& device, const kernels::KvLayer& layer, const KvView* sequences, int32_t sequence_count,
               const Rows& k, const Rows& v) {
  parallel_rows(device, k.count, k.count * (k.cols + v.cols), [&](int64_t begin, int64_t end) {
    const kernels::KvAppendArgs args{&layer,
                                     sequences,
                                     sequence_count,
                                     k.data,
                                     k.stride,
                                     v.data,
                                     v.stride,
                                     static_cast<int32_t>(begin),
                                     static_cast<int32_t>(end)};
    device.kernels->kv_append(&args);
  });
}

void attention(const Device& device, const kernels::KvLayer& layer, const KvView* sequences, int32_t sequence_count,
               const AttentionSpec& spec, const Rows& q, const Rows& output) {
  const int32_t group = spec.head_count / layer.kv_head_count;
  const int64_t row_total = total_row_cost(sequences, sequence_count, spec);
  auto run_rectangle = [&](const Rectangle& r) {
    if (r.row_begin >= r.row_end) return;
    kernels::AttentionArgs args{};
    args.layer = &layer;
    args.sequences = sequences;
    args.sequence_count = sequence_count;
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
