// Hands an engine's events to those who wait for them, without a thread of its own: of all threads that wait, one polls
// for everyone. Part of fastserve.hpp.
#pragma once
#include <fastserve.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace fsv {

// A copy of an event; the event itself is gone with the next poll.
struct Event {
  fsv_event numbers{};  // its pointers are null
  std::string text, message;
  std::vector<int32_t> token_ids;
  std::vector<float> logprobs;
  std::vector<fsv_logprob> top_logprobs;  // numbers.top_logprob_count for each token
};

namespace detail {

template <class T>
std::vector<T> copied(const T* values, size_t count) {
  return values == nullptr ? std::vector<T>() : std::vector<T>(values, values + count);
}

inline Event copy_of(const fsv_event& source) {
  Event event;
  event.numbers = source;
  if (source.text != nullptr) event.text.assign(source.text, source.text_size);
  if (source.message != nullptr) event.message.assign(source.message, source.message_size);
  event.token_ids = copied(source.token_ids, source.token_count);
  event.logprobs = copied(source.logprobs, source.token_count);
  event.top_logprobs = copied(source.top_logprobs, source.token_count * source.top_logprob_count);
  event.numbers.text = event.numbers.message = nullptr;
  event.numbers.token_ids = nullptr;
  event.numbers.logprobs = event.numbers.logits = nullptr;
  event.numbers.top_logprobs = nullptr;
  return event;
}

// What one request or load has yet to say. Events name it by its key, which comes back as user_data.
struct Sink {
  uint64_t key = 0;
  std::deque<Event> events;
};

class Pump {
 public:
  using Clock = std::chrono::steady_clock;

  Pump(fsv_engine* engine, bool is_pumped) : engine_(engine), is_pumped_(is_pumped) { sinks_[0] = memory_; }

  // MEMORY events: they bring no key back.
  Sink& memory() { return *memory_; }

  std::shared_ptr<Sink> open() {
    auto sink = std::make_shared<Sink>();
    const std::lock_guard<std::mutex> lock(mutex_);
    sink->key = ++last_key_;
    sinks_[sink->key] = sink;
    return sink;
  }
  void close(const Sink& sink) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sinks_.erase(sink.key);
  }

  // Waits for the next event of `sink`; FSV_ERROR_TIMEOUT after `timeout_us` (UINT64_MAX: never).
  fsv_status next(Sink& sink, uint64_t timeout_us, Event& event, fsv_error& error) {
    const bool is_bounded = timeout_us <= kLongestUs;
    const Clock::time_point deadline = Clock::now() + std::chrono::microseconds(is_bounded ? timeout_us : 0);
    std::unique_lock<std::mutex> lock(mutex_);
    for (bool may_wait = true;;) {
      if (!sink.events.empty()) {
        event = std::move(sink.events.front());
        sink.events.pop_front();
        return FSV_OK;
      }
      if (!may_wait) return timed_out(error);
      if (has_leader_) {
        if (is_bounded) {
          may_wait = changed_.wait_until(lock, deadline) == std::cv_status::no_timeout;
        } else {
          changed_.wait(lock);
        }
        continue;
      }
      has_leader_ = true;
      lock.unlock();
      const fsv_status status = lead(is_bounded ? left_us(deadline) : UINT64_MAX, error);
      lock.lock();
      has_leader_ = false;
      changed_.notify_all();
      if (status != FSV_OK && status != FSV_ERROR_TIMEOUT) return status;
      may_wait = !is_bounded || Clock::now() < deadline;
    }
  }

 private:
  static constexpr uint64_t kLongestUs = UINT64_C(1000000) * 3600 * 24 * 365;
  static constexpr size_t kBatch = 64;

  static fsv_status timed_out(fsv_error& error) {
    static const char text[] = "no event within the time given";
    error.status = FSV_ERROR_TIMEOUT;
    error.message_size = sizeof text - 1;
    std::copy(std::begin(text), std::end(text), error.message);
    return FSV_ERROR_TIMEOUT;
  }

  static uint64_t left_us(Clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now()).count();
    return left > 0 ? static_cast<uint64_t>(left) : 0;
  }

  // Waits for events and hands them out; one thread at a time.
  fsv_status lead(uint64_t timeout_us, fsv_error& error) {
    fsv_status status = FSV_OK;
    if (is_pumped_) {
      uint32_t more = 0;
      status = fsv_engine_step(engine_, 0, &more, &error);
    } else {
      status = fsv_wait(engine_, timeout_us, &error);
    }
    if (status != FSV_OK) return status;
    size_t count = 0;
    status = fsv_poll(engine_, batch_, sizeof(fsv_event), kBatch, &count, &error);
    if (status != FSV_OK) return status;
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < count; ++i) deliver(batch_[i]);
    return FSV_OK;
  }

  void deliver(const fsv_event& event) {
    const auto found = sinks_.find(event.user_data);
    if (found == sinks_.end()) return;  // of a request that was closed before its end
    std::deque<Event>& events = found->second->events;
    Event copy = copy_of(event);
    if (event.type == FSV_EVENT_MEMORY && !events.empty()) {  // one at most, however long nobody asks
      copy.numbers.pressure |= events.back().numbers.pressure;
      events.pop_back();
    }
    events.push_back(std::move(copy));
    if (event.type == FSV_EVENT_FINISHED || event.type == FSV_EVENT_LOAD_FINISHED) sinks_.erase(found);
  }

  fsv_engine* engine_;
  bool is_pumped_;
  fsv_event batch_[kBatch];  // of the leader
  std::mutex mutex_;         // guards what follows
  std::condition_variable changed_;
  bool has_leader_ = false;
  uint64_t last_key_ = 0;
  std::shared_ptr<Sink> memory_ = std::make_shared<Sink>();
  std::unordered_map<uint64_t, std::shared_ptr<Sink>> sinks_;
};

}  // namespace detail
}  // namespace fsv
