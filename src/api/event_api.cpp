// Events: poll, wait, the wait handle.
#include "api/handles.h"
#include "api/shim.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

static_assert(static_cast<uint32_t>(EventType::kScore) == FSV_EVENT_SCORE);
static_assert(static_cast<uint32_t>(EventType::kLoadFinished) == FSV_EVENT_LOAD_FINISHED);
static_assert(static_cast<uint32_t>(EventType::kChoiceFinished) == FSV_EVENT_CHOICE_FINISHED);
static_assert(static_cast<uint32_t>(EventType::kMemory) == FSV_EVENT_MEMORY);
static_assert(sizeof(fsv_logprob) == sizeof(TokenLogprob) &&
              offsetof(fsv_logprob, logprob) == offsetof(TokenLogprob, logprob));

struct Target {
  unsigned char* events;
  size_t event_size;
};

void fill_output(const EngineEvent& source, fsv_event& event) {
  const OutputBuffer& output = *source.output;
  event.text = output.text.data();
  event.text_size = output.text.size();
  event.token_ids = output.token_ids.data();
  event.token_count = output.token_ids.size();
  if (!output.logprobs.empty()) event.logprobs = output.logprobs.data();
  if (!output.top_logprobs.empty()) {
    event.top_logprobs = reinterpret_cast<const fsv_logprob*>(output.top_logprobs.data());
    event.top_logprob_count = source.top_logprob_count;
  }
  if (!output.logits.empty()) {
    event.logits = output.logits.data();
    event.logit_row_count = output.logits.size() / output.logit_row_size;
  }
}

void deliver(void* context, size_t index, const EngineEvent& source) {
  fsv_event event{};
  event.type = static_cast<uint32_t>(source.type);
  event.request = source.number;
  event.user_data = source.user_data;
  if (source.output != nullptr) fill_output(source, event);
  if (source.status != nullptr) {
    event.status = static_cast<fsv_status>(source.status->code());
    event.message = source.status->message();
    event.message_size = std::strlen(event.message);
  }
  event.finish_reason = static_cast<fsv_finish_reason>(source.finish_reason);
  event.prompt_token_count = source.prompt_count;
  event.generated_token_count = source.generated_count;
  event.cached_token_count = source.cached_count;
  event.bytes_done = source.bytes_done;
  event.bytes_total = source.bytes_total;
  event.queue_us = source.queue_us;
  event.first_token_us = source.first_token_us;
  event.total_us = source.total_us;
  event.choice = source.choice;
  event.cumulative_logprob = source.cumulative_logprob;
  event.score = source.score;
  event.pressure = source.memory_notes;
  const auto& target = *static_cast<Target*>(context);
  std::memcpy(target.events + index * target.event_size, &event, std::min(target.event_size, sizeof(event)));
}

}  // namespace

extern "C" {

fsv_status fsv_poll(fsv_engine* engine, fsv_event* events, size_t event_size, size_t capacity, size_t* count,
                    fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (count == nullptr) return invalid("count is NULL");
    *count = 0;
    if (events == nullptr && capacity > 0) return invalid("events is NULL");
    constexpr size_t kEventSizeMin = offsetof(fsv_event, text), kEventSizeMax = 4096;
    if (event_size < kEventSizeMin || event_size > kEventSizeMax) {
      return invalid(format("event_size is ", event_size, ": pass sizeof(fsv_event)"));
    }
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    Target array{reinterpret_cast<unsigned char*>(events), event_size};
    *count = target->poll(capacity, deliver, &array);
    return {};
  });
}

fsv_status fsv_wait(fsv_engine* engine, uint64_t timeout_us, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->wait(timeout_us);
  });
}

fsv_status fsv_wait_handle(fsv_engine* engine, intptr_t* handle, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (handle == nullptr) return invalid("handle is NULL");
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    *handle = target->wait_handle();
    return {};
  });
}

}  // extern "C"
