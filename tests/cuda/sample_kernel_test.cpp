// Drawing on the emulator: the CPU sampler's tokens, its distribution (a chi-square test), its errors.
#include <algorithm>
#include <cmath>
#include <map>

#include "cuda/device_fixture.h"
#include "sampling/sampler.h"

namespace fastserve::test {
namespace {

using namespace kernels;  // NOLINT(google-build-using-namespace)

DeviceSampleRow row_of(const SamplingParameters& p, uint64_t draw_index) {
  DeviceSampleRow row = {};
  row.temperature = p.temperature;
  row.top_p = p.top_p;
  row.min_p = p.min_p;
  row.top_k = p.top_k;
  row.seed = p.seed;
  row.stream = p.stream;
  row.draw_index = draw_index;
  return row;
}

struct Draws {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
};

// Each row of logits with its parameters, in one launch.
Draws draw(const std::vector<float>& logits, int32_t vocabulary, std::vector<DeviceSampleRow> rows,
           const std::vector<int32_t>& banned = {}) {
  DeviceMemory<float> device_logits(logits), logprobs(rows.size());
  DeviceMemory<DeviceSampleRow> parameters(rows);
  DeviceMemory<int32_t> device_banned(banned), tokens(rows.size());
  DeviceSampleArgs args = {device_logits.data(), vocabulary,        static_cast<int32_t>(rows.size()),
                           vocabulary,           parameters.data(), device_banned.data(),
                           tokens.data(),        logprobs.data()};
  run_entry(device_kernels().sample, args);
  return {tokens.values(), logprobs.values()};
}

SamplingParameters parameters(float temperature, int32_t top_k, float top_p, float min_p) {
  SamplingParameters p;
  p.temperature = temperature;
  p.top_k = top_k;
  p.top_p = top_p;
  p.min_p = min_p;
  p.seed = 0x123456789abcdefu;
  p.stream = 3;
  return p;
}

const SamplingParameters kCases[] = {parameters(1, 0, 1, 0),          parameters(0.7f, 40, 1, 0),
                                     parameters(1.3f, 0, 0.9f, 0),    parameters(0.8f, 0, 1, 0.05f),
                                     parameters(1, 40, 0.95f, 0.05f), parameters(2, 3, 0.5f, 0.2f),
                                     parameters(1, 1, 1, 0),          parameters(1, 0, 0, 0),
                                     parameters(0, 5, 0.5f, 0),       parameters(5, 5000, 0.999f, 0)};

// Logits with ties, impossible tokens and both zeros.
std::vector<float> difficult_logits(int32_t vocabulary, uint32_t seed) {
  std::vector<float> logits = random_floats(static_cast<size_t>(vocabulary), seed, 3.0f);
  for (size_t i = 0; i < logits.size(); i += 3) logits[i] = std::round(logits[i]);
  for (size_t i = 5; i < logits.size(); i += 11) logits[i] = -INFINITY;
  if (logits.size() > 9) logits[7] = -0.0f;
  return logits;
}

TEST(CudaSample, DrawsTheCpuSamplersTokens) {
  SamplerScratch scratch;
  int differing = 0, drawn = 0;
  for (const int32_t vocabulary : {1, 33, 257, 1503}) {
    ASSERT_TRUE(scratch.reserve(vocabulary).ok());
    const std::vector<float> logits = difficult_logits(vocabulary, 70);
    for (const SamplingParameters& p : kCases) {
      const Sampler sampler(p);
      std::vector<DeviceSampleRow> rows;
      std::vector<float> all;
      for (uint64_t i = 0; i < 8; ++i) {
        rows.push_back(row_of(p, i));
        all.insert(all.end(), logits.begin(), logits.end());
      }
      const std::vector<int32_t> tokens = in_both_orders([&] { return draw(all, vocabulary, rows).tokens; });
      for (uint64_t i = 0; i < rows.size(); ++i) {
        const auto expected = sampler.sample(logits, {}, i, false, scratch);
        ASSERT_TRUE(expected.ok());
        differing += tokens[i] != expected.value().token_id ? 1 : 0;
        ++drawn;
      }
    }
  }
  EXPECT_EQ(differing, 0) << "of " << drawn;  // the numbers are fixed: what holds once holds
}

// More in one bin than the list of a block holds: equal ones, which their ids order, and close ones.
TEST(CudaSample, ManyEqualOrCloseLogitsAreCutExactly) {
  const int32_t vocabulary = 3000;
  SamplerScratch scratch;
  ASSERT_TRUE(scratch.reserve(vocabulary).ok());
  std::vector<float> close = random_floats(static_cast<size_t>(vocabulary), 72, 0.01f);
  for (size_t i = 0; i < close.size(); i += 2) close[i] -= 2.0f;  // other bins, with digits of the same
  for (const std::vector<float>& logits : {std::vector<float>(static_cast<size_t>(vocabulary), 1.0f), close}) {
    for (const SamplingParameters& p :
         {parameters(1, 7, 1, 0), parameters(1, 1200, 0.3f, 0), parameters(1, 0, 0.001f, 0)}) {
      const Sampler sampler(p);
      std::vector<DeviceSampleRow> rows;
      std::vector<float> all;
      for (uint64_t i = 0; i < 5; ++i) {
        rows.push_back(row_of(p, i));
        all.insert(all.end(), logits.begin(), logits.end());
      }
      const std::vector<int32_t> tokens = draw(all, vocabulary, rows).tokens;
      for (uint64_t i = 0; i < rows.size(); ++i) {
        const auto expected = sampler.sample(logits, {}, i, false, scratch);
        ASSERT_TRUE(expected.ok());
        EXPECT_EQ(tokens[i], expected.value().token_id) << "top_k " << p.top_k << " top_p " << p.top_p;
      }
    }
  }
}

TEST(CudaSample, DistributionIsTheCpuSamplers) {
  const int32_t vocabulary = 60;
  const int count = 400;
  const std::vector<float> logits = random_floats(static_cast<size_t>(vocabulary), 71, 1.5f);
  const SamplingParameters p = parameters(1.2f, 30, 0.95f, 0.01f);
  SamplerScratch scratch;
  ASSERT_TRUE(scratch.reserve(vocabulary).ok());
  std::vector<TokenProbability> expected;
  ASSERT_TRUE(Sampler(p).distribution(logits, {}, 0, scratch, expected).ok());
  std::vector<DeviceSampleRow> rows;
  std::vector<float> all;
  for (int i = 0; i < count; ++i) {
    rows.push_back(row_of(p, static_cast<uint64_t>(1000 + i)));
    all.insert(all.end(), logits.begin(), logits.end());
  }
  std::map<int32_t, int> seen;
  for (const int32_t token : draw(all, vocabulary, rows).tokens) ++seen[token];
  double statistic = 0;
  int total = 0;
  for (const TokenProbability& token : expected) {
    const double mean = token.probability * count, difference = seen[token.token_id] - mean;
    statistic += difference * difference / mean;
    total += seen[token.token_id];
  }
  EXPECT_EQ(total, count) << "a token was drawn that the CPU's sampler never draws";
  // The mean of chi-square is its degrees of freedom f, its variance 2f: four deviations.
  const double freedom = static_cast<double>(expected.size() - 1);
  EXPECT_LT(statistic, freedom + 4 * std::sqrt(2 * freedom));
  EXPECT_GT(expected.size(), 10u);
}

TEST(CudaSample, BansTokensAndGivesRawLogprobs) {
  const std::vector<float> logits = {1.0f, 5.0f, 4.0f, 0.0f};
  DeviceSampleRow greedy = row_of(parameters(0, 0, 1, 0), 0), banning = greedy;
  banning.banned_begin = 1;
  banning.banned_count = 2;
  std::vector<float> twice = logits;
  twice.insert(twice.end(), logits.begin(), logits.end());
  const Draws draws = draw(twice, 4, {greedy, banning}, {0, 1, 77});
  EXPECT_EQ(draws.tokens, (std::vector<int32_t>{1, 2}));
  EXPECT_NEAR(draws.logprobs[0], log_probability(logits, 1), 1e-6);
  EXPECT_NEAR(draws.logprobs[1], log_probability(logits, 2), 1e-6) << "the banned one counts in the sum";
}

TEST(CudaSample, NamesRowsThatCannotBeDrawnFrom) {
  const float inf = INFINITY;
  const std::vector<float> rows = {0.0f, NAN, 1.0f, inf, 0.0f, 0.0f, -inf, -inf, -inf, 0.0f, 1.0f, -inf};
  const DeviceSampleRow p = row_of(parameters(1, 0, 1, 0), 0);
  DeviceSampleRow banned = p;
  banned.banned_count = 2;
  const std::vector<int32_t> tokens = draw(rows, 3, {p, p, p, banned}, {0, 1}).tokens;
  EXPECT_EQ(tokens, (std::vector<int32_t>{kDeviceSampleNotFinite, kDeviceSampleNotFinite, kDeviceSampleNone,
                                          kDeviceSampleNone}));
}

TEST(CudaSample, RefusesAnEmptyVocabulary) {
  const DeviceSampleArgs args = {};
  DeviceMessage message = {};
  EXPECT_EQ(device_kernels().sample(device_queue(), &args, &message), DeviceResult::kInvalid);
  EXPECT_STREQ(message.text, "sample: a vocabulary of 1 to 4194304 tokens");
}

}  // namespace
}  // namespace fastserve::test
