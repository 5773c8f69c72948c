// Stop rules. Text that may be the beginning of a stop string is held back until that is decided.
#include "engine/generation.h"

#include <algorithm>

#include "engine/context_slide.h"

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

bool ends_sequence(const Sequence& sequence, int32_t id) {
  const RequestParameters& parameters = sequence.request->parameters;
  if (!parameters.ignore_eos && sequence.request->model->tokenizer->ends_generation(id)) return true;
  const auto& stops = parameters.stop_token_ids;
  return sequence.generated >= static_cast<int32_t>(parameters.min_tokens) &&
         std::find(stops.begin(), stops.end(), id) != stops.end();
}

// Moves what is decided from held_text to the output; true if a stop string was found.
bool release_text(Sequence& sequence) {
  const auto& stops = sequence.request->parameters.stop_strings;
  std::string& held = sequence.held_text;
  const bool may_stop = sequence.generated >= static_cast<int32_t>(sequence.request->parameters.min_tokens);
  const size_t stop_at = may_stop ? find_stop(held, stops) : std::string::npos;
  if (stop_at != std::string::npos) {
    sequence.pending.text.append(held, 0, stop_at);
    held.clear();
    sequence.decoder = StreamDecoder();  // nor does what remains of a code point follow
    return true;
  }
  const size_t decided = held.size() - undecided_bytes(held, stops);
  sequence.pending.text.append(held, 0, decided);
  held.erase(0, decided);
  return false;
}

}  // namespace

std::span<const int32_t> banned_tokens(const Sequence& sequence, int32_t drawn) {
  if (sequence.generated + drawn >= static_cast<int32_t>(sequence.request->parameters.min_tokens)) return {};
  return sequence.request->model->tokenizer->end_of_generation_ids();
}

FinishReason accept_token(Sequence& sequence, const SampleResult& drawn, std::span<const TokenLogprob> top) {
  const RequestParameters& parameters = sequence.request->parameters;
  sequence.tokens.push_back(drawn.token_id);
  ++sequence.generated;
  if (sequence.sampler.needs_history()) sequence.sampler.accept(drawn);  // else nothing is reserved for it
  OutputBuffer& out = sequence.pending;
  out.token_ids.push_back(drawn.token_id);
  if (parameters.report_logprobs) {
    out.logprobs.push_back(drawn.logprob);
    sequence.cumulative_logprob += static_cast<double>(drawn.logprob);
  }
  out.top_logprobs.insert(out.top_logprobs.end(), top.begin(), top.end());

  const bool ends = ends_sequence(sequence, drawn.token_id);
  if (!ends) {
    std::string& target = parameters.stop_strings.empty() ? out.text : sequence.held_text;
    sequence.decoder.push(drawn.token_id, target);
    if (!parameters.stop_strings.empty() && release_text(sequence)) return FinishReason::kStop;
  }
  if (ends) return FinishReason::kStop;
  if (sequence.generated >= static_cast<int32_t>(parameters.max_tokens)) return FinishReason::kLength;
  if (sequence.token_count() < sequence.request->model->context_tokens) return FinishReason::kNone;
  if (!parameters.context_slides) return FinishReason::kLength;
  slide_context(sequence);
  return FinishReason::kNone;
}

void flush_text(Sequence& sequence) {
  sequence.pending.text.append(sequence.held_text);
  sequence.held_text.clear();
  sequence.decoder.finish(sequence.pending.text);
}

}  // namespace fastserve
