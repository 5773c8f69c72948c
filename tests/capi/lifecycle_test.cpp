// Lives of engines, models, loads and events: in every order, from several threads, until the last release.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file() {
  static const TemporaryFile file(TinyShape{});
  return file;
}

void threaded(fsv_engine_config& config) {
  config.mode = FSV_MODE_THREADED;
  config.thread_count = 2;
}

size_t entries(const char* folder) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    (void)entry;
    ++count;
  }
  return count;
}

TEST(Lifecycle, FiftyEnginesLeaveNoThreadAndNoFile) {
  {
    Host warm_up(model_file().path(), threaded);
  }
  const size_t threads = entries("/proc/self/task"), files = entries("/proc/self/fd");
  for (int i = 0; i < 50; ++i) {
    Host host(model_file().path(), [i](fsv_engine_config& config) {
      if (i % 2 == 0) threaded(config);
    });
    const fsv_request request = host.generate(random_prompt(1, 5), 1000);
    if (i % 3 == 0) {
      (void)fsv_engine_shutdown(host.engine(), 1000, nullptr);
      host.poll();
      EXPECT_TRUE(host.reply(request).finished);
    }
  }
  EXPECT_EQ(entries("/proc/self/task"), threads);
  EXPECT_EQ(entries("/proc/self/fd"), files);
}

TEST(Lifecycle, TwoLoadsOfAFileAreOneModel) {
  for (const bool is_threaded : {false, true}) {
    Host host([is_threaded](fsv_engine_config& config) {
      if (is_threaded) threaded(config);
    });
    fsv_ticket tickets[2] = {};
    fsv_model* models[2] = {};
    ASSERT_EQ(host.begin_load(model_file().path(), &tickets[0], nullptr), FSV_OK);
    ASSERT_EQ(host.begin_load(model_file().path(), &tickets[1], nullptr), FSV_OK);
    fsv_error error{};
    for (int i : {0, 1}) ASSERT_EQ(host.finish_load(tickets[i], &models[i], &error), FSV_OK) << error.message;
    EXPECT_NE(models[0], models[1]);
    const fsv_memory_stats shared = host.memory();
    EXPECT_EQ(shared.model_count, 1u);
    fsv_model* third = host.load(model_file().path());
    EXPECT_NE(third, nullptr);
    EXPECT_EQ(host.memory().used_bytes, shared.used_bytes);
    const TemporaryFile copy(TinyShape{});
    host.load(copy.path());
    EXPECT_EQ(host.memory().model_count, 2u);
    EXPECT_EQ(host.memory().weight_bytes, 2 * shared.weight_bytes);
    const fsv_request request = host.generate(random_prompt(1, 5), 5, nullptr, models[1]);
    EXPECT_EQ(fsv_model_release(models[0], nullptr), FSV_OK);
    EXPECT_EQ(fsv_model_release(models[1], nullptr), FSV_OK);
    host.run();
    EXPECT_EQ(host.reply(request).ids.size(), 5u);
  }
}

TEST(Lifecycle, AModelReleasedWhileItRunsEndsAfterItsRequests) {
  for (const bool is_threaded : {false, true}) {
    Host host(model_file().path(), [is_threaded](fsv_engine_config& config) {
      if (is_threaded) threaded(config);
    });
    const Reply expected = host.generate_alone(random_prompt(1, 10), 50);
    const fsv_request request = host.generate(random_prompt(1, 10), 50),
                      waiting = host.generate(random_prompt(1, 10), 50);
    if (!is_threaded) host.step(0);
    EXPECT_EQ(fsv_model_release(host.model(), nullptr), FSV_OK);
    const auto prompt = random_prompt(1, 10);
    const GenerateSettings config = Host::generate_config(prompt, 5);
    fsv_request refused = 0;
    EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &refused, nullptr), FSV_ERROR_STALE);
    host.forget_models();
    host.run();
    expect_same(host.reply(request), expected, "released");
    expect_same(host.reply(waiting), expected, "released");
    EXPECT_TRUE(host.wait_until_empty());
    EXPECT_EQ(host.memory().model_count, 0u);
  }
}

