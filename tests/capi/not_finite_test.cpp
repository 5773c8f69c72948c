// Weights that are not finite: an error that names them, of the load or of each request; nothing drawn, nothing lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

// One value (or the scale of one block) of a tensor becomes NaN or infinite.
std::vector<uint8_t> damaged(const TinyShape& shape, const std::string& name, bool is_infinite) {
  return tiny_gguf(shape, [&](std::vector<TinyTensor>& tensors) {
    for (TinyTensor& tensor : tensors) {
      if (tensor.name != name) continue;
      const size_t middle = tensor.bytes.size() / 2;
      if (tensor.type == kTinyF32) {
        const float bad =
            is_infinite ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
        std::memcpy(tensor.bytes.data() + middle / 4 * 4, &bad, sizeof bad);
      } else {
        const uint16_t bf16 = is_infinite ? 0x7F80 : 0x7FC0, half = is_infinite ? 0x7C00 : 0x7E00;
        const size_t block = tensor.type == kTinyBf16   ? 2
                             : tensor.type == kTinyQ4_0 ? 18
                             : tensor.type == kTinyQ4_1 ? 20
                                                        : 34;
        const uint16_t bad = tensor.type == kTinyBf16 ? bf16 : half;
        std::memcpy(tensor.bytes.data() + middle / block * block, &bad, sizeof bad);
      }
    }
  });
}

class NotFinite : public testing::TestWithParam<uint32_t> {};

TEST_P(NotFinite, MatricesFailEachRequest) {
  TinyShape shape;
  shape.type = GetParam();
  shape.tied = false;
  shape.hidden = shape.intermediate = 32;
  shape.heads = 2;
  shape.kv_heads = 1;
  const char* names[] = {"token_embd.weight",   "blk.0.attn_q.weight",      "blk.0.attn_k.weight",
                         "blk.0.attn_v.weight", "blk.1.attn_output.weight", "blk.0.ffn_gate.weight",
                         "blk.1.ffn_up.weight", "blk.0.ffn_down.weight",    "blk.1.ffn_down.weight",
                         "output.weight"};
  std::vector<int32_t> prompt(256);  // every token, so that the damaged row of the embedding is met
  for (int32_t i = 0; i < 256; ++i) prompt[static_cast<size_t>(i)] = (i * 7) % kTinyVocabulary;
  for (const bool is_infinite : {false, true}) {
    for (const std::string name : names) {
      if (is_infinite && name == "output.weight") continue;  // a logit of -inf only rules its token out
      const TemporaryFile file(damaged(shape, name, is_infinite));
      for (const uint32_t kernels : {FSV_KERNELS_FAST, FSV_KERNELS_REFERENCE}) {
        Host host(file.path(), [&](fsv_engine_config& config) { config.kernels = kernels; });
        const uint64_t free_before = host.memory().kv_block_free_count;
        const Reply reply = host.generate_alone(prompt, 4, [&](GenerateSettings& config) {
          config.draw.temperature = is_infinite ? 0.0F : 1.0F;
          config.choice_count = 2;
        });
        const std::string what = name + (is_infinite ? ", infinite" : ", NaN") + ", kernels " + std::to_string(kernels);
        EXPECT_EQ(reply.reason, FSV_FINISH_ERROR) << what;
        EXPECT_EQ(reply.status, FSV_ERROR_CORRUPT) << what;
        EXPECT_NE(reply.message.find("the logits of \"tiny\""), std::string::npos) << what << ": " << reply.message;
        EXPECT_TRUE(reply.ids.empty()) << what;
        const Reply scored = host.score_alone(prompt, false);
        EXPECT_EQ(scored.status, FSV_ERROR_CORRUPT) << name << ": " << scored.message;
        EXPECT_EQ(host.memory().kv_block_free_count, free_before);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, NotFinite, testing::Values(kTinyF32, kTinyBf16, kTinyQ4_0, kTinyQ4_1, kTinyQ8_0));

TEST(NotFiniteVectors, FailTheLoadAndAreNamed) {
  for (const char* name : {"blk.0.attn_norm.weight", "blk.1.ffn_norm.weight", "output_norm.weight"}) {
    for (const bool is_infinite : {false, true}) {
      const TemporaryFile file(damaged(TinyShape{}, name, is_infinite));
      Host host;
      fsv_ticket ticket = 0;
      fsv_model* model = nullptr;
      fsv_error error{};
      ASSERT_EQ(host.begin_load(file.path(), &ticket, &error), FSV_OK);
      EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_CORRUPT);
      EXPECT_EQ(model, nullptr);
      EXPECT_NE(std::string(error.message).find(name), std::string::npos) << error.message;
      EXPECT_NE(std::string(error.message).find("index 32"), std::string::npos) << error.message;
    }
  }
}

}  // namespace
}  // namespace fastserve::test
