// Rotary positions, appending and attention on the emulator, against the CPU's reference over the same paged cache.
#include <algorithm>

#include "cuda/device_fixture.h"
#include "kernels/kernel_api.h"
#include "kernels/paged_cache.h"

namespace fastserve::test {
namespace {

using namespace kernels;  // NOLINT(google-build-using-namespace)

using DevicePagedCache = BasicPagedCache<DeviceAllocator>;

const KernelTable& reference() { return reference_cpu_table(); }

std::string type_name(const testing::TestParamInfo<KvType>& info) {
  constexpr const char* kNames[] = {"F16", "F32", "BF16", "Q8"};
  return kNames[static_cast<int>(info.param)];
}

class CudaKv : public testing::TestWithParam<KvType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaKv, testing::Values(KvType::kF16, KvType::kF32, KvType::kBF16, KvType::kQ8),
                         type_name);

// Two sequences in one batch, of different lengths, in caches of their own.
struct Batch {
  Batch(const KvLayer& kv_layer, int32_t rows_a, int32_t before_a, int32_t rows_b, int32_t before_b)
      : layer(kv_layer),
        rows(rows_a + rows_b),
        first(layer, rows_a + before_a),
        second(layer, rows_b + before_b),
        views(std::vector<KvView>{first.view(0, rows_a, before_a), second.view(rows_a, rows_b, before_b)}) {}
  void append_history(uint32_t seed) {
    for (DevicePagedCache* cache : {&first, &second}) {
      const KvView& view = views[cache == &first ? 0 : 1];
      const int32_t count = view.position_begin + view.row_count;
      const auto k = random_floats(static_cast<size_t>(count * layer.kv_head_count * layer.head_dim), seed++);
      const auto v = random_floats(static_cast<size_t>(count * layer.kv_head_count * layer.value_dim), seed++);
      kernels::append(reference(), layer, cache->view(0, count, 0), k.data(), v.data(), 0, count);
    }
  }
  KvLayer layer;
  int32_t rows;
  DevicePagedCache first, second;
  DeviceMemory<KvView> views;
};

TEST_P(CudaKv, AppendWritesTheReferencesBits) {
  for (const int32_t dim : {7, 64}) {
    const KvLayer layer = make_layer(GetParam(), 3, dim, dim + 1);
    const auto make = [&] { return std::make_unique<Batch>(layer, 5, 13, 1, 40); };
    const std::unique_ptr<Batch> expected = make(), actual = make();
    std::vector<float> keys = random_floats(static_cast<size_t>(6 * 3 * dim), 40);
    keys[2] = INFINITY;                                    // a broken token
    std::fill_n(keys.begin() + 3 * dim, 3 * dim, 1e-35f);  // one too small to be held
    DeviceMemory<float> k(keys), v(random_floats(static_cast<size_t>(6 * 3 * (dim + 1)), 41));
    KvAppendArgs args = {&layer, expected->views.data(), 2, k.data(), 3 * dim, v.data(), 3 * (dim + 1), 0, 6};
    reference().kv_append(&args);
    args.sequences = actual->views.data();
    set_order(Order::kDescending);
    run_entry(device_kernels().kv_append, args);
    set_order(Order::kAscending);
    EXPECT_TRUE(expected->first.same_bytes(actual->first)) << dim;
    EXPECT_TRUE(expected->second.same_bytes(actual->second)) << dim;
  }
}

TEST(CudaRope, AnglesAreTheReferences) {
  const int32_t pairs = 300, rows = 3;
  DeviceMemory<int32_t> positions(std::vector<int32_t>{0, 7, 1000003});
  DeviceMemory<float> frequencies(random_floats(pairs, 42)), cosines(rows * pairs), sines(rows * pairs);
  RopeAnglesArgs args = {positions.data(), frequencies.data(), pairs, 1.2f, cosines.data(), sines.data(), 0, rows};
  run_entry(device_kernels().rope_angles, args);
  const std::vector<float> actual = cosines.values(), actual_sines = sines.values();
  reference().rope_angles(&args);
  EXPECT_EQ(actual, cosines.values());
  EXPECT_EQ(actual_sines, sines.values());
}

TEST(CudaRope, RotatesBothKindsInPlace) {
  const int64_t rows = 2, heads = 9, dim = 72, stride = heads * dim + 4;
  const int32_t rope_dims = 40;
  DeviceMemory<float> cosines(random_floats(rows * rope_dims / 2, 43)), sines(random_floats(rows * rope_dims / 2, 44));
  for (const RopeKind kind : {RopeKind::kAdjacent, RopeKind::kHalves}) {
    const std::vector<float> data = random_floats(rows * stride, 45);
    std::vector<float> expected = data;
    RopeArgs args = {expected.data(), stride, heads, dim, rope_dims, kind, cosines.data(), sines.data(), 0, rows};
    reference().rope(&args);
    const auto actual = in_both_orders([&] {
      DeviceMemory<float> copy(data);
      args.data = copy.data();
      run_entry(device_kernels().rope, args);
      return copy.values();
    });
    EXPECT_EQ(actual, expected);
  }
}

// q and k of a row, normalised head by head and rotated by the reference.
void rotate_by_reference(const DeviceRopeAppendArgs& args, float* q, float* k) {
  const KvLayer& layer = *args.append.layer;
  const int64_t rows = args.append.row_end;
  const auto prepare = [&](float* data, int64_t stride, int32_t heads, const float* weight) {
    const RmsNormArgs norm = {data, stride, weight, 0.0f, args.norm_eps, data, stride, layer.head_dim, heads, 0, rows};
    reference().rms_norm(&norm);
    const RopeArgs rope = {data,       stride, heads, layer.head_dim, args.rope_dims, args.kind, args.cosines,
                           args.sines, 0,      rows};
    reference().rope(&rope);
  };
  prepare(q, args.q_stride, args.head_count, args.q_norm_weight);
  prepare(k, args.append.k_stride, layer.kv_head_count, args.k_norm_weight);
}

TEST_P(CudaKv, RopeAppendIsNormRotateAppend) {
  const int32_t dim = 64, heads = 6, kv_heads = 2, rows = 4;
  const KvLayer layer = make_layer(GetParam(), kv_heads, dim, dim);
  Batch batch(layer, 3, 20, 1, 0), reference_batch(layer, 3, 20, 1, 0);
  const int64_t stride = (heads + 2 * kv_heads) * dim;
  const std::vector<float> qkv = random_floats(static_cast<size_t>(rows * stride), 46);
  DeviceMemory<float> data(qkv), cosines(random_floats(rows * dim / 2, 47)), sines(random_floats(rows * dim / 2, 48));
  DeviceMemory<float> q_norm(random_floats(dim, 49)), k_norm(random_floats(dim, 50));
  DeviceRopeAppendArgs args = {data.data(),
                               stride,
                               heads,
                               dim,
                               RopeKind::kHalves,
                               1e-6f,
                               q_norm.data(),
                               k_norm.data(),
                               cosines.data(),
                               sines.data(),
                               {&layer, batch.views.data(), 2, data.data() + heads * dim, stride,
                                data.data() + (heads + kv_heads) * dim, stride, 0, rows}};
  run_entry(device_kernels().rope_append, args);
  std::vector<float> expected = qkv;
  rotate_by_reference(args, expected.data(), expected.data() + heads * dim);
  KvAppendArgs append = args.append;
  append.sequences = reference_batch.views.data();
  append.k = expected.data() + heads * dim;
  append.v = expected.data() + (heads + kv_heads) * dim;
  reference().kv_append(&append);
  for (int64_t row = 0; row < rows; ++row) {
    expect_close(copy_of(data.data() + row * stride, heads * dim), copy_of(expected.data() + row * stride, heads * dim),
                 3e-6f);
    EXPECT_EQ(0, std::memcmp(data.data() + row * stride + heads * dim, qkv.data() + row * stride + heads * dim,
                             2 * kv_heads * dim * sizeof(float)))
        << "k and v are left as they are";
  }
  const float tolerance = GetParam() == KvType::kQ8 ? 0.03f : GetParam() == KvType::kBF16 ? 0.01f : 2e-3f;
  for (int32_t head = 0; head < kv_heads; ++head) {
    for (int32_t d = 0; d < dim; ++d) {
      for (int32_t position = 20; position < 23; ++position) {
        ASSERT_NEAR(batch.first.key(position, head, d), reference_batch.first.key(position, head, d), tolerance);
        ASSERT_EQ(batch.first.value(position, head, d), reference_batch.first.value(position, head, d));
      }
    }
  }
}

struct Attention {
  int32_t heads, kv_heads, head_dim, value_dim;
  int32_t rows_a, before_a, rows_b, before_b;
  int32_t window = 0, bidirectional = 0;
  float softcap = 0.0f;
  bool has_sinks = false;
  uint32_t flags = 0;
};

std::vector<float> attend(const Attention& c, Batch& batch, const DeviceMemory<float>& q, const float* sinks,
                          bool by_reference) {
  const int64_t q_stride = c.heads * c.head_dim, stride = c.heads * c.value_dim + 1;
  DeviceMemory<float> output(static_cast<size_t>(batch.rows * stride), 0);
  DeviceAttentionArgs args = {};
  args.attention = {&batch.layer, batch.views.data(), 2,     q.data(),      q_stride, c.heads, 0.125f,  c.softcap,
                    c.window,     c.bidirectional,    sinks, output.data(), stride,   0,       c.heads, 0,
                    batch.rows};
  if (by_reference) {
    reference().attention(&args.attention);
    return output.values();
  }
  args.key_count_max = std::max(c.rows_a + c.before_a, c.rows_b + c.before_b) + 100;  // a bound, not the truth
  args.sequence_rows_max = std::max(c.rows_a, c.rows_b);
  args.flags = c.flags;
  DeviceMemory<uint8_t> scratch(device_kernels().attention_scratch_bytes(&args));
  args.scratch = {scratch.data(), scratch.size()};
  run_entry(device_kernels().attention, args);
  return output.values();
}

void check_attention(KvType type, const Attention& c, float tolerance) {
  Batch batch(make_layer(type, c.kv_heads, c.head_dim, c.value_dim), c.rows_a, c.before_a, c.rows_b, c.before_b);
  batch.append_history(60);
  DeviceMemory<float> q(random_floats(static_cast<size_t>(batch.rows * c.heads * c.head_dim), 61));
  DeviceMemory<float> sinks(random_floats(static_cast<size_t>(c.heads), 62));
  const float* sink = c.has_sinks ? sinks.data() : nullptr;
  if (c.window > 0) {  // blocks before every window are gone
    auto& blocks = batch.first.blocks();
    for (int32_t b = 0; (b + 1) * kKvBlockTokens <= c.before_a - c.window + 1; ++b)
      blocks[static_cast<size_t>(b)] = nullptr;
  }
  const auto actual = in_both_orders([&] { return attend(c, batch, q, sink, false); });
  expect_close(actual, attend(c, batch, q, sink, true), tolerance);
}

// Decoding: single rows, runs of 256 keys put together.
TEST_P(CudaKv, AttentionOfFewRowsIsTheReferences) {
  check_attention(GetParam(), {4, 2, 64, 64, 1, 300, 1, 9}, 1e-5f);
  check_attention(GetParam(), {3, 1, 40, 24, 2, 255, 3, 0}, 1e-5f);                      // odd sizes, a draft
  check_attention(GetParam(), {2, 2, 32, 288, 1, 30, 1, 511}, 1e-5f);                    // wide values
  check_attention(GetParam(), {10, 1, 16, 16, 1, 20, 1, 600, 0, 0, 5.0f, true}, 1e-5f);  // ten heads share, cap, sinks
  check_attention(GetParam(), {2, 1, 32, 32, 2, 700, 1, 100, 270}, 1e-5f);               // a window
}

// Prefill by tensor cores; q and weights are rounded to 16 bits.
TEST_P(CudaKv, AttentionOfManyRowsIsTheReferences) {
  const float tolerance = GetParam() == KvType::kBF16 ? 2e-2f : GetParam() == KvType::kF32 ? 1e-5f : 2e-3f;
  check_attention(GetParam(), {4, 2, 64, 64, 70, 5, 3, 37}, tolerance);
  check_attention(GetParam(), {2, 2, 36, 20, 17, 0, 1, 1, 0, 0, 4.0f, true}, tolerance);
  check_attention(GetParam(), {2, 1, 128, 128, 20, 60, 16, 0, 24}, tolerance);
  check_attention(GetParam(), {3, 1, 16, 16, 18, 0, 33, 0, 9, 1}, tolerance);
}

TEST_P(CudaKv, InvariantAttentionDoesNotDependOnTheCut) {
  const Attention whole = {4, 2, 32, 32, 20, 250, 1, 3, 0, 0, 0.0f, false, kDeviceInvariant};
  Batch batch(make_layer(GetParam(), 2, 32, 32), 20, 250, 1, 3);
  batch.append_history(63);
  DeviceMemory<float> q(random_floats(21 * 4 * 32, 64));
  const std::vector<float> together = attend(whole, batch, q, nullptr, false);
  batch.views[0] = batch.first.view(0, 1, 269);  // the last row of the first sequence alone
  batch.views[1] = batch.second.view(1, 1, 3);
  batch.rows = 2;
  DeviceMemory<float> last(copy_of(q.data() + 19 * 4 * 32, 2 * 4 * 32));
  Attention single = whole;
  single.rows_a = 1;
  single.before_a = 269;
  const std::vector<float> alone = attend(single, batch, last, nullptr, false);
  EXPECT_EQ(0, std::memcmp(alone.data(), together.data() + 19 * 129, 2 * 129 * sizeof(float)));
}

TEST(CudaAttention, RefusesWhatItCannotDo) {
  const KvLayer layer = make_layer(KvType::kF16, 2, 32, 32);
  DeviceAttentionArgs args = {};
  args.attention.layer = &layer;
  args.attention.head_count = args.attention.head_end = 3;
  DeviceMessage message = {};
  EXPECT_EQ(device_kernels().attention(device_queue(), &args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "attention: query heads are no multiple of kv heads");
  args.attention.head_count = 4;
  EXPECT_EQ(device_kernels().attention(device_queue(), &args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "attention: all heads at once");
  args.attention.head_end = 4;
  args.attention.row_end = 1;
  args.key_count_max = 1;
  EXPECT_EQ(device_kernels().attention(device_queue(), &args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "attention: the scratch is too small");
}

}  // namespace
}  // namespace fastserve::test