// Engine, model, second model handle, with and without a request: released in all orders.
TEST(Lifecycle, ReleasesInEveryOrder) {
  std::vector<int> order = {0, 1, 2};
  do {
    for (const int variant : {0, 1, 2, 3}) {
      const bool is_threaded = variant % 2 == 1, is_busy = variant >= 2;
      Host host(model_file().path(), [&](fsv_engine_config& config) {
        if (is_threaded) threaded(config);
      });
      fsv_model* second = host.load(model_file().path());
      if (is_busy) host.generate(random_prompt(1, 20), 300);
      if (is_busy && !is_threaded) host.step(0);
      for (const int which : order) {
        const fsv_status status = which == 0   ? fsv_engine_release(host.engine(), nullptr)
                                  : which == 1 ? fsv_model_release(host.model(), nullptr)
                                               : fsv_model_release(second, nullptr);
        EXPECT_EQ(status, FSV_OK) << which;
      }
      host.forget_engine();
      host.forget_models();
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

// A model outlives its engine: what needs no engine still works.
TEST(Lifecycle, AModelOutlivesItsEngine) {
  Host host(model_file().path(), threaded);
  EXPECT_EQ(fsv_engine_release(host.engine(), nullptr), FSV_OK);
  host.forget_engine();
  int32_t ids[16];
  size_t count = 0;
  EXPECT_EQ(fsv_tokenize(host.model(), "and the", SIZE_MAX, 0, ids, 16, &count, nullptr), FSV_OK);
  EXPECT_GT(count, 0u);
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  EXPECT_EQ(fsv_model_get_info(host.model(), &info, nullptr), FSV_OK);
  EXPECT_EQ(info.layer_count, 2u);
  EXPECT_EQ(info.vocabulary_size, static_cast<uint32_t>(kTinyVocabulary));
}

TEST(Lifecycle, LoadsAreCancelledAtAnyPoint) {
  TinyShape shape;
  shape.hidden = 256;
  shape.intermediate = 1024;
  shape.layers = 4;
  const TemporaryFile file(shape);
  for (int steps = 0; steps < 12; ++steps) {
    Host host;
    fsv_ticket ticket = 0;
    ASSERT_EQ(host.begin_load(file.path(), &ticket, nullptr), FSV_OK);
    for (int i = 0; i < steps; ++i) host.step(0);
    EXPECT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_OK);
    EXPECT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_ERROR_STALE);
    while (host.step()) {
    }
    EXPECT_EQ(host.memory().used_bytes, 0u) << steps;
    fsv_model* model = nullptr;
    EXPECT_EQ(fsv_ticket_take_model(host.engine(), ticket, &model, nullptr), FSV_ERROR_STALE);
  }
  for (int i = 0; i < 20; ++i) {
    Host host(threaded);
    fsv_ticket ticket = 0;
    ASSERT_EQ(host.begin_load(file.path(), &ticket, nullptr), FSV_OK);
    std::this_thread::sleep_for(std::chrono::microseconds(i * 100));
    EXPECT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_OK);
    EXPECT_TRUE(host.wait_until_empty());
  }
}

// A pumped host that grants no time at all still gets its model, and its tokens.
TEST(Lifecycle, LoadsInStepsOfNothing) {
  Host host;
  fsv_ticket ticket = 0;
  ASSERT_EQ(host.begin_load(model_file().path(), &ticket, nullptr), FSV_OK);
  fsv_ticket_info info;
  fsv_ticket_info_init(&info, sizeof(info));
  int steps = 0;
  do {
    host.step(0);
    ASSERT_EQ(fsv_ticket_get_info(host.engine(), ticket, &info, nullptr), FSV_OK);
  } while (info.state < FSV_TICKET_READY && ++steps < 1000);
  EXPECT_EQ(info.state, static_cast<uint32_t>(FSV_TICKET_READY));
  EXPECT_EQ(info.bytes_done, info.bytes_total);
  EXPECT_GT(info.bytes_total, 0u);
  fsv_model* model = nullptr;
  ASSERT_EQ(fsv_ticket_take_model(host.engine(), ticket, &model, nullptr), FSV_OK);
  EXPECT_EQ(fsv_ticket_take_model(host.engine(), ticket, &model, nullptr), FSV_ERROR_STALE);
  EXPECT_EQ(fsv_ticket_get_info(host.engine(), ticket, &info, nullptr), FSV_ERROR_STALE);
}

