// From beams by rank to sequences by slot: the first child of a beam stays in its slot, others take slots of beams that
// have no child.
#include "engine/beams.h"

namespace fastserve {
namespace {

constexpr uint32_t kNoSlot = UINT32_MAX;

bool ends_text(const Request& request, int32_t id) {
  const RequestParameters& parameters = request.parameters;
  if (!parameters.ignore_eos && request.model->tokenizer->ends_generation(id)) return true;
  const auto& stops = parameters.stop_token_ids;
  const bool may_stop = request.beams->length >= parameters.min_tokens;
  return may_stop && std::find(stops.begin(), stops.end(), id) != stops.end();
}

std::span<const int32_t> generated_tokens(const Sequence& sequence) {
  return std::span(sequence.tokens).subspan(static_cast<size_t>(sequence.request->prompt_count()));
}

// `target` becomes what `source` is.
void copy_beam(Sequence& source, Sequence& target) {
  target.tokens.assign(source.tokens.begin(), source.tokens.end());
  target.beam_logprobs.assign(source.beam_logprobs.begin(), source.beam_logprobs.end());
  target.generated = source.generated;
  target.computed = source.request->model->kv.fork(source.kv, target.kv, source.computed);
  if (target.sampler.needs_history()) target.sampler.replace_history(target.tokens);
}

void extend(Sequence& sequence, const BeamSearch::Extension& extension) {
  sequence.tokens.push_back(extension.token_id);
  sequence.beam_logprobs.push_back(extension.logprob);
  ++sequence.generated;
  if (sequence.sampler.needs_history()) sequence.sampler.accept({extension.token_id});
}

void place_beams(Request& request) {
  Beams& beams = *request.beams;
  const std::span<const BeamSearch::Extension> next = beams.search.next();
  beams.next_slots.assign(next.size(), kNoSlot);
  for (Sequence& sequence : request.sequences) sequence.waits_for_prompt = true;
  for (size_t rank = 0; rank < next.size(); ++rank) {
    Sequence& parent = request.sequences[beams.slots[next[rank].beam]];
    if (!parent.waits_for_prompt) continue;  // an earlier child has the slot
    parent.waits_for_prompt = false;
    beams.next_slots[rank] = parent.choice;
  }
  // Before any child grows: later ones copy what the parent was.
  for (size_t rank = 0; rank < next.size(); ++rank) {
    if (beams.next_slots[rank] != kNoSlot) continue;
    const auto free = std::find_if(request.sequences.begin(), request.sequences.end(),
                                   [](const Sequence& sequence) { return sequence.waits_for_prompt; });
    copy_beam(request.sequences[beams.slots[next[rank].beam]], *free);
    free->waits_for_prompt = false;
    beams.next_slots[rank] = free->choice;
  }
  std::swap(beams.slots, beams.next_slots);
  for (size_t rank = 0; rank < next.size(); ++rank) extend(request.sequences[beams.slots[rank]], next[rank]);
}

}  // namespace

void begin_beams(Request& request) {
  const RequestParameters& parameters = request.parameters;
  const size_t end_count = parameters.stop_token_ids.size() +
                           (parameters.ignore_eos ? 0 : request.model->tokenizer->end_of_generation_ids().size());
  const int32_t room = std::max(1, request.model->context_tokens - request.prompt_count());
  const int32_t length_max = std::min(static_cast<int32_t>(parameters.max_tokens), room);
  request.beams = std::make_unique<Beams>(BeamSearch(parameters.beams, length_max, end_count));
  Beams& beams = *request.beams;
  beams.slots.reserve(parameters.beams.beam_count);
  beams.next_slots.reserve(parameters.beams.beam_count);
  beams.views.reserve(parameters.beams.beam_count);
  beams.slots.push_back(0);
  for (Sequence& sequence : request.sequences) {
    sequence.candidates.reserve(beams.search.keep_count());
    sequence.beam_logprobs.reserve(static_cast<size_t>(length_max));
  }
}

bool advance_beams(Sequence& sequence, std::span<const TokenLogprob> candidates) {
  Request& request = *sequence.request;
  Beams& beams = *request.beams;
  sequence.candidates.assign(candidates.begin(), candidates.end());
  beams.views.clear();
  for (const uint32_t slot : beams.slots) {
    const Sequence& beam = request.sequences[slot];
    if (beam.candidates.empty()) return true;  // others are still being computed
    beams.views.push_back({generated_tokens(beam), beam.beam_logprobs, beam.candidates});
  }
  ++beams.length;
  const bool goes_on = beams.search.step(beams.views, [&](int32_t id) { return ends_text(request, id); });
  for (Sequence& beam : request.sequences) beam.candidates.clear();
  if (goes_on) place_beams(request);
  return goes_on;
}

void settle_beams(Request& request) {
  const std::span<const BeamSearch::Text> texts = request.beams->search.ended();
  for (Sequence& sequence : request.sequences) {
    sequence.generated = 0;
    if (sequence.choice >= std::min<size_t>(request.parameters.choice_count, texts.size())) continue;
    const BeamSearch::Text& text = texts[sequence.choice];
    sequence.generated = static_cast<int32_t>(text.tokens.size());
    sequence.cumulative_logprob = text.cumulative_logprob;
    sequence.score = text.score;
    OutputBuffer& out = sequence.pending;
    out.token_ids.assign(text.tokens.begin(), text.tokens.end());
    if (request.parameters.report_logprobs) out.logprobs.assign(text.logprobs.begin(), text.logprobs.end());
    const size_t shown = text.tokens.size() - (text.has_stopped ? 1 : 0);
    for (size_t i = 0; i < shown; ++i) sequence.decoder.push(text.tokens[i], out.text);
  }
}

FinishReason beam_finish_reason(const Sequence& sequence) {
  const std::span<const BeamSearch::Text> texts = sequence.request->beams->search.ended();
  const bool is_wanted = sequence.choice < std::min<size_t>(sequence.request->parameters.choice_count, texts.size());
  const bool is_cut = is_wanted && !texts[sequence.choice].has_stopped;
  return is_cut ? FinishReason::kLength : FinishReason::kStop;
}

}  // namespace fastserve
