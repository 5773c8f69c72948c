// The attention op cuts its work among threads: every row of every head exactly once, in fair shares, same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "ops/attention.h"

namespace fastserve::ops {
namespace {

using kernels::AttentionArgs;
using kernels::KvView;

std::vector<AttentionArgs> g_calls;
std::vector<uint32_t> g_call_parts;
uint32_t g_part = 0;

void record(const AttentionArgs* args) {
  g_calls.push_back(*args);
  g_call_parts.push_back(g_part);
}

// Parts one after the other.
class PartByPart final : public Executor {
 public:
  explicit PartByPart(uint32_t width) : width_(width) {}
  uint32_t width() const noexcept override { return width_; }
  void run(Task task, void* context) noexcept override {
    for (g_part = 0; g_part < width_; ++g_part) task(context, g_part, width_);
    g_part = 0;
  }

 private:
  uint32_t width_;
};

struct Batch {
  std::vector<KvView> sequences;
  int32_t rows = 0;
  void add(int32_t row_count, int32_t position_begin) {
    sequences.push_back({nullptr, rows, row_count, position_begin});
    rows += row_count;
  }
};

// Returns each part's share of the keys read; 1 is fair.
std::vector<double> shares(const Batch& batch, int32_t kv_heads, int32_t group, int32_t window, uint32_t width) {
  kernels::KernelTable table = kernels::reference_cpu_table();
  table.attention = record;
  PartByPart executor(width);
  const Device device = {&table, &executor, false};
  kernels::KvLayer layer = {};
  layer.kv_head_count = kv_heads;
  AttentionSpec spec;
  spec.head_count = kv_heads * group;
  spec.window = window;
  g_calls.clear();
  g_call_parts.clear();
  const Rows rows = {nullptr, 0, batch.rows, 0};
  attention(device, layer, {batch.sequences.data(), static_cast<int32_t>(batch.sequences.size())}, spec, rows, rows);

  std::vector<int> done(static_cast<size_t>(batch.rows * spec.head_count), 0);
  std::vector<double> cost(width, 0.0);
  for (size_t c = 0; c < g_calls.size(); ++c) {
    for (const KvView& view : batch.sequences) {
      for (int32_t i = 0; i < view.row_count; ++i) {
        const int32_t row = view.row_begin + i;
        if (row < g_calls[c].row_begin || row >= g_calls[c].row_end) continue;
        const int32_t keys = view.position_begin + i + 1;
        for (int32_t h = g_calls[c].head_begin; h < g_calls[c].head_end; ++h) {
          ++done[static_cast<size_t>(row * spec.head_count + h)];
          cost[g_call_parts[c]] += window > 0 ? std::min(keys, window) : keys;
        }
      }
    }
  }
  EXPECT_EQ(std::ranges::count(done, 1), static_cast<std::ptrdiff_t>(done.size()));
  double total = 0;
  for (double x : cost) total += x;
  for (double& x : cost) x *= width / total;
  return cost;
}

TEST(AttentionSplit, CoversEverythingOnceInFairShares) {
  Batch prefill, decode, mixed;
  prefill.add(300, 0);
  for (int32_t i = 0; i < 8; ++i) decode.add(1, 100 + 50 * i);
  mixed.add(64, 200);
  mixed.add(1, 700);
  mixed.add(1, 20);
  mixed.add(30, 0);
  for (const Batch* batch : {&prefill, &decode, &mixed}) {
    for (int32_t window : {0, 64}) {
      for (auto [kv_heads, group] : {std::pair{3, 3}, {1, 4}, {8, 1}, {2, 7}}) {
        for (uint32_t width : {1u, 2u, 3u, 5u, 8u}) {
          const auto cost = shares(*batch, kv_heads, group, window, width);
          EXPECT_LT(*std::ranges::max_element(cost), 1.3) << kv_heads << "x" << group << " width " << width;
        }
      }
    }
  }
}

// One decode row: heads are all there is to share, those of a single kv head too.
TEST(AttentionSplit, OneRowIsSharedByHeads) {
  Batch one;
  one.add(1, 1000);
  for (double share : shares(one, 1, 4, 0, 2)) EXPECT_DOUBLE_EQ(share, 1.0);
  for (double share : shares(one, 1, 4, 0, 4)) EXPECT_DOUBLE_EQ(share, 1.0);
  const auto nine = shares(one, 3, 3, 0, 2);
  EXPECT_LE(std::max(nine[0], nine[1]), 5.0 / 4.5 + 1e-9);
  EXPECT_LE(g_calls.size(), 5u);  // heads of one kv head stay together where they can
}

// Rows for every thread: the query heads of one kv head are never taken apart, so that K and V are read once.
TEST(AttentionSplit, ManyRowsKeepHeadsTogether) {
  Batch decode;
  for (int32_t i = 0; i < 32; ++i) decode.add(1, 100 + 10 * i);
  for (auto [kv_heads, group] : {std::pair{3, 3}, {1, 4}, {2, 7}}) {
    shares(decode, kv_heads, group, 0, 2);
    for (const AttentionArgs& call : g_calls) {
      EXPECT_EQ(call.head_begin % group, 0);
      EXPECT_EQ(call.head_end % group, 0);
    }
  }
}

TEST(AttentionSplit, SmallWorkIsNotForked) {
  Batch one;
  one.add(1, 5);
  shares(one, 3, 3, 0, 4);
  for (uint32_t part : g_call_parts) EXPECT_EQ(part, 0u);
  EXPECT_EQ(g_calls.size(), 3u);
}

}  // namespace
}  // namespace fastserve::ops
