// Logit bias, penalties on what the text already holds, and DRY.
#include <algorithm>
#include <cmath>

#include "sampling/stages.h"

namespace fastserve {
namespace {

std::span<const int32_t> last_tokens(std::span<const int32_t> history, int32_t window) {
  if (window < 0 || static_cast<size_t>(window) >= history.size()) return history;
  return history.subspan(history.size() - static_cast<size_t>(window));
}

bool in_row(int32_t token_id, size_t row_size) { return token_id >= 0 && static_cast<size_t>(token_id) < row_size; }

// lengths[d] for d >= 1: how many tokens before position end - d agree with those before the end. This is the Z
// function of the reversed history: linear in its length.
void find_match_lengths(std::span<const int32_t> history, std::vector<int32_t>& lengths) {
  const size_t count = history.size();
  lengths.assign(count, 0);
  const auto reversed = [&](size_t index) { return history[count - 1 - index]; };
  size_t left = 0, right = 0;  // the match [left, right) that reaches furthest
  for (size_t i = 1; i < count; ++i) {
    size_t length = i < right ? std::min(right - i, static_cast<size_t>(lengths[i - left])) : 0;
    while (i + length < count && reversed(length) == reversed(i + length)) ++length;
    lengths[i] = static_cast<int32_t>(length);
    if (i + length > right) {
      left = i;
      right = i + length;
    }
  }
}

}  // namespace

Status apply_logit_bias(DrawState& state, const StageContext& context) {
  for (const LogitBias& entry : context.parameters.logit_bias) {
    state.adjust(entry.token_id, [&](float logit) { return logit + entry.bias; });
  }
  return state.changed();
}

bool penalties_active(const SamplingParameters& parameters) {
  return parameters.penalty_window != 0 &&
         (parameters.repetition_penalty != 1.0f || parameters.presence_penalty != 0.0f ||
          parameters.frequency_penalty != 0.0f);
}

Status apply_penalties(DrawState& state, const StageContext& context) {
  const SamplingParameters& parameters = context.parameters;
  const std::span<const int32_t> window = last_tokens(context.history, parameters.penalty_window);
  std::vector<int32_t>& counts = state.scratch().token_marks;
  counts.resize(std::max(counts.size(), state.row().size()));
  const size_t row_size = state.row().size();
  for (const int32_t id : window) {
    if (in_row(id, row_size)) ++counts[static_cast<size_t>(id)];
  }
  for (const int32_t id : window) {
    if (!in_row(id, row_size)) continue;
    int32_t& count = counts[static_cast<size_t>(id)];
    if (count == 0) continue;
    const float subtrahend = static_cast<float>(count) * parameters.frequency_penalty + parameters.presence_penalty;
    state.adjust(id, [&](float logit) {
      const float scaled = logit > 0.0f ? logit / parameters.repetition_penalty : logit * parameters.repetition_penalty;
      return scaled - subtrahend;
    });
    count = 0;
  }
  return state.changed();
}

Status apply_dry(DrawState& state, const StageContext& context) {
  const SamplingParameters& parameters = context.parameters;
  const std::span<const int32_t> history = last_tokens(context.history, parameters.dry_window);
  const auto breaks = [&](int32_t id) {
    return std::binary_search(parameters.dry_breakers.begin(), parameters.dry_breakers.end(), id);
  };
  // A repetition reaches back to the last breaker at most.
  int32_t reach = 0;
  while (static_cast<size_t>(reach) < history.size() &&
         !breaks(history[history.size() - 1 - static_cast<size_t>(reach)])) {
    ++reach;
  }
  if (reach < parameters.dry_allowed_length) return Status();
  const size_t row_size = state.row().size();
  std::vector<int32_t>& lengths = state.scratch().match_lengths;
  std::vector<int32_t>& longest = state.scratch().token_marks;
  longest.resize(std::max(longest.size(), row_size));
  find_match_lengths(history, lengths);
  // history[size - distance] is the token that followed an earlier copy of the end.
  const auto follower = [&](size_t distance) { return history[history.size() - distance]; };
  for (size_t distance = 1; distance < history.size(); ++distance) {
    const int32_t length = std::min(lengths[distance], reach);
    const int32_t id = follower(distance);
    if (length < parameters.dry_allowed_length || !in_row(id, row_size) || breaks(id)) continue;
    longest[static_cast<size_t>(id)] = std::max(longest[static_cast<size_t>(id)], length);
  }
  constexpr double kPenaltyMax = 1e30;
  for (size_t distance = 1; distance < history.size(); ++distance) {
    const int32_t id = follower(distance);
    if (!in_row(id, row_size) || longest[static_cast<size_t>(id)] == 0) continue;
    const int32_t excess = longest[static_cast<size_t>(id)] - parameters.dry_allowed_length;
    const double penalty = static_cast<double>(parameters.dry_multiplier) *
                           std::pow(static_cast<double>(parameters.dry_base), static_cast<double>(excess));
    state.adjust(id, [&](float logit) { return logit - static_cast<float>(std::min(penalty, kPenaltyMax)); });
    longest[static_cast<size_t>(id)] = 0;
  }
  return state.changed();
}

}  // namespace fastserve
