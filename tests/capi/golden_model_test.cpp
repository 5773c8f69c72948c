// SmolLM2 against transformers (tests/golden/make_logits.py): the reference kernels with f32 KV are token-exact in
// greedy decoding, and the logits are the oracle's. Scoring the oracle's continuation gives every step's argmax in one
// batched pass; that decoding equals scoring to the bit is checked here too, and on tiny models in invariance_test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <span>

#include "support/host.h"
#include "support/logits_golden.h"

namespace fastserve::test {
namespace {

constexpr float kUndecidedMargin = 1e-3F;  // of the oracle's two best logits
constexpr float kLogitTolerance = 5e-3F;
constexpr float kLogprobTolerance = 2e-3F;
constexpr size_t kPromptTokensMax = 128;  // the longest case is left to faster kernels

const std::string kModel = std::string(FASTSERVE_MODEL_DIR) + "/smollm2-135m-instruct-q4_1.gguf";

std::vector<GoldenCase> cases() {
  std::vector<GoldenCase> all = read_logits_golden(std::string(FASTSERVE_TEST_DATA) + "/logits/smollm2_q4_1.txt");
  std::erase_if(all, [](const GoldenCase& one) { return one.prompt.size() > kPromptTokensMax; });
  return all;
}

// Checks the rows of one case as they arrive.
class Checker {
 public:
  explicit Checker(const GoldenCase& golden) : golden_(golden) {}

  void take(const fsv_event& event, size_t vocabulary) {
    for (size_t i = 0; i < event.token_count; ++i) check_logprob(event.logprobs[i]);
    for (size_t i = 0; i < event.logit_row_count; ++i) check_row({event.logits + i * vocabulary, vocabulary});
  }
  size_t row_count() const { return rows_; }
  float largest_difference() const { return largest_difference_; }

 private:
  void check_logprob(float logprob) {
    const size_t token = tokens_++;
    if (token < golden_.prompt.size()) return;
    EXPECT_NEAR(logprob, golden_.logprob[token - golden_.prompt.size()], kLogprobTolerance) << golden_.name;
  }
  void check_row(std::span<const float> row) {
    const size_t position = rows_++;
    if (position + 1 >= golden_.prompt.size()) {
      const size_t step = position + 1 - golden_.prompt.size();
      const auto best = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
      if (golden_.margin[step] >= kUndecidedMargin) {
        EXPECT_EQ(best, golden_.greedy[step]) << golden_.name << ", step " << step;
      }
    }
    for (const GoldenLogits& expected : golden_.logits) {
      if (static_cast<size_t>(expected.position) != position) continue;
      for (const auto& [id, logit] : expected.top) {
        const float difference = std::abs(row[static_cast<size_t>(id)] - logit);
        largest_difference_ = std::max(largest_difference_, difference);
        EXPECT_LE(difference, kLogitTolerance) << golden_.name << ", row " << position << ", token " << id;
      }
    }
  }

  const GoldenCase& golden_;
  size_t tokens_ = 0, rows_ = 0;
  float largest_difference_ = 0;
};

void reference_f32(fsv_engine_config& config) {
  config.mode = FSV_MODE_THREADED;
  config.thread_count = 0;
  config.kernels = FSV_KERNELS_REFERENCE;
  config.kv_dtype = FSV_KV_F32;
  config.context_tokens = 256;
  config.max_sequences = 16;
  config.max_batch_tokens = 512;
}

class GoldensModel : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing: run ./dev models";
  }
};

TEST_F(GoldensModel, ReferenceKernelsAreTokenExactWithTransformers) {
  const std::vector<GoldenCase> goldens = cases();
  ASSERT_GE(goldens.size(), 8u);
  Host host(kModel, reference_f32);
  ASSERT_NE(host.model(), nullptr);
  fsv_model_info info;
  fsv_model_info_init(&info);
  ASSERT_EQ(fsv_model_get_info(host.model(), &info, nullptr), FSV_OK);
  std::map<fsv_request, Checker> checkers;
  for (const GoldenCase& golden : goldens) {
    ASSERT_EQ(golden.greedy.size(), 64u);
    std::vector<int32_t> all = golden.prompt;
    all.insert(all.end(), golden.greedy.begin(), golden.greedy.end());
    checkers.emplace(host.score(all, true), golden);
  }
  for (size_t finished = 0; finished < goldens.size();) {
    ASSERT_EQ(fsv_wait(host.engine(), 120000000, nullptr), FSV_OK);
    fsv_event events[16];
    size_t count = 0;
    ASSERT_EQ(fsv_poll(host.engine(), events, sizeof(fsv_event), 16, &count, nullptr), FSV_OK);
    for (const fsv_event& event : std::span(events, count)) {
      if (event.type == FSV_EVENT_SCORE) checkers.at(event.request).take(event, info.vocabulary_size);
      if (event.type != FSV_EVENT_FINISHED) continue;
      EXPECT_EQ(event.status, FSV_OK) << std::string(event.message, event.message_size);
      ++finished;
    }
  }
  float largest = 0;
  for (const auto& [request, checker] : checkers) {
    EXPECT_GE(checker.row_count(), 64u);
    largest = std::max(largest, checker.largest_difference());
  }
  RecordProperty("largest_logit_difference_1e6", static_cast<int>(largest * 1e6F));
}

TEST_F(GoldensModel, DecodingIsTokenExactToo) {
  constexpr uint32_t kTokens = 8;
  Host host(kModel, reference_f32);
  std::map<fsv_request, GoldenCase> requests;
  for (const GoldenCase& golden : cases()) {
    if (golden.prompt.size() < 24 && requests.size() < 4)
      requests.emplace(host.generate(golden.prompt, kTokens), golden);
  }
  ASSERT_GE(requests.size(), 3u);
  host.run();
  for (const auto& [request, golden] : requests) {
    const Reply& reply = host.reply(request);
    ASSERT_EQ(reply.ids.size(), kTokens) << reply.message;
    for (uint32_t step = 0; step < kTokens; ++step) {
      if (golden.margin[step] < kUndecidedMargin) break;
      EXPECT_EQ(reply.ids[step], golden.greedy[step]) << golden.name << ", step " << step;
      EXPECT_NEAR(reply.logprobs[step], golden.logprob[step], kLogprobTolerance) << golden.name << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace fastserve::test