TEST(Lifecycle, LoadEventsComeOnceAndFailuresKeepTheirMessage) {
  Host host;
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = "/no/such/file";
  config.path_size = SIZE_MAX;
  config.user_data = 42;
  fsv_ticket ticket = 0;
  ASSERT_EQ(fsv_model_load(host.engine(), &config, &ticket, nullptr), FSV_OK);
  while (host.step()) {
  }
  fsv_event event{};
  size_t count = 0;
  ASSERT_EQ(fsv_poll(host.engine(), &event, sizeof event, 1, &count, nullptr), FSV_OK);
  ASSERT_EQ(count, 1u);
  EXPECT_EQ(event.type, static_cast<uint32_t>(FSV_EVENT_LOAD_FINISHED));
  EXPECT_EQ(event.request, ticket);
  EXPECT_EQ(event.user_data, 42u);
  EXPECT_EQ(event.status, FSV_ERROR_NOT_FOUND);
  fsv_ticket_info info;
  fsv_ticket_info_init(&info, sizeof(info));
  fsv_error error{};
  EXPECT_EQ(fsv_ticket_get_info(host.engine(), ticket, &info, &error), FSV_OK);
  EXPECT_EQ(info.state, static_cast<uint32_t>(FSV_TICKET_FAILED));
  EXPECT_EQ(info.status, FSV_ERROR_NOT_FOUND);
  EXPECT_NE(error.message_size, 0u);
  fsv_model* model = nullptr;
  EXPECT_EQ(fsv_ticket_take_model(host.engine(), ticket, &model, &error), FSV_ERROR_NOT_FOUND);
  // The event's message outlives the ticket, until the next poll.
  EXPECT_NE(std::string(event.message, event.message_size).find("/no/such/file"), std::string::npos);
  EXPECT_EQ(fsv_ticket_take_model(host.engine(), ticket, &model, nullptr), FSV_ERROR_STALE);
  EXPECT_EQ(host.poll(), 0u);
}

// Hosts that take models without ever polling: their events do not pile up and push out those of requests.
TEST(Lifecycle, TicketsThatEndedLeaveNoEvents) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_queued_requests = 4; });
  for (int i = 0; i < 600; ++i) {
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    ASSERT_EQ(host.begin_load("/no/such/file", &ticket, nullptr), FSV_OK);
    ASSERT_EQ(host.finish_load(ticket, &model, nullptr) == FSV_OK, false);
  }
  EXPECT_EQ(host.generate_alone(random_prompt(1, 5), 5).ids.size(), 5u);
}

TEST(Lifecycle, ModesAreKept) {
  Host pumped(model_file().path());
  fsv_error error{};
  EXPECT_EQ(fsv_wait(pumped.engine(), 1000, &error), FSV_ERROR_WRONG_MODE);
  fsv_ticket ticket = 0;
  ASSERT_EQ(pumped.begin_load(model_file().path(), &ticket, nullptr), FSV_OK);
  EXPECT_EQ(fsv_ticket_wait(pumped.engine(), ticket, 1000, &error), FSV_ERROR_WRONG_MODE);
  fsv_model* model = nullptr;
  EXPECT_EQ(fsv_ticket_take_model(pumped.engine(), ticket, &model, &error), FSV_ERROR_WRONG_STATE);
  Host other(model_file().path(), threaded);
  uint32_t more = 0;
  EXPECT_EQ(fsv_engine_step(other.engine(), 1000, &more, &error), FSV_ERROR_WRONG_MODE);
  EXPECT_EQ(fsv_wait(other.engine(), 1000, &error), FSV_ERROR_TIMEOUT);
}

