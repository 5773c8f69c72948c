#include "engine/device_draws.h"

#include <algorithm>

#include "engine/generation.h"

namespace fastserve {
namespace {

// The draw that the CPU makes for this row: guessed tokens before it count as drawn.
kernels::DeviceSampleRow sample_row_of(const LogitRow& row) {
  const Sequence& sequence = *row.sequence;
  const SamplingParameters& parameters = sequence.sampler.parameters();
  const int32_t drawn_before = std::max(0, row.position + 1 - sequence.token_count());
  kernels::DeviceSampleRow sample = {};
  sample.temperature = parameters.temperature;
  sample.top_p = parameters.top_p;
  sample.min_p = parameters.min_p;
  sample.top_k = parameters.top_k;
  sample.seed = parameters.seed;
  sample.stream = parameters.stream;
  sample.draw_index = static_cast<uint64_t>(sequence.generated + drawn_before);
  sample.banned_count = static_cast<uint32_t>(banned_tokens(sequence, drawn_before).size());
  return sample;
}

}  // namespace

bool draws_on_device(const Request& request) {
  const RequestParameters& asked = request.parameters;
  const SamplingParameters& p = asked.sampling;
  const bool tells_tokens_alone = asked.kind == RequestKind::kGenerate && request.beams == nullptr &&
                                  !asked.report_logprobs && asked.logprob_count == 0;
  const bool has_known_stages = p.logit_bias.empty() && !request.first().sampler.needs_history() &&
                                p.top_n_sigma <= 0 && p.typical_p >= 1 && p.xtc_probability <= 0 &&
                                p.dynamic_temperature_range <= 0 && p.order == kDefaultSamplerOrder;
  return tells_tokens_alone && has_known_stages &&
         request.model->tokenizer->end_of_generation_ids().size() <= DeviceStep::kBannedMax;
}

void DeviceDraws::queue(DeviceStream& stream, DeviceStep& step, const Rows& logits, std::span<const LogitRow> rows) {
  is_drawn_.reset();
  std::array<kernels::DeviceSampleRow, DeviceStep::kHeadRowsMax> samples = {};
  std::span<const int32_t> banned;
  const bool has_kernel = stream.kernels().sample != nullptr;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Request& request = *rows[i].sequence->request;
    is_drawn_[i] = has_kernel && draws_on_device(request);
    if (!is_drawn_[i]) continue;
    samples[i] = sample_row_of(rows[i]);
    banned = request.model->tokenizer->end_of_generation_ids();  // the same of all: a step is of one model
  }
  const size_t count = rows.size();
  if (is_drawn_.any()) step.stage_samples(stream, std::span(samples).first(count), banned);
  for (size_t begin = 0, end = 0; begin < count; begin = end) {
    for (end = begin + 1; end < count && is_drawn_[end] == is_drawn_[begin]; ++end) {
    }
    if (is_drawn_[begin]) {
      step.draw(stream, logits, begin, end);
    } else {
      step.fetch_logits(stream, logits, begin, end);
    }
  }
  if (is_drawn_.any()) step.fetch_drawn(stream, count);
}

}  // namespace fastserve
