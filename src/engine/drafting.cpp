// The latest place counts: what is being said now resembles what was said last.
#include "engine/drafting.h"

#include <algorithm>

namespace fastserve {
namespace {

constexpr size_t kSearchedTokens = 16384;  // back from the end

// One past the latest earlier place where the last kMatchTokens stand; 0: none.
size_t find_earlier(std::span<const int32_t> tokens) {
  constexpr auto kMatch = static_cast<size_t>(Drafter::kMatchTokens);
  if (tokens.size() <= kMatch) return 0;
  const std::span<const int32_t> wanted = tokens.last(kMatch);
  const size_t first = tokens.size() > kSearchedTokens ? tokens.size() - kSearchedTokens : 0;
  for (size_t end = tokens.size() - 1; end >= first + kMatch; --end) {
    if (tokens[end - 1] == wanted.back() && std::ranges::equal(tokens.subspan(end - kMatch, kMatch), wanted))
      return end;
  }
  return 0;
}

}  // namespace

void Drafter::propose(std::span<const int32_t> tokens, int32_t count_max, std::vector<int32_t>& draft) {
  draft.clear();
  if (count_max <= 0) return;
  if (pause_left_ > 0) {
    --pause_left_;
    return;
  }
  const size_t from = find_earlier(tokens);
  if (from == 0) return;
  const auto count = static_cast<size_t>(std::min(length_, count_max));
  for (size_t i = 0; i < count; ++i) {  // past the end a text that repeats itself goes on repeating
    const size_t at = from + i;
    draft.push_back(at < tokens.size() ? tokens[at] : draft[at - tokens.size()]);
  }
}

void Drafter::record(int32_t proposed, int32_t came_true) {
  if (proposed == 0) return;
  if (came_true == proposed) {
    length_ = std::min(2 * length_ + 1, kDraftMax);
  } else {
    length_ = std::clamp(came_true, 1, kFirstLength);
  }
  if (came_true > 0) {
    pause_ = 0;
    return;
  }
  pause_ = std::clamp(2 * pause_, 1, kPauseMax);
  pause_left_ = pause_;
}

}  // namespace fastserve