TEST(Lifecycle, OnePumpAtATime) {
  Host host(model_file().path());
  for (uint32_t i = 0; i < 8; ++i) host.generate(random_prompt(i, 100), 200);
  std::atomic<uint32_t> refused{0}, done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        uint32_t more = 0;
        const fsv_status status = fsv_engine_step(host.engine(), 200, &more, nullptr);
        EXPECT_TRUE(status == FSV_OK || status == FSV_ERROR_WRONG_STATE) << status;
        ++(status == FSV_OK ? done : refused);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(done.load(), 0u);
  host.run();
}

TEST(Lifecycle, TheWaitHandleSignalsPendingEvents) {
  Host host(model_file().path());
  intptr_t handle = -1;
  ASSERT_EQ(fsv_wait_handle(host.engine(), &handle, nullptr), FSV_OK);
  auto is_readable = [&] {
    pollfd entry{static_cast<int>(handle), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
  };
  while (host.poll() > 0) {
  }
  EXPECT_FALSE(is_readable());
  host.generate(random_prompt(1, 5), 2);
  while (host.step()) {
  }
  EXPECT_TRUE(is_readable());
  EXPECT_EQ(host.poll(1), 1u);
  EXPECT_TRUE(is_readable());  // FINISHED is still there
  host.poll();
  EXPECT_FALSE(is_readable());
}

TEST(Lifecycle, ShutdownLetsRequestsFinishWithinItsTime) {
  for (const bool is_threaded : {false, true}) {
    Host host(model_file().path(), [is_threaded](fsv_engine_config& config) {
      if (is_threaded) threaded(config);
    });
    const fsv_request quick = host.generate(random_prompt(1, 10), 20);
    EXPECT_EQ(fsv_engine_shutdown(host.engine(), 30000000, nullptr), FSV_OK);
    while (host.poll() > 0) {
    }
    EXPECT_EQ(host.reply(quick).reason, FSV_FINISH_LENGTH);
    EXPECT_EQ(host.reply(quick).ids.size(), 20u);
  }
}

TEST(Lifecycle, AfterShutdownEventsRemainAndCallsAreRefused) {
  for (const bool is_threaded : {false, true}) {
    Host host(model_file().path(), [is_threaded](fsv_engine_config& config) {
      if (is_threaded) threaded(config);
    });
    const fsv_request running = host.generate(random_prompt(1, 10), 400),
                      queued = host.generate(random_prompt(1, 10), 400);
    fsv_ticket ticket = 0;
    if (!is_threaded) {
      for (int i = 0; i < 20; ++i) host.step(0);
      const TemporaryFile other(TinyShape{});
      ASSERT_EQ(host.begin_load(other.path(), &ticket, nullptr), FSV_OK);
    }
    EXPECT_EQ(fsv_engine_shutdown(host.engine(), 0, nullptr), FSV_OK);
    EXPECT_EQ(fsv_engine_shutdown(host.engine(), UINT64_MAX, nullptr), FSV_OK);
    const auto prompt = random_prompt(1, 3);
    const GenerateSettings config = Host::generate_config(prompt, 3);
    fsv_request refused = 0;
    fsv_error error{};
    EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &refused, &error), FSV_ERROR_SHUTDOWN);
    EXPECT_NE(error.message_size, 0u);
    fsv_ticket late = 0;
    EXPECT_EQ(host.begin_load(model_file().path(), &late, &error), FSV_ERROR_SHUTDOWN);
    EXPECT_EQ(host.cancel(running), FSV_ERROR_STALE);
    uint32_t more = 0;
    EXPECT_EQ(fsv_engine_step(host.engine(), 0, &more, nullptr),
              is_threaded ? FSV_ERROR_WRONG_MODE : FSV_ERROR_SHUTDOWN);
    if (ticket != 0) {
      fsv_model* model = nullptr;
      EXPECT_EQ(fsv_ticket_take_model(host.engine(), ticket, &model, &error), FSV_ERROR_SHUTDOWN);
    }
    if (is_threaded) {
      EXPECT_EQ(fsv_wait(host.engine(), 0, nullptr), FSV_OK);
    }
    while (host.poll() > 0) {
    }
    EXPECT_EQ(host.reply(running).reason, FSV_FINISH_SHUTDOWN);
    EXPECT_EQ(host.reply(queued).reason, FSV_FINISH_SHUTDOWN);
    if (is_threaded) {
      EXPECT_EQ(fsv_wait(host.engine(), UINT64_MAX, nullptr), FSV_ERROR_SHUTDOWN);
    }
    EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
  }
}

