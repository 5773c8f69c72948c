// How requests are computed never shows in what they say: batched or alone, in chunks or whole, on any number of
// threads, pumped or threaded: the same tokens, the same log-probabilities and logits to the last bit.
#include <gtest/gtest.h>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

struct Case {
  uint32_t type;
  uint32_t kernels;
  uint32_t kv_dtype;
};

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const char* type = info.param.type == kTinyF32    ? "F32"
                     : info.param.type == kTinyBf16 ? "Bf16"
                     : info.param.type == kTinyQ4_0 ? "Q4_0"
                     : info.param.type == kTinyQ4_1 ? "Q4_1"
                                                    : "Q8_0";
  return std::string(type) + (info.param.kernels == FSV_KERNELS_REFERENCE ? "Reference" : "Fast") +
         (info.param.kv_dtype == FSV_KV_F32 ? "KvF32" : "");
}

// Generations and one full score, each with prompts around the sizes where kernels and blocks change their ways.
struct Work {
  std::vector<std::vector<int32_t>> prompts;
  std::vector<int32_t> scored;
};

Work make_work() {
  Work work;
  uint32_t seed = 100;
  for (const size_t size : {1, 2, 7, 16, 33, 70, 129, 200}) work.prompts.push_back(random_prompt(seed++, size));
  work.scored = random_prompt(7, 90);
  return work;
}

constexpr uint32_t kTokens = 20;

// Alternating greedy and seeded requests.
EditGenerate settings(size_t index) {
  return [index](GenerateSettings& config) {
    config.logprob_count = index % 3 == 0 ? 3 : 0;
    if (index % 2 == 0) return;
    config.draw.temperature = 0.9F;
    config.draw.top_k = 40;
    config.draw.seed = 1000 + index;
  };
}

std::vector<Reply> run_together(const std::string& path, const Work& work, const EditEngine& edit) {
  Host host(path, edit);
  std::vector<fsv_request> requests;
  for (size_t i = 0; i < work.prompts.size(); ++i) {
    requests.push_back(host.generate(work.prompts[i], kTokens, settings(i)));
  }
  requests.push_back(host.score(work.scored, true));
  host.run();
  std::vector<Reply> replies;
  for (const fsv_request request : requests) replies.push_back(host.reply(request));
  return replies;
}

std::vector<Reply> run_alone(const std::string& path, const Work& work, const EditEngine& edit) {
  Host host(path, edit);
  std::vector<Reply> replies;
  for (size_t i = 0; i < work.prompts.size(); ++i) {
    replies.push_back(host.generate_alone(work.prompts[i], kTokens, settings(i)));
  }
  replies.push_back(host.score_alone(work.scored, true));
  return replies;
}

void expect_all_same(const std::vector<Reply>& got, const std::vector<Reply>& expected, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) expect_same(got[i], expected[i], what + ", request " + std::to_string(i));
}

class Invariance : public testing::TestWithParam<Case> {
 protected:
  Invariance() : file_(shape()) {}
  static TinyShape shape() {
    TinyShape shape;
    shape.type = GetParam().type;
    return shape;
  }
  EditEngine with(const EditEngine& edit) const {
    const Case& param = GetParam();
    return [param, edit](fsv_engine_config& config) {
      config.kernels = param.kernels;
      config.kv_dtype = param.kv_dtype;
      config.max_batch_tokens = 512;
      if (edit) edit(config);
    };
  }
  TemporaryFile file_;
};

TEST_P(Invariance, NothingShowsHowItWasComputed) {
  const Work work = make_work();
  const std::vector<Reply> alone = run_alone(file_.path(), work, with(nullptr));
  for (const Reply& reply : alone) {
    ASSERT_EQ(reply.status, FSV_OK) << reply.message;
    ASSERT_EQ(reply.ids.size(), reply.logprobs.size());
  }
  ASSERT_EQ(alone[0].ids.size(), kTokens);
  ASSERT_EQ(alone.back().logits.size(), (work.scored.size() - 1) * kTinyVocabulary);
  expect_all_same(run_together(file_.path(), work, with(nullptr)), alone, "batched");
  for (const uint32_t chunk : {1U, 7U, 16U, 64U, 512U}) {
    auto chunked = with([chunk](fsv_engine_config& config) { config.prefill_chunk_tokens = chunk; });
    expect_all_same(run_together(file_.path(), work, chunked), alone, "chunks of " + std::to_string(chunk));
  }
  for (const uint32_t threads : {1U, 2U, 3U, 5U}) {
    auto threaded = with([threads](fsv_engine_config& config) {
      config.mode = FSV_MODE_THREADED;
      config.thread_count = threads;
    });
    expect_all_same(run_together(file_.path(), work, threaded), alone, std::to_string(threads) + " threads");
  }
  auto small_batches = with([](fsv_engine_config& config) { config.max_batch_tokens = 9; });
  expect_all_same(run_together(file_.path(), work, small_batches), alone, "batches of 9 rows");
}

// Other texts than the ones that chance makes equal: the model looks at its prompt.
TEST_P(Invariance, PromptsTell) {
  Host host(file_.path(), with(nullptr));
  const Reply one = host.generate_alone(random_prompt(1, 20), 8), other = host.generate_alone(random_prompt(2, 20), 8);
  EXPECT_NE(one.ids, other.ids);
  std::vector<int32_t> changed = random_prompt(1, 20);
  changed[0] += 1;
  EXPECT_FALSE(same_bits(host.generate_alone(changed, 8).logprobs, one.logprobs));
}

INSTANTIATE_TEST_SUITE_P(
    Types, Invariance,
    testing::Values(Case{kTinyF32, FSV_KERNELS_FAST, FSV_KV_F16}, Case{kTinyBf16, FSV_KERNELS_FAST, FSV_KV_F16},
                    Case{kTinyQ4_0, FSV_KERNELS_FAST, FSV_KV_F16}, Case{kTinyQ4_1, FSV_KERNELS_FAST, FSV_KV_F32},
                    Case{kTinyQ8_0, FSV_KERNELS_FAST, FSV_KV_F16}, Case{kTinyQ4_1, FSV_KERNELS_REFERENCE, FSV_KV_F32},
                    Case{kTinyF32, FSV_KERNELS_REFERENCE, FSV_KV_F16}),
    case_name);

// A pumped engine may be stopped after any layer.
TEST(InvarianceSteps, GrantsOfAnyLengthChangeNothing) {
  TinyShape shape;
  shape.type = kTinyQ4_0;
  const TemporaryFile file(shape);
  const Work work = make_work();
  const std::vector<Reply> whole = run_together(file.path(), work, nullptr);
  Host host(file.path());
  std::vector<fsv_request> requests;
  for (size_t i = 0; i < work.prompts.size(); ++i) {
    requests.push_back(host.generate(work.prompts[i], kTokens, settings(i)));
  }
  requests.push_back(host.score(work.scored, true));
  for (uint64_t i = 0; !host.all_finished() && i < 1000000; ++i) {
    host.step(i % 3);  // 0: a single piece
    host.poll();
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    expect_same(host.reply(requests[i]), whole[i], "request " + std::to_string(i));
  }
}

}  // namespace
}  // namespace fastserve::test
