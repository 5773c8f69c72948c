// Submits equal requests while the engine is paused, so that all begin in one step, and times them by the engine's
// own clock: how soon this program polls does not show in the result.
#include "bench_load.h"

#include <algorithm>
#include <chrono>

#include "terminal.h"

namespace fastserve::cli {

namespace {

using Clock = std::chrono::steady_clock;

struct Timing {  // in seconds since the first submit
  double first_token = 0;
  double end = 0;
  uint32_t generated = 0;
};

// Token ids that look random and are the same in every run: a linear congruential sequence over the vocabulary.
std::vector<int32_t> fixed_tokens(uint32_t vocabulary, uint32_t count, uint64_t seed) {
  std::vector<int32_t> ids(count);
  uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
  for (int32_t& id : ids) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    id = static_cast<int32_t>((state >> 33) % vocabulary);
  }
  return ids;
}

class PausedEngine {  // resumes when it goes out of scope, whatever happened
 public:
  explicit PausedEngine(fsv_engine* engine) : engine_(engine) {
    fsv_error error;
    check(fsv_engine_pause(engine_, &error), error);
  }
  ~PausedEngine() { fsv_engine_resume(engine_, nullptr); }
  PausedEngine(const PausedEngine&) = delete;
  PausedEngine& operator=(const PausedEngine&) = delete;

 private:
  fsv_engine* engine_;
};

fsv_request submit(EngineSession& session, const std::vector<int32_t>& prompt, uint32_t max_tokens, uint64_t tag) {
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.token_ids = prompt.data();
  config.token_count = prompt.size();
  config.max_tokens = max_tokens;
  config.ignore_eos = 1;
  config.speculation = FSV_SPECULATION_OFF;  // every token is computed, whatever the text
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0;
  config.sampling = &sampling;
  config.user_data = tag;
  fsv_request request = 0;
  fsv_error error;
  check(fsv_submit_generate(session.engine(), session.model(), &config, &request, &error), error);
  return request;
}

// Runs the requests to their end. Times count from the moment when the engine may begin.
std::vector<Timing> run_together(EngineSession& session, uint32_t streams, uint32_t prompt_tokens,
                                 uint32_t max_tokens) {
  std::vector<fsv_request> requests;
  std::vector<double> waited(streams);  // from each submit to the resume, which the engine's times include
  std::vector<Clock::time_point> submitted;
  {
    const PausedEngine pause(session.engine());
    for (uint32_t i = 0; i < streams; ++i) {
      const auto prompt = fixed_tokens(session.info().vocabulary_size, prompt_tokens, i + 1);
      submitted.push_back(Clock::now());
      requests.push_back(submit(session, prompt, max_tokens, i));
    }
    const auto resumed = Clock::now();
    for (uint32_t i = 0; i < streams; ++i) waited[i] = std::chrono::duration<double>(resumed - submitted[i]).count();
  }
  std::vector<Timing> timings(streams);
  for (uint32_t finished = 0; finished < streams;) {
    for (const fsv_event& event : session.wait_events()) {
      if (event.type != FSV_EVENT_FINISHED) continue;
      if (event.status != FSV_OK) {
        throw Failure(event.status, std::string(event.message ? event.message : "", event.message_size));
      }
      ++finished;
      Timing& timing = timings[event.user_data];
      timing.first_token = static_cast<double>(event.first_token_us) / 1e6 - waited[event.user_data];
      timing.end = static_cast<double>(event.total_us) / 1e6 - waited[event.user_data];
      timing.generated = event.generated_token_count;
    }
    if (interrupted()) {
      session.cancel(requests);
      throw Failure(FSV_ERROR_CANCELLED, "interrupted");
    }
  }
  return timings;
}

double per_second(uint64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

}  // namespace

double measure_prefill(EngineSession& session, uint32_t streams, uint32_t prompt_tokens) {
  double last = 0;
  for (const Timing& timing : run_together(session, streams, prompt_tokens, 1)) {
    last = std::max(last, timing.first_token);
  }
  return per_second(uint64_t{streams} * prompt_tokens, last);
}

double measure_decode(EngineSession& session, uint32_t streams, uint32_t decode_tokens) {
  const std::vector<Timing> timings = run_together(session, streams, 1, decode_tokens + 1);
  double begin = timings.front().first_token, end = 0;
  uint64_t tokens = 0;
  for (const Timing& timing : timings) {
    begin = std::min(begin, timing.first_token);
    end = std::max(end, timing.end);
    tokens += timing.generated - 1;
  }
  return per_second(tokens, end - begin);
}

double median_of(std::vector<double> samples) {
  if (samples.empty()) return 0;
  std::sort(samples.begin(), samples.end());
  const size_t middle = samples.size() / 2;
  return samples.size() % 2 == 1 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2;
}

}  // namespace fastserve::cli
