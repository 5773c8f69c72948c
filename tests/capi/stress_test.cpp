// Eight host threads call everything at once: no call ends in a defect, every request says its last word once, and
// nothing is left behind. FASTSERVE_STRESS_SECONDS sets how long (of each mode); built for the thread sanitizer, this
// is what it looks at.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

constexpr size_t kThreads = 8;

double stress_seconds() {
  const char* text = std::getenv("FASTSERVE_STRESS_SECONDS");
  return text != nullptr ? std::atof(text) : 1.0;
}

// Handles that threads share without asking each other: any of them may be stale by the time it is used.
template <typename T, size_t kCount>
class Shelf {
 public:
  T look(uint32_t place) const { return places_[place % kCount].load(); }
  // What was there before is the caller's to release.
  T swap(uint32_t place, T value) { return places_[place % kCount].exchange(value); }
  static constexpr size_t size() { return kCount; }

 private:
  std::array<std::atomic<T>, kCount> places_{};
};

class Stress : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    fsv_engine_config config;
    fsv_engine_config_init(&config, sizeof(config));
    config.mode = GetParam();
    config.thread_count = 2;
    config.context_tokens = 256;
    config.max_sequences = 6;
    config.max_batch_tokens = 64;
    config.max_queued_requests = 48;
    config.max_pending_events = 16;
    config.kv_bytes = 1 << 20;  // scarce
    ASSERT_EQ(fsv_engine_create(&config, &engine_, nullptr), FSV_OK);
  }
  void TearDown() override { EXPECT_EQ(fsv_engine_release(engine_, nullptr), FSV_OK); }

  struct Thread {
    std::mt19937 random;
    uint32_t below(uint32_t limit) { return random() % limit; }
  };

  // A status that a right program can get.
  void check(fsv_status status, const char* what) {
    const bool is_defect = status == FSV_ERROR_INTERNAL || status == FSV_ERROR_CORRUPT || status == FSV_ERROR_DEVICE ||
                           status == FSV_ERROR_IO || status == FSV_ERROR_OUT_OF_MEMORY ||
                           status == FSV_ERROR_NOT_FOUND || status == FSV_ERROR_TEMPLATE;
    if (is_defect) ADD_FAILURE() << what << ": " << fsv_status_name(status);
    ++calls_;
  }

  void load(Thread& thread) {
    const uint32_t place = thread.below(tickets_.size());
    if (const fsv_ticket ticket = tickets_.swap(place, 0); ticket != 0) {
      fsv_model* model = nullptr;
      const fsv_status status = fsv_ticket_take_model(engine_, ticket, &model, nullptr);
      if (status == FSV_ERROR_WRONG_STATE) (void)fsv_ticket_cancel(engine_, ticket, nullptr);
      check(status, "take");
      if (model != nullptr) release_model(models_.swap(thread.below(models_.size()), model));
      return;
    }
    fsv_load_config config;
    fsv_load_config_init(&config, sizeof(config));
    config.path = files_[thread.below(2)].path().c_str();
    config.path_size = SIZE_MAX;
    fsv_ticket ticket = 0;
    check(fsv_model_load(engine_, &config, &ticket, nullptr), "load");
    if (const fsv_ticket old = tickets_.swap(place, ticket); old != 0) (void)fsv_ticket_cancel(engine_, old, nullptr);
  }
  void release_model(fsv_model* model) {
    if (model != nullptr) check(fsv_model_release(model, nullptr), "release model");
  }

  void settle(fsv_status status, fsv_request request, Thread& thread, const char* what) {
    check(status, what);
    if (status != FSV_OK) return;
    ++submitted_;
    requests_.swap(thread.below(requests_.size()), request);
  }
  GenerateSettings settings(Thread& thread) {
    GenerateSettings config;
    config.max_tokens = 1 + thread.below(24);
    config.draw.temperature = thread.below(2) == 0 ? 0.0F : 0.9F;
    config.draw.seed = thread.random();
    config.priority = static_cast<int32_t>(thread.below(3));
    config.ignore_eos = thread.below(2);
    if (thread.below(2) == 0) {
      config.session = sessions_.look(thread.random());
      config.session_mode = thread.below(2);
    } else {
      config.choice_count = 1 + thread.below(3);
    }
    return config;
  }
  void generate(Thread& thread) {
    const std::vector<int32_t> prompt = random_prompt(thread.random(), 1 + thread.below(60));
    GenerateSettings config = settings(thread);
    config.token_ids = prompt.data();
    config.token_count = prompt.size();
    fsv_request request = 0;
    fsv_model* model = config.session != nullptr ? nullptr : models_.look(thread.random());
    settle(fsv_submit_generate(engine_, model, &config, &request, nullptr), request, thread, "generate");
  }
  void chat(Thread& thread) {
    const fsv_chat_message messages[] = {{"system", SIZE_MAX, "Be brief.", SIZE_MAX},
                                         {"user", SIZE_MAX, "And?", SIZE_MAX}};
    fsv_chat conversation;
    fsv_chat_init(&conversation, sizeof(conversation));
    conversation.messages = messages;
    conversation.message_count = 2;
    const GenerateSettings config = settings(thread);
    fsv_request request = 0;
    fsv_model* model = config.session != nullptr ? nullptr : models_.look(thread.random());
    settle(fsv_submit_chat(engine_, model, &conversation, &config, &request, nullptr), request, thread, "chat");
  }
  void score(Thread& thread) {
    const std::vector<int32_t> prompt = random_prompt(thread.random(), 2 + thread.below(60));
    fsv_score_config config;
    fsv_score_config_init(&config, sizeof(config));
    config.token_ids = prompt.data();
    config.token_count = prompt.size();
    fsv_request request = 0;
    settle(fsv_submit_score(engine_, models_.look(thread.random()), &config, &request, nullptr), request, thread,
           "score");
  }

  void change_sessions(Thread& thread) {
    const uint32_t place = thread.below(sessions_.size());
    fsv_session* session = sessions_.look(place);
    fsv_session* made = nullptr;
    switch (thread.below(8)) {
      case 0:
        check(fsv_session_create(engine_, models_.look(thread.random()), &made, nullptr), "create session");
        break;
      case 1:
        check(fsv_session_fork(session, thread.below(100), &made, nullptr), "fork");
        break;
      case 2:
        return check(fsv_session_truncate(session, thread.below(60), nullptr), "truncate");
      case 3:
        return check(fsv_session_undo(session, nullptr), "undo");
      case 4:
        if (fsv_session_retain(session, nullptr) == FSV_OK) release_session(session);
        return;
      case 5: {
        int32_t ids[256];
        size_t count = 0;
        return check(fsv_session_get_tokens(session, ids, 256, &count, nullptr), "tokens");
      }
      case 6: {
        fsv_session_info info;
        fsv_session_info_init(&info, sizeof(info));
        return check(fsv_session_get_info(session, &info, nullptr), "session info");
      }
      default:
        return release_session(sessions_.swap(place, nullptr));
    }
    if (made != nullptr) release_session(sessions_.swap(place, made));
  }
  void release_session(fsv_session* session) {
    if (session != nullptr) check(fsv_session_release(session, nullptr), "release session");
  }

  // Payloads belong to the latest poll, so with several pollers only an event's own fields can be read.
  void poll(Thread& thread) {
    fsv_event events[16];
    size_t count = 0;
    check(fsv_poll(engine_, events, sizeof(fsv_event), 1 + thread.below(16), &count, nullptr), "poll");
    for (size_t i = 0; i < count; ++i) {
      if (events[i].type != FSV_EVENT_LOAD_FINISHED) check(events[i].status, "event");
      if (events[i].type == FSV_EVENT_FINISHED) ++finished_;
    }
  }
  void ask(Thread& thread) {
    fsv_metrics metrics;
    fsv_metrics_init(&metrics, sizeof(metrics));
    check(fsv_metrics_snapshot(engine_, &metrics, nullptr), "metrics");
    fsv_memory_stats stats;
    fsv_memory_stats_init(&stats, sizeof(stats));
    check(fsv_memory_get_stats(engine_, &stats, nullptr), "stats");
    fsv_request_info info;
    fsv_request_info_init(&info, sizeof(info));
    check(fsv_request_get_info(engine_, requests_.look(thread.random()), &info, nullptr), "request info");
    fsv_ticket_info ticket;
    fsv_ticket_info_init(&ticket, sizeof(ticket));
    check(fsv_ticket_get_info(engine_, tickets_.look(thread.random()), &ticket, nullptr), "ticket info");
    int32_t ids[64];
    size_t count = 0;
    check(fsv_tokenize(models_.look(thread.random()), "and the rest of it", SIZE_MAX, 0, ids, 64, &count, nullptr),
          "tokenize");
  }
  void advance(Thread& thread) {
    if (GetParam() == FSV_MODE_PUMPED) {
      check(fsv_engine_step(engine_, thread.below(2000), nullptr, nullptr), "step");
    } else {
      check(fsv_wait(engine_, thread.below(2000), nullptr), "wait");
    }
  }
  void hold(Thread& thread) {
    check(fsv_engine_pause(engine_, nullptr), "pause");
    if (thread.below(2) == 0) std::this_thread::yield();
    check(fsv_engine_resume(engine_, nullptr), "resume");
    check(fsv_engine_retain(engine_, nullptr), "retain");
    check(fsv_engine_release(engine_, nullptr), "release");
    if (thread.below(8) != 0) return;
    fsv_engine* other = nullptr;
    fsv_engine_config config;
    fsv_engine_config_init(&config, sizeof(config));
    config.thread_count = 1;
    check(fsv_engine_create(&config, &other, nullptr), "create");
    if (other != nullptr) check(fsv_engine_release(other, nullptr), "release");
  }

  void work(Thread& thread) {
    using Call = void (Stress::*)(Thread&);
    static constexpr Call kCalls[] = {&Stress::load,
                                      &Stress::generate,
                                      &Stress::generate,
                                      &Stress::chat,
                                      &Stress::score,
                                      &Stress::poll,
                                      &Stress::poll,
                                      &Stress::poll,
                                      &Stress::advance,
                                      &Stress::ask,
                                      &Stress::change_sessions,
                                      &Stress::change_sessions,
                                      &Stress::cancel,
                                      &Stress::hold};
    (this->*kCalls[thread.below(std::size(kCalls))])(thread);
  }
  void cancel(Thread& thread) {
    check(fsv_request_cancel(engine_, requests_.look(thread.random()), nullptr), "cancel");
  }

  // Everything that was given out comes back; what runs is polled to its end.
  void settle_all() {
    for (uint32_t i = 0; i < tickets_.size(); ++i) (void)fsv_ticket_cancel(engine_, tickets_.swap(i, 0), nullptr);
    for (uint32_t i = 0; i < sessions_.size(); ++i) release_session(sessions_.swap(i, nullptr));
    Thread thread;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (finished_ < submitted_ && std::chrono::steady_clock::now() < deadline) {
      poll(thread);
      advance(thread);
    }
  }

  const std::array<TemporaryFile, 2> files_{TemporaryFile(TinyShape{}), TemporaryFile([] {
                                              TinyShape shape;
                                              shape.seed = 2;
                                              shape.type = kTinyQ8_0;
                                              return shape;
                                            }())};
  fsv_engine* engine_ = nullptr;
  Shelf<fsv_model*, 4> models_;
  Shelf<fsv_session*, 12> sessions_;
  Shelf<fsv_request, 32> requests_;
  Shelf<fsv_ticket, 3> tickets_;
  std::atomic<uint64_t> submitted_{0}, finished_{0}, calls_{0};
};

