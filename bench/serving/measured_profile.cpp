#include "measured_profile.h"

#include <algorithm>
#include <cmath>

namespace fastserve::serving {
namespace {

struct Observation {
  StepWork work;
  double step_ns = 0;
};

// Streams that decode beside each other; the time from step to step.
Observation measure_decode(Host& host, int32_t streams, int32_t prompt_tokens) {
  constexpr uint64_t kBegin = 8, kEnd = 56, kTokens = 64;
  for (int32_t i = 0; i < streams; ++i) host.submit({prompt_tokens, kTokens, kTokens});
  const auto count = static_cast<uint64_t>(streams);
  const uint64_t before = host.metrics().decode_tokens;
  auto wait_for = [&](uint64_t tokens) {
    while (host.metrics().decode_tokens < before + tokens * count) host.take_events(Host::now_ns() + 50'000'000);
  };
  wait_for(kBegin);
  const uint64_t first_step = host.metrics().steps;
  const int64_t began_ns = Host::now_ns();
  wait_for(kEnd);
  const uint64_t steps = host.metrics().steps - first_step;
  const auto taken_ns = static_cast<double>(Host::now_ns() - began_ns);
  host.run_to_end();
  Observation observed;
  observed.work = {.decode_rows = streams, .context_tokens = streams * (prompt_tokens + int64_t{kBegin + kEnd} / 2)};
  observed.step_ns = taken_ns / static_cast<double>(std::max<uint64_t>(steps, 1));
  return observed;
}

// One prompt in one step, from its submission to its end; the median of some.
Observation measure_prompt(Host& host, int32_t tokens) {
  constexpr size_t kRounds = 9;
  std::vector<int64_t> taken;
  for (size_t i = 0; i < kRounds; ++i) {
    const size_t number = host.submit({tokens, 1, 1});
    host.run_to_end();
    taken.push_back(host.outcome(number).finished_ns);
  }
  std::nth_element(taken.begin(), taken.begin() + kRounds / 2, taken.end());
  Observation observed;
  observed.work.add_prompt(tokens, 0);
  observed.step_ns = static_cast<double>(taken[kRounds / 2]);
  return observed;
}

}  // namespace

MeasuredProfile measure_profile(Host& host, int32_t slots, int32_t batch_tokens) {
  std::vector<Observation> decodes, prompts, long_contexts;
  measure_decode(host, slots, 16);  // to warm up
  for (int32_t streams = 1; streams < slots; streams *= 2) decodes.push_back(measure_decode(host, streams, 16));
  decodes.push_back(measure_decode(host, slots, 16));
  for (const int32_t prompt : {512, 1024}) long_contexts.push_back(measure_decode(host, slots, prompt));
  for (int32_t tokens = 8; tokens <= batch_tokens; tokens *= 2) prompts.push_back(measure_prompt(host, tokens));

  MeasuredProfile measured;
  CostModel fitted;
  for (int round = 0; round < 100; ++round) {
    for (const auto* observations : {&decodes, &prompts, &long_contexts}) {
      for (const Observation& observed : *observations) {
        fitted.observe(observed.work, static_cast<int64_t>(observed.step_ns));
      }
    }
  }
  simulate::CostProfile& profile = measured.profile;
  profile.name = "measured";
  profile.cost = fitted.coefficients();
  profile.kv_tokens = host.kv_tokens();
  profile.max_batch_tokens = batch_tokens;
  auto correct = [&](const std::vector<Observation>& observations, simulate::Correction& correction) {
    for (const Observation& observed : observations) {
      const double error = observed.step_ns - profile.cost.predict_ns(observed.work);
      measured.worst_error = std::max(measured.worst_error, std::abs(error) / observed.step_ns);
      correction.points.emplace_back(observed.work.decode_rows + observed.work.prefill_tokens, error);
    }
  };
  correct(decodes, profile.decode_correction);
  correct(prompts, profile.prefill_correction);
  return measured;
}

}  // namespace fastserve::serving
