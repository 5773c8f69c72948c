// Real weights beside an independent engine: transformers on the same weights dequantised to f32 (tests/golden/logits,
// made by tests/golden/make_logits.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "support/host.h"
#include "support/logits_golden.h"

namespace fastserve::test {
namespace {

constexpr float kUndecided = 1e-3f;  // margins below it do not fix the oracle's choice

struct OracleFile {
  const char* name;
  const char* model;
  const char* golden;
};

class OracleModel : public testing::TestWithParam<OracleFile> {
 protected:
  void SetUp() override {
    if (!std::ifstream(model_path()).good()) GTEST_SKIP() << model_path() << " is missing; ./dev models fetches it";
    cases_ = read_logits_golden(std::string(FASTSERVE_TEST_DATA "/logits/") + GetParam().golden);
    ASSERT_GE(cases_.size(), 8u);
  }
  static std::string model_path() { return std::string(FASTSERVE_MODEL_DIR "/") + GetParam().model; }
  static EditEngine engine(uint32_t kernels, uint32_t kv) {
    return [kernels, kv](fsv_engine_config& config) {
      config.mode = FSV_MODE_THREADED;
      config.thread_count = 0;
      config.max_sequences = 16;
      config.kernels = kernels;
      config.kv_dtype = kv;
    };
  }
  static std::vector<int32_t> whole(const GoldenCase& golden) {
    std::vector<int32_t> ids = golden.prompt;
    ids.insert(ids.end(), golden.greedy.begin(), golden.greedy.end());
    return ids;
  }
  std::vector<GoldenCase> cases_;
};

// All cases together, however long they take: the reference kernels are slow, and the test program has its own limit.
void run_to_the_end(Host& host) {
  while (!host.all_finished() && !testing::Test::HasFailure()) {
    (void)fsv_wait(host.engine(), 100000, nullptr);
    host.poll();
  }
}

double logsumexp(const float* row, size_t size) {
  const double largest = *std::max_element(row, row + size);
  double sum = 0;
  for (size_t i = 0; i < size; ++i) sum += std::exp(static_cast<double>(row[i]) - largest);
  return largest + std::log(sum);
}

// Differences from the oracle over the rows of a case that a score reports: all but the one after the last token.
struct Difference {
  double logit_max = 0, logit_squares = 0, logsumexp_max = 0;
  size_t logits = 0, rows = 0, same_top = 0;
};

void add_difference(const GoldenCase& golden, const Reply& reply, Difference& sum) {
  ASSERT_EQ(reply.logit_rows, golden.prompt.size() + golden.greedy.size() - 1) << golden.name << ": " << reply.message;
  const size_t vocabulary = reply.logits.size() / reply.logit_rows;
  for (const GoldenLogits& expected : golden.logits) {
    if (static_cast<size_t>(expected.position) >= reply.logit_rows) continue;
    const float* row = reply.logits.data() + static_cast<size_t>(expected.position) * vocabulary;
    for (const auto& [id, logit] : expected.top) {
      const double difference = std::abs(static_cast<double>(row[id]) - static_cast<double>(logit));
      sum.logit_max = std::max(sum.logit_max, difference);
      sum.logit_squares += difference * difference;
      ++sum.logits;
    }
    sum.logsumexp_max = std::max(sum.logsumexp_max, std::abs(logsumexp(row, vocabulary) - expected.logsumexp));
    sum.same_top += std::max_element(row, row + vocabulary) - row == expected.top.front().first ? 1 : 0;
    ++sum.rows;
  }
}

TEST_P(OracleModel, ReferenceKernelsAreTokenExact) {
  Host host(model_path(), engine(FSV_KERNELS_REFERENCE, FSV_KV_F32));
  std::vector<fsv_request> requests;
  for (const GoldenCase& golden : cases_) requests.push_back(host.generate(golden.prompt, 64));
  run_to_the_end(host);
  for (size_t c = 0; c < cases_.size(); ++c) {
    const GoldenCase& golden = cases_[c];
    const Reply& reply = host.reply(requests[c]);
    ASSERT_EQ(golden.greedy.size(), 64u);
    ASSERT_EQ(reply.ids.size(), golden.greedy.size()) << golden.name << ": " << reply.message;
    for (size_t i = 0; i < golden.greedy.size(); ++i) {
      if (reply.ids[i] != golden.greedy[i]) {
        EXPECT_LT(golden.margin[i], kUndecided) << golden.name << ": differs at token " << i;
        break;  // what follows depends on it
      }
      EXPECT_NEAR(reply.logprobs[i], golden.logprob[i], 1e-3) << golden.name << ": token " << i;
    }
  }
}

TEST_P(OracleModel, ReferenceKernelsGiveTheOraclesLogits) {
  Host host(model_path(), engine(FSV_KERNELS_REFERENCE, FSV_KV_F32));
  Difference sum;
  std::erase_if(cases_, [](const GoldenCase& golden) { return golden.prompt.size() > 100; });  // slow; covered above
  std::vector<fsv_request> requests;
  for (const GoldenCase& golden : cases_) requests.push_back(host.score(whole(golden), true));
  run_to_the_end(host);
  for (size_t c = 0; c < cases_.size(); ++c) add_difference(cases_[c], host.reply(requests[c]), sum);
  ASSERT_GE(sum.rows, 24u);
  EXPECT_LT(sum.logit_max, 2e-3);
  EXPECT_LT(sum.logsumexp_max, 1e-3);
  EXPECT_EQ(sum.same_top, sum.rows);
}

// The SIMD kernels quantise activations to 8 bits, so that they are near, not equal; bench/quality/kl.py says how near.
class OracleFastModel : public OracleModel {};

TEST_P(OracleFastModel, FastKernelsStayNear) {
  Host host(model_path(), engine(FSV_KERNELS_FAST, FSV_KV_F16));
  Difference sum;
  for (const GoldenCase& golden : cases_) add_difference(golden, host.score_alone(whole(golden), true), sum);
  ASSERT_GE(sum.rows, 38u);
  const double rms = std::sqrt(sum.logit_squares / static_cast<double>(sum.logits));
  RecordProperty("logit_rms", std::to_string(rms));
  RecordProperty("same_top", std::to_string(sum.same_top) + " of " + std::to_string(sum.rows));
  EXPECT_LT(rms, 0.25);
  EXPECT_LT(sum.logsumexp_max, 0.8);
  EXPECT_GE(sum.same_top * 10, sum.rows * 9);
}

constexpr OracleFile kSmolLm2{"SmolLm2", "smollm2-135m-instruct-q4_1.gguf", "smollm2_q4_1.txt"};
constexpr OracleFile kGemma3{"Gemma3", "gemma-3-270m-q4_k_m.gguf", "gemma3_q4_k_m.txt"};
const auto name_of_file = [](const auto& instance) { return std::string(instance.param.name); };

// The reference kernels would take minutes for Gemma's vocabulary.
INSTANTIATE_TEST_SUITE_P(Files, OracleModel, testing::Values(kSmolLm2), name_of_file);
INSTANTIATE_TEST_SUITE_P(Files, OracleFastModel, testing::Values(kSmolLm2, kGemma3), name_of_file);

}  // namespace
}  // namespace fastserve::test