// Every call from several threads while the engine runs, shuts down and goes.
TEST(Lifecycle, CallsWhileItShutsDown) {
  for (int round = 0; round < 10; ++round) {
    Host host(model_file().path(), threaded);
    fsv_engine* engine = host.engine();
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
      threads.emplace_back([&host, engine, t] {
        const auto prompt = random_prompt(t, 20);
        for (int i = 0; i < 200; ++i) {
          GenerateSettings config = Host::generate_config(prompt, 5);
          fsv_request request = 0;
          if (fsv_submit_generate(engine, host.model(), &config, &request, nullptr) == FSV_OK && i % 3 == 0) {
            (void)fsv_request_cancel(engine, request, nullptr);
          }
          fsv_event events[4];
          size_t count = 0;
          (void)fsv_poll(engine, events, sizeof(fsv_event), 4, &count, nullptr);
          (void)fsv_wait(engine, 100, nullptr);
          fsv_ticket ticket = 0;
          if (i % 20 == 0) (void)host.begin_load(model_file().path(), &ticket, nullptr);
          if (i % 50 == 0) (void)fsv_engine_pause(engine, nullptr);
          if (i % 50 == 1) (void)fsv_engine_resume(engine, nullptr);
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    if (round % 2 == 0) {
      EXPECT_EQ(fsv_engine_shutdown(engine, 500, nullptr), FSV_OK);
    } else {
      EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
    }
    for (std::thread& thread : threads) thread.join();
    if (round % 2 != 0) host.forget_engine();
  }
}

// Several consumers share the events without losing or doubling one.
TEST(Lifecycle, ConcurrentPolls) {
  Host host(model_file().path(), [](fsv_engine_config& config) {
    threaded(config);
    config.max_sequences = 32;
  });
  constexpr uint32_t kRequests = 60, kTokens = 30;
  const auto prompt = random_prompt(1, 10);
  const GenerateSettings config = Host::generate_config(prompt, kTokens);
  std::atomic<uint32_t> finished{0}, tokens{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (finished.load() < kRequests) {
        fsv_event events[8];
        size_t count = 0;
        (void)fsv_wait(host.engine(), 10000, nullptr);
        ASSERT_EQ(fsv_poll(host.engine(), events, sizeof(fsv_event), 8, &count, nullptr), FSV_OK);
        // Only what the events themselves hold: another thread's poll may have recycled the payloads.
        for (size_t i = 0; i < count; ++i) {
          if (events[i].type == FSV_EVENT_TOKENS) tokens += static_cast<uint32_t>(events[i].token_count);
          if (events[i].type == FSV_EVENT_FINISHED) ++finished;
        }
      }
    });
  }
  for (uint32_t i = 0; i < kRequests; ++i) {
    fsv_request request = 0;
    EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, nullptr), FSV_OK);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tokens.load(), kRequests * kTokens);
  EXPECT_EQ(finished.load(), kRequests);
}

TEST(Lifecycle, PauseStopsAndResumeContinues) {
  Host host(model_file().path());
  const Reply expected = host.generate_alone(random_prompt(1, 60), 20);
  const fsv_request request = host.generate(random_prompt(1, 60), 20);
  for (int i = 0; i < 9; ++i) host.step(0);
  ASSERT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
  ASSERT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
  const uint32_t before = host.info(request).generated_token_count;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(host.step(1000));
  EXPECT_EQ(host.info(request).generated_token_count, before);
  ASSERT_EQ(fsv_engine_resume(host.engine(), nullptr), FSV_OK);
  host.run();
  expect_same(host.reply(request), expected, "paused");
}

}  // namespace
}  // namespace fastserve::test
