// Tiny models of every weight type against a forward pass in double precision that shares nothing with the library:
// reference kernels to rounding, fast ones to what 8-bit activations and 16-bit keys and values cost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/double_llama.h"
#include "support/host.h"

namespace fastserve::test {
namespace {

struct Differences {
  double largest = 0;  // of logits
  double rms = 0;      // of differences over that of the logits themselves
};

Differences compare(const TinyShape& shape, uint32_t kernels, uint32_t kv_dtype) {
  const TemporaryFile file(shape);
  Host host(file.path(), [&](fsv_engine_config& config) {
    config.kernels = kernels;
    config.kv_dtype = kv_dtype;
  });
  const auto prompt = random_prompt(5, 40);
  const Reply reply = host.score_alone(prompt, true);
  EXPECT_EQ(reply.status, FSV_OK) << reply.message;
  const auto expected = DoubleLlama(shape).logits(prompt);
  EXPECT_EQ(reply.logit_rows, prompt.size() - 1);
  Differences result;
  double squares = 0, all = 0;
  for (size_t row = 0; row < reply.logit_rows; ++row) {
    for (size_t id = 0; id < static_cast<size_t>(kTinyVocabulary); ++id) {
      const double difference = static_cast<double>(reply.logits[row * kTinyVocabulary + id]) - expected[row][id];
      result.largest = std::max(result.largest, std::abs(difference));
      squares += difference * difference;
      all += expected[row][id] * expected[row][id];
    }
  }
  result.rms = std::sqrt(squares / all);
  return result;
}

TEST(Oracle, ReferenceKernelsAgreeWithDoublePrecision) {
  for (const uint32_t type : {kTinyF32, kTinyBf16, kTinyQ4_0, kTinyQ4_1, kTinyQ8_0}) {
    TinyShape shape;
    shape.type = type;
    shape.layers = 3;
    shape.seed = 40 + type;
    shape.tied = type % 2 == 0;
    const Differences differences = compare(shape, FSV_KERNELS_REFERENCE, FSV_KV_F32);
    EXPECT_LT(differences.largest, 1e-3) << "type " << type;
    EXPECT_LT(differences.rms, 2e-6) << "type " << type;
  }
}

TEST(Oracle, ShapesOfHeadsAndWidths) {
  for (const auto& [heads, kv_heads, head_dim] :
       {std::array<uint32_t, 3>{2, 2, 32}, {8, 1, 16}, {3, 3, 24}, {6, 2, 64}}) {
    TinyShape shape;
    shape.heads = heads;
    shape.kv_heads = kv_heads;
    shape.head_dim = head_dim;
    shape.hidden = heads * head_dim;
    shape.intermediate = 96;
    shape.tied = false;
    const Differences differences = compare(shape, FSV_KERNELS_REFERENCE, FSV_KV_F32);
    EXPECT_LT(differences.rms, 2e-6) << heads << " heads of " << head_dim;
    EXPECT_LT(compare(shape, FSV_KERNELS_FAST, FSV_KV_F32).rms, 2e-5) << heads << " heads of " << head_dim;
  }
}

TEST(Oracle, FastKernelsLoseLittle) {
  for (const uint32_t type : {kTinyF32, kTinyBf16, kTinyQ4_0, kTinyQ4_1, kTinyQ8_0}) {
    TinyShape shape;
    shape.type = type;
    shape.seed = 60 + type;
    const bool is_quantised = type != kTinyF32 && type != kTinyBf16;
    const Differences differences = compare(shape, FSV_KERNELS_FAST, FSV_KV_F16);
    EXPECT_LT(differences.rms, is_quantised ? 0.06 : 0.01) << "type " << type;
    EXPECT_GT(differences.rms, 0.0);
  }
}

}  // namespace
}  // namespace fastserve::test
