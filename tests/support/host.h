// A host program over the C ABI: one engine, one or several models, and everything that its requests said.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fastserve.h"

namespace fastserve::test {

// What a request, or one of its choices, said until now.
struct Reply {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  std::vector<fsv_logprob> top;  // ids.size() x top_count
  size_t top_count = 0;
  std::vector<float> logits;
  size_t logit_rows = 0;
  bool finished = false;
  fsv_status status = FSV_OK;
  std::string message;
  fsv_finish_reason reason = FSV_FINISH_NONE;
  uint32_t prompt_count = 0, generated_count = 0, cached_count = 0;
  uint64_t user_data = 0;
  size_t event_count = 0;  // with output
  double cumulative_logprob = 0, score = 0;
  std::vector<Reply> choices;  // of a request; its own output is that of choice 0
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Everything but times and how the output was cut into events.
inline void expect_same(const Reply& got, const Reply& expected, const std::string& what) {
  EXPECT_EQ(got.ids, expected.ids) << what;
  EXPECT_EQ(got.text, expected.text) << what;
  EXPECT_TRUE(same_bits(got.logprobs, expected.logprobs)) << what << ": log-probabilities differ";
  EXPECT_TRUE(same_bits(got.logits, expected.logits)) << what << ": logits differ";
  EXPECT_EQ(got.reason, expected.reason) << what << ": " << got.message;
  EXPECT_EQ(got.status, expected.status) << what << ": " << got.message;
}

inline std::vector<int32_t> random_prompt(uint32_t seed, size_t size, int32_t first = 3, int32_t last = 258) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> id(first, last);
  std::vector<int32_t> prompt(size);
  for (int32_t& token : prompt) token = id(random);
  return prompt;
}

// A generation's settings with the sampling that they point to.
struct GenerateSettings : fsv_generate_config {
  fsv_sampling draw;
  GenerateSettings() {
    fsv_generate_config_init(this, sizeof(fsv_generate_config));
    fsv_sampling_init(&draw, sizeof(draw));
    sampling = &draw;
  }
  GenerateSettings(const GenerateSettings& other) : fsv_generate_config(other), draw(other.draw) {
    if (other.sampling == &other.draw) sampling = &draw;
  }
  GenerateSettings& operator=(const GenerateSettings&) = delete;
};

using EditEngine = std::function<void(fsv_engine_config&)>;
using EditLoad = std::function<void(fsv_load_config&)>;
using EditGenerate = std::function<void(GenerateSettings&)>;

inline fsv_engine_config engine_config(const EditEngine& edit = nullptr) {
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.mode = FSV_MODE_PUMPED;
  config.thread_count = 1;
  config.context_tokens = 512;
  config.max_sequences = 8;
  config.max_batch_tokens = 128;
  if (edit) edit(config);
  return config;
}

class Host {
 public:
  explicit Host(const EditEngine& edit = nullptr) {
    const fsv_engine_config config = engine_config(edit);
    is_pumped_ = config.mode == FSV_MODE_PUMPED;
    EXPECT_EQ(fsv_engine_create(&config, &engine_, &error_), FSV_OK) << error_.message;
  }
  Host(const std::string& path, const EditEngine& edit = nullptr, const EditLoad& edit_load = nullptr) : Host(edit) {
    model_ = load(path, edit_load);
  }
  // Owns an engine that was made otherwise, in pumped mode.
  explicit Host(fsv_engine* engine) : engine_(engine) {}
  ~Host() {
    for (fsv_model* model : loaded_) (void)fsv_model_release(model, nullptr);
    if (engine_ != nullptr) {
      EXPECT_EQ(fsv_engine_release(engine_, &error_), FSV_OK) << error_.message;
    }
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  fsv_engine* engine() const { return engine_; }
  fsv_model* model() const { return model_; }
  // Owns a model that was loaded otherwise, and generates with it.
  void adopt(fsv_model* model) {
    model_ = model;
    loaded_.push_back(model);
  }
  void forget_engine() { engine_ = nullptr; }
  void forget_models() { loaded_.clear(); }

  fsv_status begin_load(const std::string& path, fsv_ticket* ticket, fsv_error* error, const EditLoad& edit = nullptr) {
    fsv_load_config config;
    fsv_load_config_init(&config, sizeof(config));
    config.path = path.c_str();
    config.path_size = path.size();
    if (edit) edit(config);
    return fsv_model_load(engine_, &config, ticket, error);
  }
  // The status of a load that ran to its end.
  fsv_status finish_load(fsv_ticket ticket, fsv_model** model, fsv_error* error) {
    if (is_pumped_) {
      for (uint32_t more = 1; more != 0;) {
        if (fsv_engine_step(engine_, 50000, &more, error) != FSV_OK) return error->status;
      }
    } else if (const fsv_status waited = fsv_ticket_wait(engine_, ticket, 60000000, error); waited != FSV_OK) {
      return waited;
    }
    return fsv_ticket_take_model(engine_, ticket, model, error);
  }
  fsv_model* load(const std::string& path, const EditLoad& edit = nullptr) {
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    EXPECT_EQ(begin_load(path, &ticket, &error_, edit), FSV_OK) << error_.message;
    EXPECT_EQ(finish_load(ticket, &model, &error_), FSV_OK) << error_.message;
    if (model != nullptr) loaded_.push_back(model);
    return model;
  }

  // Its model from now on, as the constructor's.
  fsv_model* load_own(const std::string& path) { return model_ = load(path); }

  // Greedy, with log-probabilities, not ended by end tokens, unless `edit` says otherwise.
  static GenerateSettings generate_config(const std::vector<int32_t>& prompt, uint32_t max_tokens) {
    GenerateSettings config;
    config.token_ids = prompt.data();
    config.token_count = prompt.size();
    config.max_tokens = max_tokens;
    config.report_logprobs = 1;
    config.ignore_eos = 1;
    config.draw.temperature = 0;
    return config;
  }
  fsv_request generate(const std::vector<int32_t>& prompt, uint32_t max_tokens, const EditGenerate& edit = nullptr,
                       fsv_model* model = nullptr) {
    GenerateSettings config = generate_config(prompt, max_tokens);
    if (edit) edit(config);
    fsv_request request = 0;
    EXPECT_EQ(fsv_submit_generate(engine_, model != nullptr ? model : model_, &config, &request, &error_), FSV_OK)
        << error_.message;
    if (request != 0) replies_[request];
    return request;
  }
  fsv_request score(const std::vector<int32_t>& prompt, bool full_logits) {
    fsv_score_config config;
    fsv_score_config_init(&config, sizeof(config));
    config.token_ids = prompt.data();
    config.token_count = prompt.size();
    if (full_logits) config.flags |= FSV_SCORE_FULL_LOGITS;
    fsv_request request = 0;
    EXPECT_EQ(fsv_submit_score(engine_, model_, &config, &request, &error_), FSV_OK) << error_.message;
    if (request != 0) replies_[request];
    return request;
  }

  // One step of a pumped engine; more work left?
  bool step(uint64_t max_us = 1000000) {
    uint32_t more = 0;
    EXPECT_EQ(fsv_engine_step(engine_, max_us, &more, &error_), FSV_OK) << error_.message;
    return more != 0;
  }
  // Takes what is pending; how many events that were.
  size_t poll(size_t capacity = 64) {
    fsv_event events[64];
    size_t count = 0;
    EXPECT_EQ(fsv_poll(engine_, events, sizeof(fsv_event), capacity, &count, &error_), FSV_OK) << error_.message;
    for (size_t i = 0; i < count; ++i) take(events[i]);
    return count;
  }
  bool all_finished() const {
    for (const auto& [request, reply] : replies_) {
      if (!reply.finished) return false;
    }
    return true;
  }
  // Until every request has said its last, or two minutes are over.
  bool run() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (!all_finished()) {
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "requests do not end";
        return false;
      }
      if (is_pumped_) {
        step(20000);
      } else {
        (void)fsv_wait(engine_, 100000, nullptr);
      }
      poll();
    }
    return true;
  }
  // A threaded engine gives back what nobody holds soon after: until all is given back, or a minute is over.
  bool wait_until_empty() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (memory().used_bytes != 0) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  Reply generate_alone(const std::vector<int32_t>& prompt, uint32_t max_tokens, const EditGenerate& edit = nullptr) {
    const fsv_request request = generate(prompt, max_tokens, edit);
    run();
    return replies_[request];
  }
  Reply score_alone(const std::vector<int32_t>& prompt, bool full_logits) {
    const fsv_request request = score(prompt, full_logits);
    run();
    return replies_[request];
  }
  Reply& reply(fsv_request request) { return replies_[request]; }