TEST_P(Stress, EverythingAtOnce) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(stress_seconds());
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, i, end] {
      Thread thread{std::mt19937(i)};
      while (std::chrono::steady_clock::now() < end) work(thread);
    });
  }
  for (std::thread& thread : threads) thread.join();
  settle_all();
  EXPECT_EQ(finished_, submitted_);
  EXPECT_GT(submitted_, 20u);
  fsv_metrics metrics;
  fsv_metrics_init(&metrics, sizeof(metrics));
  ASSERT_EQ(fsv_metrics_snapshot(engine_, &metrics, nullptr), FSV_OK);
  EXPECT_EQ(metrics.submitted_requests, submitted_);
  EXPECT_EQ(metrics.finished_requests + metrics.cancelled_requests + metrics.failed_requests, submitted_);
  EXPECT_EQ(metrics.failed_requests, 0u);
  EXPECT_GT(metrics.finished_requests, 0u);
  fsv_memory_stats stats;
  fsv_memory_stats_init(&stats, sizeof(stats));
  ASSERT_EQ(fsv_memory_get_stats(engine_, &stats, nullptr), FSV_OK);
  EXPECT_EQ(stats.kv_block_bytes_used, 0u);
  EXPECT_EQ(stats.session_count, 0u);
  for (uint32_t i = 0; i < models_.size(); ++i) release_model(models_.swap(i, nullptr));
  RecordProperty("calls", static_cast<int>(calls_));
}

INSTANTIATE_TEST_SUITE_P(Modes, Stress, testing::Values(FSV_MODE_THREADED, FSV_MODE_PUMPED),
                         [](const auto& mode) { return mode.param == FSV_MODE_THREADED ? "Threaded" : "Pumped"; });

}  // namespace
}  // namespace fastserve::test
