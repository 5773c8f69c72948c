// Prompt lookup: a sequence's next tokens are guessed from what followed its last ones earlier in its own text, and
// computed as further rows of its decode step. Each guess is then drawn like any token: what is said stays the same,
// bit for bit; where the text repeats itself, a step brings several tokens.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fastserve {

// Guesses for one sequence, and whether they are worth their rows: they grow while they come true, and pause, longer
// each time, while they do not. Engine thread only; allocates nothing.
class Drafter {
 public:
  static constexpr int32_t kDraftMax = 7;     // tokens of one guess
  static constexpr int32_t kMatchTokens = 3;  // that must stand in both places
  static constexpr int32_t kPauseMax = 64;    // steps

  // Replaces `draft` (its capacity is at least kDraftMax) by what may follow `tokens`, at most `count_max` tokens.
  void propose(std::span<const int32_t> tokens, int32_t count_max, std::vector<int32_t>& draft);
  // What became of the last proposal.
  void record(int32_t proposed, int32_t came_true);

 private:
  static constexpr int32_t kFirstLength = 3;
  int32_t length_ = kFirstLength;
  int32_t pause_ = 0, pause_left_ = 0;  // steps without a guess: after the last failure, and of them still to go
};

}  // namespace fastserve
