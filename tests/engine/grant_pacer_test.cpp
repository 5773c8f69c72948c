// The pacer against machines of stated speed: pieces come to take what they should, and grants are neither wasted nor
// passed by more than half a piece.
#include "engine/grant_pacer.h"

#include <gtest/gtest.h>

namespace fastserve {
namespace {

constexpr int64_t kMs = 1'000'000;

// A layer costs `fixed` for its weights and `per_row` for each row.
struct Machine {
  int64_t fixed_ns, per_row_ns;
  int64_t layer_ns(int32_t rows) const { return fixed_ns + per_row_ns * rows; }
};

// Runs steps of 30 layers and returns the rows of the last.
int32_t settle(GrantPacer& pacer, const Machine& machine, int64_t grant_ns, int steps) {
  int32_t rows = 0;
  for (int step = 0; step < steps; ++step) {
    rows = pacer.rows(grant_ns, 512);
    for (int layer = 0; layer < 30; ++layer) pacer.record_layer(rows, machine.layer_ns(rows));
    pacer.end_layers();
  }
  return rows;
}

TEST(GrantPacer, LayersComeToTakeTheirTarget) {
  for (const Machine machine : {Machine{150'000, 60'000}, Machine{50'000, 5'000}, Machine{10'000, 400'000}}) {
    for (const int64_t grant : {1 * kMs, 2 * kMs, 5 * kMs, 16 * kMs}) {
      GrantPacer pacer;
      const int32_t rows = settle(pacer, machine, grant, 30);
      const int64_t target = GrantPacer::piece_target_ns(grant);
      EXPECT_LE(machine.layer_ns(rows), std::max(target * 11 / 10, machine.layer_ns(1))) << grant;
      if (rows < 512) {
        EXPECT_GE(machine.layer_ns(rows + 2), target * 8 / 10) << grant;
      }
    }
  }
}

TEST(GrantPacer, ASlowerMachineGetsFewerRows) {
  GrantPacer pacer;
  const int32_t fast = settle(pacer, {100'000, 20'000}, 5 * kMs, 30);
  const int32_t slow = settle(pacer, {100'000, 200'000}, 5 * kMs, 10);
  EXPECT_LT(slow, fast / 4);
  EXPECT_GE(settle(pacer, {100'000, 20'000}, 5 * kMs, 30), fast - 1) << "and back";
}

TEST(GrantPacer, InterruptionsAreNotLearned) {
  GrantPacer pacer;
  const Machine machine{100'000, 50'000};
  const int32_t before = settle(pacer, machine, 5 * kMs, 30);
  for (int layer = 0; layer < 30; ++layer) {
    pacer.record_layer(before, machine.layer_ns(before) + (layer % 10 == 0 ? 20 * kMs : 0));
  }
  pacer.end_layers();
  EXPECT_EQ(pacer.rows(5 * kMs, 512), before);
}

TEST(GrantPacer, PiecesOfALayerAreOfOneSize) {
  GrantPacer pacer;
  const int32_t rows = settle(pacer, {100'000, 100'000}, 5 * kMs, 30);
  ASSERT_EQ(rows, 23) << "2.5 ms";
  EXPECT_EQ(pacer.piece_rows(5 * kMs, 92), 23);
  EXPECT_EQ(pacer.piece_rows(5 * kMs, 30), 15) << "not 23 and 7";
  EXPECT_EQ(pacer.piece_rows(5 * kMs, 3), 3);
  EXPECT_EQ(pacer.piece_rows(5 * kMs, 0), 0);
  EXPECT_EQ(pacer.piece_rows(GrantPacer::kNoGrant, 500), 500);
  // A smaller piece at the end does not mislead.
  for (int layer = 0; layer < 30; ++layer) {
    pacer.record_layer(23, 2'400'000);
    pacer.record_layer(5, 600'000);
  }
  pacer.end_layers();
  EXPECT_NEAR(pacer.rows(5 * kMs, 512), 23, 1);
}

TEST(GrantPacer, WithoutAGrantEverythingAtOnce) {
  GrantPacer pacer;
  settle(pacer, {100'000, 50'000}, 1 * kMs, 10);
  EXPECT_EQ(pacer.rows(GrantPacer::kNoGrant, 512), 512);
  EXPECT_EQ(pacer.head_panels(GrantPacer::kNoGrant, 16, 3072), 3072);
  EXPECT_EQ(pacer.sample_rows(GrantPacer::kNoGrant, 32), 32);
}

TEST(GrantPacer, HeadAndSamplingFollowWhatTheyTook) {
  GrantPacer pacer;
  EXPECT_GE(pacer.head_panels(2 * kMs, 16, 3072), 1);
  for (int i = 0; i < 30; ++i) pacer.record_head(16, 64, 64 * 2'000);
  EXPECT_EQ(pacer.head_panels(2 * kMs, 16, 3072), 1000);
  EXPECT_EQ(pacer.head_panels(2 * kMs, 16, 300), 300) << "no more than there are";
  EXPECT_EQ(pacer.expected_head_ns(16, 500), 1 * kMs);
  for (int i = 0; i < 30; ++i) pacer.record_sampling(4, 4 * 300'000);
  EXPECT_EQ(pacer.sample_rows(2 * kMs, 32), 6);
  EXPECT_EQ(pacer.sample_rows(0, 32), 1) << "something always fits";
}

// A host with grants of g: how far they are used and passed, with pieces of every phase of a step.
TEST(GrantPacer, GrantsAreUsedUpAndHardlyPassed) {
  const std::pair<int64_t, int64_t> cases[] = {{1 * kMs, 700'000},   {2 * kMs, 700'000},   {5 * kMs, 700'000},
                                               {2 * kMs, 2'000'000}, {5 * kMs, 2'400'000}, {5 * kMs, 2'600'000}};
  for (const auto& [grant, piece] : cases) {
    int64_t used = 0, worst = 0;
    for (int step = 0; step < 100; ++step) {
      int64_t spent = 0;
      do spent += piece;
      while (GrantPacer::fits(piece, grant - spent));
      used += spent;
      worst = std::max(worst, spent - grant);
    }
    EXPECT_LE(worst, std::min(piece / 2, GrantPacer::kPassedByMaxNs));
    EXPECT_GE(used, 100 * (grant - piece / 2));
  }
}

}  // namespace
}  // namespace fastserve
