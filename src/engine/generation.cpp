// Stop rules. Text that may be the beginning of a stop string is held back until that is decided.
#include "engine/generation.h"

#include <algorithm>

namespace fastserve {
namespace {

// Offset of the earliest stop string in `text`, npos if none.
size_t find_stop(const std::string& text, const std::vector<std::string>& stops) {
  size_t earliest = std::string::npos;
  for (const std::string& stop : stops) earliest = std::min(earliest, text.find(stop));
  return earliest;
}

// Bytes at the end of `text` that could still become a stop string.
size_t undecided_bytes(std::string_view text, const std::vector<std::string>& stops) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t size = std::min(text.size(), stop.size() - 1); size > longest; --size) {
      if (text.substr(text.size() - size) == std::string_view(stop).substr(0, size)) {
        longest = size;
        break;
      }
    }
  }
  return longest;
}

bool ends_request(const Request& request, int32_t id) {
  const RequestParameters& parameters = request.parameters;
  if (!parameters.ignore_eos && request.model->tokenizer->ends_generation(id)) return true;
  const auto& stops = parameters.stop_token_ids;
  return request.generated() >= static_cast<int32_t>(parameters.min_tokens) &&
         std::find(stops.begin(), stops.end(), id) != stops.end();
}

// Moves what is decided from held_text to the output; true if a stop string was found.
bool release_text(Request& request) {
  const auto& stops = request.parameters.stop_strings;
  std::string& held = request.held_text;
  const bool may_stop = request.generated() >= static_cast<int32_t>(request.parameters.min_tokens);
  const size_t stop_at = may_stop ? find_stop(held, stops) : std::string::npos;
  if (stop_at != std::string::npos) {
    request.pending.text.append(held, 0, stop_at);
    held.clear();
    request.decoder = StreamDecoder();  // nor does what remains of a code point follow
    return true;
  }
  const size_t decided = held.size() - undecided_bytes(held, stops);
  request.pending.text.append(held, 0, decided);
  held.erase(0, decided);
  return false;
}

}  // namespace

std::span<const int32_t> banned_tokens(const Request& request) {
  if (request.generated() >= static_cast<int32_t>(request.parameters.min_tokens)) return {};
  return request.model->tokenizer->end_of_generation_ids();
}

FinishReason accept_token(Request& request, const SampleResult& drawn, std::span<const TokenLogprob> top) {
  request.tokens.push_back(drawn.token_id);
  if (request.sampler.needs_history()) request.sampler.accept(drawn);  // else nothing is reserved for it
  OutputBuffer& out = request.pending;
  out.token_ids.push_back(drawn.token_id);
  if (request.parameters.report_logprobs) out.logprobs.push_back(drawn.logprob);
  out.top_logprobs.insert(out.top_logprobs.end(), top.begin(), top.end());

  const bool ends = ends_request(request, drawn.token_id);
  if (!ends) {
    std::string& target = request.parameters.stop_strings.empty() ? out.text : request.held_text;
    request.decoder.push(drawn.token_id, target);
    if (!request.parameters.stop_strings.empty() && release_text(request)) return FinishReason::kStop;
  }
  if (ends) return FinishReason::kStop;
  const bool is_full = request.token_count() >= request.model->context_tokens;
  if (is_full || request.generated() >= static_cast<int32_t>(request.parameters.max_tokens)) {
    return FinishReason::kLength;
  }
  return FinishReason::kNone;
}

void flush_text(Request& request) {
  request.pending.text.append(request.held_text);
  request.held_text.clear();
  request.decoder.finish(request.pending.text);
}

}  // namespace fastserve
