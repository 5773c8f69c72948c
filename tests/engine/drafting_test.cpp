// Guesses from a text's own past, and when they are made.
#include "engine/drafting.h"

#include <gtest/gtest.h>

#include <random>

namespace fastserve {
namespace {

std::vector<int32_t> propose(Drafter& drafter, const std::vector<int32_t>& tokens,
                             int32_t count_max = Drafter::kDraftMax) {
  std::vector<int32_t> draft;
  draft.reserve(Drafter::kDraftMax);
  drafter.propose(tokens, count_max, draft);
  return draft;
}

using Ids = std::vector<int32_t>;

TEST(Drafting, TakesWhatFollowedTheSameTokens) {
  Drafter drafter;
  EXPECT_EQ(propose(drafter, {1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3}), (Ids{4, 5, 6}));
  EXPECT_EQ(propose(drafter, {1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3}, 2), (Ids{4, 5}));
  EXPECT_EQ(propose(drafter, {1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3}, 0), (Ids{}));
}

TEST(Drafting, TheLatestPlaceCounts) {
  Drafter drafter;
  EXPECT_EQ(propose(drafter, {1, 2, 3, 4, 4, 4, 1, 2, 3, 8, 8, 8, 1, 2, 3}), (Ids{8, 8, 8}));
}

TEST(Drafting, RepetitionGoesOnPastTheEnd) {
  Drafter drafter;
  EXPECT_EQ(propose(drafter, {5, 5, 5, 5}), (Ids{5, 5, 5}));
  EXPECT_EQ(propose(drafter, {1, 2, 1, 2, 1}), (Ids{2, 1, 2}));
}

TEST(Drafting, NothingWithoutAPlace) {
  Drafter drafter;
  for (const Ids& tokens : {Ids{}, Ids{1}, Ids{1, 1, 1}, Ids{1, 2, 3, 4}, Ids{2, 3, 7, 1, 2, 3}}) {
    EXPECT_EQ(propose(drafter, tokens), (Ids{}));
  }
}

TEST(Drafting, GrowsWhileItComesTrue) {
  Drafter drafter;
  const Ids ones(20, 1);
  EXPECT_EQ(propose(drafter, ones).size(), 3u);
  drafter.record(3, 3);
  EXPECT_EQ(propose(drafter, ones).size(), 7u);
  drafter.record(7, 7);
  EXPECT_EQ(propose(drafter, ones).size(), 7u);
  drafter.record(7, 2);
  EXPECT_EQ(propose(drafter, ones).size(), 2u);
}

TEST(Drafting, PausesDoubleWithEveryFailure) {
  Drafter drafter;
  const Ids ones(20, 1);
  int32_t guesses = 0;
  for (int32_t step = 0; step < 1000; ++step) {
    const Ids draft = propose(drafter, ones);
    guesses += draft.empty() ? 0 : 1;
    drafter.record(static_cast<int32_t>(draft.size()), 0);
  }
  EXPECT_LE(guesses, 7 + 1000 / Drafter::kPauseMax);
  EXPECT_GE(guesses, 7);
  // The next success ends it.
  Ids draft;
  while (draft.empty()) draft = propose(drafter, ones);
  drafter.record(static_cast<int32_t>(draft.size()), static_cast<int32_t>(draft.size()));
  EXPECT_FALSE(propose(drafter, ones).empty());
}

// Against the definition, on texts of few different tokens.
TEST(Drafting, EqualsItsDefinition) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    Ids tokens(random() % 40);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 3);
    Ids expected;
    for (size_t end = tokens.size(); end-- > 3 && expected.empty();) {
      if (!std::equal(tokens.end() - 3, tokens.end(), tokens.begin() + static_cast<std::ptrdiff_t>(end) - 3)) continue;
      Ids repeated(tokens.begin() + static_cast<std::ptrdiff_t>(end), tokens.end());
      for (size_t i = 0; repeated.size() < 3; ++i) repeated.push_back(repeated[i]);
      expected.assign(repeated.begin(), repeated.begin() + 3);
    }
    Drafter drafter;
    EXPECT_EQ(propose(drafter, tokens), expected) << round;
  }
}

}  // namespace
}  // namespace fastserve
