// Attention over the paged cache: close to a naive double-precision attention, and the same bits for a row whatever
// the batch, the chunks, the ranges, the neighbours and the garbage in unwritten slots.
#include "kernels/kernel_fixture.h"
#include "kernels/paged_cache.h"

namespace fastserve::kernels {
namespace {

struct Shape {
  KvType type = KvType::kF16;
  int32_t kv_heads = 1, group = 1, head_dim = 32, value_dim = 32;
  int32_t tokens = 1;
  int32_t window = 0, bidirectional = 0;
  float softcap = 0.0f;
  bool sinks = false;
  int32_t heads() const { return kv_heads * group; }
};

std::string describe(const Shape& s) {
  return "type " + std::to_string(static_cast<int>(s.type)) + " kv_heads " + std::to_string(s.kv_heads) + " group " +
         std::to_string(s.group) + " dims " + std::to_string(s.head_dim) + "/" + std::to_string(s.value_dim) +
         " tokens " + std::to_string(s.tokens) + " window " + std::to_string(s.window) + " softcap " +
         std::to_string(s.softcap) + (s.sinks ? " sinks" : "") + (s.bidirectional ? " bidirectional" : "");
}

// One sequence with its q, k, v and a filled cache.
struct Problem {
  Shape shape;
  KvLayer layer;
  Floats q, k, v, sinks;
  PagedCache cache;

  explicit Problem(const Shape& s, uint32_t seed = 1)
      : shape(s),
        layer(make_layer(s.type, s.kv_heads, s.head_dim, s.value_dim)),
        q(static_cast<size_t>(s.tokens) * s.heads() * s.head_dim, seed, 1.5f),
        k(static_cast<size_t>(s.tokens) * s.kv_heads * s.head_dim, seed + 1, 1.5f),
        v(static_cast<size_t>(s.tokens) * s.kv_heads * s.value_dim, seed + 2),
        sinks(static_cast<size_t>(s.heads()), seed + 3, 2.0f),
        cache(layer, s.tokens) {
    append(reference_cpu_table(), layer, cache.view(0, s.tokens, 0), k.data(), v.data(), 0, s.tokens);
  }

  AttentionArgs args(const KvView* view, const float* rows, float* output) const {
    AttentionArgs a = {};
    a.layer = &layer;
    a.sequences = view;
    a.sequence_count = 1;
    a.q = rows;
    a.q_stride = static_cast<int64_t>(shape.heads()) * shape.head_dim;
    a.head_count = shape.heads();
    a.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    a.softcap = shape.softcap;
    a.window = shape.window;
    a.bidirectional = shape.bidirectional;
    a.sinks = shape.sinks ? sinks.data() : nullptr;
    a.output = output;
    a.output_stride = static_cast<int64_t>(shape.heads()) * shape.value_dim;
    a.head_end = shape.heads();
    a.row_end = view->row_count;
    return a;
  }
  int64_t out_stride() const { return static_cast<int64_t>(shape.heads()) * shape.value_dim; }