  fsv_memory_stats memory() {
    fsv_memory_stats stats;
    fsv_memory_stats_init(&stats, sizeof(stats));
    EXPECT_EQ(fsv_memory_get_stats(engine_, &stats, &error_), FSV_OK) << error_.message;
    return stats;
  }
  fsv_metrics metrics() {
    fsv_metrics metrics;
    fsv_metrics_init(&metrics, sizeof(metrics));
    EXPECT_EQ(fsv_metrics_snapshot(engine_, &metrics, &error_), FSV_OK) << error_.message;
    return metrics;
  }
  fsv_request_info info(fsv_request request) {
    fsv_request_info info;
    fsv_request_info_init(&info, sizeof(info));
    EXPECT_EQ(fsv_request_get_info(engine_, request, &info, &error_), FSV_OK) << error_.message;
    return info;
  }
  fsv_status cancel(fsv_request request) { return fsv_request_cancel(engine_, request, &error_); }
  const fsv_error& error() const { return error_; }

 private:
  void take(const fsv_event& event) {
    if (event.type == FSV_EVENT_LOAD_PROGRESS || event.type == FSV_EVENT_LOAD_FINISHED) return;
    if (event.type == FSV_EVENT_MEMORY) return;
    Reply& reply = replies_[event.request];
    if (reply.choices.size() <= event.choice) reply.choices.resize(event.choice + 1);
    EXPECT_FALSE(reply.finished) << "an event after the last one";
    reply.user_data = event.user_data;
    if (event.type == FSV_EVENT_FINISHED) return take_end(event, reply);
    if (event.type == FSV_EVENT_CHOICE_FINISHED) return take_end(event, reply.choices[event.choice]);
    take_output(event, reply.choices[event.choice]);
    if (event.choice == 0) take_output(event, reply);
  }
  static void take_end(const fsv_event& event, Reply& reply) {
    EXPECT_FALSE(reply.finished) << "two ends";
    reply.finished = true;
    reply.status = event.status;
    reply.reason = event.finish_reason;
    reply.message.assign(event.message != nullptr ? event.message : "", event.message_size);
    reply.prompt_count = event.prompt_token_count;
    reply.generated_count = event.generated_token_count;
    reply.cached_count = event.cached_token_count;
    reply.cumulative_logprob = event.cumulative_logprob;
    reply.score = event.score;
  }
  void take_output(const fsv_event& event, Reply& reply) {
    EXPECT_FALSE(reply.finished) << "output after the end";
    ++reply.event_count;
    reply.text.append(event.text, event.text_size);
    reply.ids.insert(reply.ids.end(), event.token_ids, event.token_ids + event.token_count);
    if (event.logprobs != nullptr) {
      reply.logprobs.insert(reply.logprobs.end(), event.logprobs, event.logprobs + event.token_count);
    }
    reply.top_count = event.top_logprob_count;
    const size_t alternatives = event.token_count * event.top_logprob_count;
    reply.top.insert(reply.top.end(), event.top_logprobs, event.top_logprobs + alternatives);
    if (event.logit_row_count == 0) return;
    reply.logit_rows += event.logit_row_count;
    fsv_model_info info;
    fsv_model_info_init(&info, sizeof(info));
    EXPECT_EQ(fsv_model_get_info(model_, &info, &error_), FSV_OK) << error_.message;
    const size_t values = event.logit_row_count * info.vocabulary_size;
    reply.logits.insert(reply.logits.end(), event.logits, event.logits + values);
  }

  bool is_pumped_ = true;
  fsv_engine* engine_ = nullptr;
  fsv_model* model_ = nullptr;
  std::vector<fsv_model*> loaded_;
  std::map<fsv_request, Reply> replies_;
  fsv_error error_{};
};

}  // namespace fastserve::test
