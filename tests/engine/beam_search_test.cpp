// Beam search where it can look at everything: then it must find what enumeration finds.
#include "engine/beam_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace fastserve {
namespace {

constexpr int32_t kVocabulary = 3, kEnd = 2, kLengthMax = 4;

// Some distribution for each prefix.
std::vector<TokenLogprob> next_tokens(std::span<const int32_t> prefix) {
  double weights[kVocabulary];
  double sum = 0;
  uint32_t hash = 7;
  for (const int32_t id : prefix) hash = hash * 31 + static_cast<uint32_t>(id) + 1;
  for (uint32_t id = 0; id < kVocabulary; ++id) sum += weights[id] = 1 + ((hash * 2654435761U) >> (5 * id + 3)) % 17;
  std::vector<TokenLogprob> tokens;
  for (int32_t id = 0; id < kVocabulary; ++id) tokens.push_back({id, static_cast<float>(std::log(weights[id] / sum))});
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
  return tokens;
}

using Texts = std::map<std::vector<int32_t>, double>;  // and their sums of log-probabilities

void enumerate(std::vector<int32_t>& prefix, double sum, Texts& texts) {
  for (const TokenLogprob& next : next_tokens(prefix)) {
    prefix.push_back(next.token_id);
    const double whole = sum + static_cast<double>(next.logprob);
    if (next.token_id == kEnd || prefix.size() == kLengthMax) {
      texts[prefix] = whole;
    } else {
      enumerate(prefix, whole, texts);
    }
    prefix.pop_back();
  }
}

// Steps until the search is over; how many that were.
int run(BeamSearch& search) {
  struct Beam {
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
    std::vector<TokenLogprob> candidates;
  };
  std::vector<Beam> beams(1);
  for (int steps = 1;; ++steps) {
    std::vector<BeamView> views;
    for (Beam& beam : beams) {
      beam.candidates = next_tokens(beam.tokens);
      views.push_back({beam.tokens, beam.logprobs, beam.candidates});
    }
    if (!search.step(views, [](int32_t id) { return id == kEnd; })) return steps;
    std::vector<Beam> children;
    for (const BeamSearch::Extension& next : search.next()) {
      Beam& child = children.emplace_back(beams[next.beam]);
      child.tokens.push_back(next.token_id);
      child.logprobs.push_back(next.logprob);
    }
    beams = std::move(children);
  }
}

TEST(BeamSearchTest, FindsEveryTextWhereItLooksAtAll) {
  Texts expected;
  std::vector<int32_t> prefix;
  enumerate(prefix, 0, expected);
  ASSERT_EQ(expected.size(), 31U);
  for (const float penalty : {-1.0F, 0.0F, 1.0F, 2.0F}) {
    BeamSearch search({32, penalty, EarlyStopping::kNever}, kLengthMax, 1);
    run(search);
    ASSERT_EQ(search.ended().size(), expected.size());
    double before = INFINITY;
    for (const BeamSearch::Text& text : search.ended()) {
      ASSERT_TRUE(expected.contains(text.tokens));
      EXPECT_NEAR(text.cumulative_logprob, expected[text.tokens], 1e-6);
      EXPECT_NEAR(text.score, expected[text.tokens] / std::pow(text.tokens.size(), penalty), 1e-6);
      EXPECT_EQ(text.has_stopped, text.tokens.back() == kEnd);
      EXPECT_EQ(text.logprobs.size(), text.tokens.size());
      EXPECT_LE(text.score, before);
      before = text.score;
    }
  }
}

TEST(BeamSearchTest, StoppingEarlyEndsNoLater) {
  for (const float penalty : {-1.0F, 0.0F, 1.0F, 2.0F}) {
    int steps[3];
    double best[3];
    for (const uint32_t stopping : {0U, 1U, 2U}) {
      BeamSearch search({2, penalty, static_cast<EarlyStopping>(stopping)}, kLengthMax, 1);
      steps[stopping] = run(search);
      ASSERT_EQ(search.ended().size(), 2U);
      best[stopping] = search.ended()[0].score;
    }
    EXPECT_LE(steps[1], steps[0]) << penalty;  // at the first beam_count ended texts
    EXPECT_LE(steps[0], steps[2]) << penalty;
    EXPECT_GE(best[2], best[0]) << penalty;
    EXPECT_GE(best[0], best[1]) << penalty;
  }
}

}  // namespace
}  // namespace fastserve