  // Rows [begin, end) of the sequence as one step.
  void run(const KernelTable& table, int32_t begin, int32_t end, float* output) const {
    const KvView view = cache.view(0, end - begin, begin);
    const AttentionArgs a = args(&view, q.data() + begin * int64_t{shape.heads()} * shape.head_dim, output);
    table.attention(&a);
  }
  Floats whole(const KernelTable& table) const {
    Floats out(static_cast<size_t>(shape.tokens * out_stride()));
    out.fill(NAN);
    run(table, 0, shape.tokens, out.data());
    return out;
  }
};

// The definition, in double, from what the cache holds.
std::vector<double> attend_exact(const Problem& p, int32_t row, int32_t head) {
  const Shape& s = p.shape;
  const int32_t kv_head = head / s.group;
  const float* q = p.q.data() + (int64_t{row} * s.heads() + head) * s.head_dim;
  std::vector<double> logits(s.tokens, -INFINITY);
  double maximum = s.sinks ? p.sinks[head] : -INFINITY;
  for (int32_t t = 0; t < s.tokens; ++t) {
    if (!s.bidirectional && t > row) continue;
    if (s.window > 0 && std::abs(t - row) >= s.window) continue;
    double dot = 0;
    for (int32_t d = 0; d < s.head_dim; ++d) dot += double(q[d]) * p.cache.key(t, kv_head, d);
    logits[t] = dot / std::sqrt(double(s.head_dim));
    if (s.softcap > 0) logits[t] = s.softcap * std::tanh(logits[t] / s.softcap);
    maximum = std::max(maximum, logits[t]);
  }
  double sum = s.sinks ? std::exp(p.sinks[head] - maximum) : 0;
  std::vector<double> out(s.value_dim, 0.0);
  for (int32_t t = 0; t < s.tokens; ++t) {
    const double weight = std::exp(logits[t] - maximum);
    if (weight == 0) continue;
    sum += weight;
    for (int32_t d = 0; d < s.value_dim; ++d) out[d] += weight * p.cache.value(t, kv_head, d);
  }
  for (double& x : out) x /= sum;
  return out;
}

class AttentionKernel : public PerTable {
 protected:
  // All rows, or the interesting ones of long sequences.
  void expect_exact(const Shape& shape) {
    SCOPED_TRACE(describe(shape));
    const Problem p(shape);
    const Floats out = p.whole(table());
    // kBF16 may round queries and weights to eight bits; the layout and masks are what its wide bound still sees.
    const bool rounds = shape.type == KvType::kBF16 && &table() != &reference_cpu_table();
    const double tolerance = rounds ? 2e-2 : 4e-6 + 1e-8 * shape.head_dim;
    double square_sum = 0, count = 0;
    for (int32_t row = 0; row < shape.tokens; ++row) {
      if (shape.tokens > 64 && row % 61 != 0 && row < shape.tokens - 2) continue;
      for (int32_t h = 0; h < shape.heads(); ++h) {
        const auto exact = attend_exact(p, row, h);
        for (int32_t d = 0; d < shape.value_dim; ++d) {
          const float got = out[row * p.out_stride() + h * shape.value_dim + d];
          ASSERT_NEAR(got, exact[d], tolerance) << "row " << row << " head " << h << " dim " << d;
          square_sum += (got - exact[d]) * (got - exact[d]);
          ++count;
        }
      }
    }
    EXPECT_LT(std::sqrt(square_sum / count), rounds ? 4e-3 : tolerance);
  }
};
FASTSERVE_PER_TABLE(AttentionKernel);

TEST_P(AttentionKernel, MatchesDoubleForEveryLength) {
  for (int32_t tokens : {1, 2, 15, 16, 17, 31, 33, 255, 256, 257, 600}) {
    for (KvType type : {KvType::kF16, KvType::kF32}) {
      Shape shape;
      shape.type = type;
      shape.group = 2;
      shape.tokens = tokens;
      expect_exact(shape);
    }
  }
}

TEST_P(AttentionKernel, MatchesDoubleForEveryTypeAndGroup) {
  for (KvType type : {KvType::kF16, KvType::kF32, KvType::kBF16, KvType::kQ8}) {
    for (int32_t group : {1, 3, 4, 5, 8, 9}) {
      Shape shape;
      shape.type = type;
      shape.kv_heads = 2;
      shape.group = group;
      shape.head_dim = 16;
      shape.value_dim = 24;
      shape.tokens = 41;
      expect_exact(shape);
    }
  }
}

TEST_P(AttentionKernel, MatchesDoubleForEveryDim) {
  for (KvType type : {KvType::kF16, KvType::kF32, KvType::kBF16, KvType::kQ8}) {
    for (auto [head_dim, value_dim] : {std::pair{64, 64},
                                       {80, 80},
                                       {96, 96},
                                       {128, 64},
                                       {64, 128},
                                       {256, 256},
                                       {192, 128},
                                       {576, 512},
                                       {8, 8},
                                       {40, 72},
                                       {7, 13},
                                       {33, 1}}) {
      Shape shape;
      shape.type = type;
      shape.group = 3;
      shape.head_dim = head_dim;
      shape.value_dim = value_dim;
      shape.tokens = 19;
      expect_exact(shape);
    }
  }
}

TEST_P(AttentionKernel, WindowSoftcapSinksAndBothDirections) {
  for (int32_t tokens : {18, 300, 530}) {
    for (int32_t window : {1, 15, 16, 17, 100, 256, 257, 1000}) {
      Shape shape;
      shape.group = 2;
      shape.head_dim = shape.value_dim = 16;
      shape.tokens = tokens;
      shape.window = window;
      expect_exact(shape);
      shape.bidirectional = 1;
      shape.sinks = true;
      expect_exact(shape);
    }
    Shape shape;
    shape.group = 3;
    shape.head_dim = shape.value_dim = 16;
    shape.tokens = tokens;
    shape.softcap = 2.5f;
    expect_exact(shape);
    shape.sinks = true;
    expect_exact(shape);
    shape.softcap = 0.0f;
    expect_exact(shape);
    shape.bidirectional = 1;
    shape.sinks = false;
    expect_exact(shape);
  }
}

// Whole prompt at once is the measure; every other way to the same rows must give its bits.
TEST_P(AttentionKernel, BitsDoNotDependOnChunks) {
  for (KvType type : {KvType::kF16, KvType::kF32, KvType::kBF16, KvType::kQ8}) {
    for (auto [group, tokens, window] : {std::tuple{1, 290, 0}, {3, 290, 0}, {4, 60, 0}, {8, 40, 0}, {3, 290, 37}}) {
      Shape shape;
      shape.type = type;
      shape.group = group;
      shape.tokens = tokens;
      shape.window = window;
      shape.head_dim = 24;
      shape.value_dim = 40;
      SCOPED_TRACE(describe(shape));
      const Problem p(shape);
      const Floats whole = p.whole(table());
      for (int32_t chunk : {1, 2, 7, 16, 33, 256}) {
        Floats out(whole.size());
        for (int32_t begin = 0; begin < tokens; begin += chunk) {
          p.run(table(), begin, std::min(tokens, begin + chunk), out.data() + begin * p.out_stride());
        }
        EXPECT_TRUE(same_bits(out.data(), whole.data(), whole.size())) << "chunk " << chunk;
      }
    }
  }
}

TEST_P(AttentionKernel, BitsDoNotDependOnRangesOrNeighbours) {
  Shape shape;
  shape.kv_heads = 2;
  shape.group = 3;
  shape.tokens = 45;
  const Problem p(shape);
  const Floats whole = p.whole(table());
  // Rectangles of rows and heads, cut inside groups too, in an order of their own.
  Floats cut(whole.size());
  const KvView all = p.cache.view(0, shape.tokens, 0);
  for (auto [row_begin, row_end] : {std::pair{30, 45}, {0, 1}, {1, 30}}) {
    for (auto [head_begin, head_end] : {std::pair{4, 6}, {0, 2}, {2, 4}}) {
      AttentionArgs a = p.args(&all, p.q.data(), cut.data());
      a.row_begin = row_begin;
      a.row_end = row_end;
      a.head_begin = head_begin;
      a.head_end = head_end;
      table().attention(&a);
    }
  }
  EXPECT_TRUE(same_bits(cut.data(), whole.data(), whole.size()));

  // In a batch: another sequence's prefill before, decode rows of this one's last tokens, another decode after.
  Shape other_shape = shape;
  other_shape.tokens = 20;
  const Problem other(other_shape, 90);
  const KvView views[] = {other.cache.view(0, 20, 0), p.cache.view(20, 3, 42), other.cache.view(23, 1, 19)};
  const int64_t q_stride = int64_t{shape.heads()} * shape.head_dim;
  Floats q(24 * q_stride), out(24 * p.out_stride());
  std::memcpy(q.data(), other.q.data(), 20 * q_stride * sizeof(float));
  std::memcpy(q.data() + 20 * q_stride, p.q.data() + 42 * q_stride, 3 * q_stride * sizeof(float));
  std::memcpy(q.data() + 23 * q_stride, other.q.data() + 19 * q_stride, q_stride * sizeof(float));
  AttentionArgs a = p.args(views, q.data(), out.data());
  a.sequence_count = 3;
  a.row_end = 24;
  table().attention(&a);
  const Floats other_whole = other.whole(table());
  EXPECT_TRUE(same_bits(out.data(), other_whole.data(), other_whole.size()));
  EXPECT_TRUE(same_bits(out.data() + 20 * p.out_stride(), whole.data() + 42 * p.out_stride(), 3 * p.out_stride()));
  EXPECT_TRUE(same_bits(out.data() + 23 * p.out_stride(), other_whole.data() + 19 * p.out_stride(), p.out_stride()));
}

// A sliding window drops blocks behind it: their table entries are null, and nothing may look there.
TEST_P(AttentionKernel, DroppedBlocksAreNotTouched) {
  for (int32_t window : {1, 16, 20, 33, 260}) {
    Shape shape;
    shape.group = 3;
    shape.tokens = 330;
    shape.window = window;
    Problem p(shape);
    const Floats whole = p.whole(table());
    for (int32_t begin : {100, 300, 321}) {
      std::vector<uint8_t*> kept = p.cache.blocks();
      for (int32_t b = 0; (b + 1) * kKvBlockTokens <= begin - window + 1; ++b) kept[b] = nullptr;
      KvView view = p.cache.view(0, shape.tokens - begin, begin);
      view.blocks = kept.data();
      Floats out(static_cast<size_t>((shape.tokens - begin) * p.out_stride()));
      const AttentionArgs a = p.args(&view, p.q.data() + begin * int64_t{shape.heads()} * shape.head_dim, out.data());
      table().attention(&a);
      EXPECT_TRUE(same_bits(out.data(), whole.data() + begin * p.out_stride(), out.size())) << window << " " << begin;
    }
  }
}

// Later tokens and slots never written must not reach a row, whatever bits they hold (PagedCache fills with NaN).
TEST_P(AttentionKernel, LaterSlotsDoNotLeak) {
  for (KvType type : {KvType::kF16, KvType::kF32, KvType::kBF16, KvType::kQ8}) {
    Shape shape;
    shape.type = type;
    shape.group = 4;
    shape.tokens = 21;
    const Problem p(shape);
    const Floats whole = p.whole(table());
    PagedCache growing(p.layer, 64);
    Floats out(whole.size());
    for (int32_t t = 0; t < shape.tokens; ++t) {
      const KvView view = growing.view(0, 1, t);
      append(table(), p.layer, view, p.k.data() + t * shape.head_dim, p.v.data() + t * shape.value_dim, 0, 1);
      const AttentionArgs a =
          p.args(&view, p.q.data() + t * int64_t{shape.heads()} * shape.head_dim, out.data() + t * p.out_stride());
      table().attention(&a);
    }
    EXPECT_TRUE(same_bits(out.data(), whole.data(), whole.size())) << static_cast<int>(type);
  }
}

// A later token of the same step with values that are not finite must not poison the rows before it.
TEST_P(AttentionKernel, BrokenTokenStaysInItsRows) {
  Shape shape;
  shape.type = KvType::kF32;
  shape.group = 2;
  shape.tokens = 12;
  const Problem good(shape);
  Problem bad(shape);
  for (int32_t d = 0; d < shape.value_dim; ++d) bad.v[7 * shape.value_dim + d] = d % 2 ? NAN : INFINITY;
  for (int32_t d = 0; d < shape.head_dim; ++d) bad.k[7 * shape.head_dim + d] = NAN;
  append(reference_cpu_table(), bad.layer, bad.cache.view(0, 12, 0), bad.k.data(), bad.v.data(), 0, 12);
  const Floats expected = good.whole(table()), got = bad.whole(table());
  EXPECT_TRUE(same_bits(got.data(), expected.data(), 7 * good.out_stride()));
  for (int64_t i = 7 * good.out_stride(); i < static_cast<int64_t>(got.size()); ++i)
    EXPECT_FALSE(std::isfinite(got[i]));
}

// Scores far apart: the softmax must neither overflow nor lose the large ones, across runs too.
TEST_P(AttentionKernel, LargeScores) {
  Shape shape;
  shape.type = KvType::kF32;
  shape.head_dim = shape.value_dim = 16;
  shape.tokens = 520;
  Problem p(shape);
  for (size_t i = 0; i < p.k.size(); ++i) p.k[i] *= 60.0f;
  append(reference_cpu_table(), p.layer, p.cache.view(0, 520, 0), p.k.data(), p.v.data(), 0, 520);
  const Floats out = p.whole(table());
  for (int32_t row : {0, 17, 255, 256, 300, 519}) {
    const auto exact = attend_exact(p, row, 0);
    for (int32_t d = 0; d < 16; ++d) EXPECT_NEAR(out[row * 16 + d], exact[d], 2e-4) << row;
  }
}

}  // namespace
}  // namespace fastserve::kernels
