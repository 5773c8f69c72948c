// The live memory budget over the C ABI: memory goes and comes while requests run, and no text shows it.
#include <gtest/gtest.h>

#include <fstream>

#include "support/host.h"
#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file(bool has_window) {
  static const TemporaryFile plain{TinyShape{}};
  static const TemporaryFile windowed{[] {
    TinyShape shape;
    shape.architecture = "gemma3";
    shape.layers = 6;
    shape.window = 32;
    return shape;
  }()};
  return has_window ? windowed : plain;
}

// Room for about 4000 tokens, most of what the engine takes.
EditEngine roomy(uint32_t mode = FSV_MODE_PUMPED, uint32_t scheduler = FSV_SCHEDULER_ADAPTIVE) {
  return [=](fsv_engine_config& config) {
    config.mode = mode;
    config.scheduler = scheduler;
    config.max_sequences = 32;
    config.max_batch_tokens = 64;
    config.kv_dtype = FSV_KV_F32;
    config.kv_bytes = uint64_t{2} << 20;
    config.prefix_cache = 1;
  };
}

fsv_status set_budget(Host& host, uint64_t bytes, fsv_error* error = nullptr) {
  return fsv_memory_set_budget(host.engine(), bytes, error);
}
bool is_within_budget(Host& host) {
  const fsv_memory_stats memory = host.memory();
  return memory.budget_bytes == 0 || memory.used_bytes <= memory.budget_bytes;
}
// Lets the engine work until what was asked of it is done.
bool work_until(Host& host, bool is_pumped, const std::function<bool()>& is_done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!is_done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    if (is_pumped) {
      host.step(0);
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    host.poll();
  }
  return true;
}

struct Ask {
  std::vector<int32_t> prompt;
  uint32_t max_tokens;
};

Ask ask_number(uint32_t index) {
  std::mt19937 random(index);
  return {joined(random_prompt(index % 3, 16), random_prompt(100 + index, 1 + random() % 40)),
          static_cast<uint32_t>(20 + random() % 40)};
}
EditGenerate settings(uint32_t index) {
  return [index](GenerateSettings& config) {
    config.priority = static_cast<int32_t>(index % 3);
    if (index % 2 == 0) return;
    config.draw.temperature = 0.9F;
    config.draw.seed = index;
  };
}

// 32 streams all the time, the budget halved and restored a hundred times; every text as in an engine of its own.
void expect_undisturbed(uint32_t mode, uint32_t scheduler, bool has_window) {
  Host host(model_file(has_window).path(), roomy(mode, scheduler));
  const bool is_pumped = mode == FSV_MODE_PUMPED;
  const uint64_t full = host.memory().used_bytes;
  std::vector<fsv_request> requests;
  auto keep_streams = [&] {
    size_t open = 0;
    for (const fsv_request request : requests) open += host.reply(request).finished ? 0 : 1;
    for (; open < 32; ++open) {
      const auto index = static_cast<uint32_t>(requests.size());
      requests.push_back(host.generate(ask_number(index).prompt, ask_number(index).max_tokens, settings(index)));
    }
  };
  for (int round = 0; round < 100; ++round) {
    keep_streams();
    ASSERT_EQ(set_budget(host, full / 2), FSV_OK);
    ASSERT_TRUE(work_until(host, is_pumped, [&] { return is_within_budget(host); })) << "round " << round;
    const uint64_t later = host.metrics().steps + 1;
    ASSERT_TRUE(work_until(host, is_pumped, [&] { return host.metrics().steps >= later || host.all_finished(); }));
    EXPECT_TRUE(is_within_budget(host)) << "round " << round;
    ASSERT_EQ(set_budget(host, round % 2 == 0 ? full : 0), FSV_OK);
    const uint64_t then = host.metrics().steps + 1;
    ASSERT_TRUE(work_until(host, is_pumped, [&] { return host.metrics().steps >= then || host.all_finished(); }));
  }
  ASSERT_TRUE(host.run());
  EXPECT_GT(host.metrics().dropped_requests, 0u);
  Host calm(model_file(has_window).path(), roomy());
  for (uint32_t i = 0; i < requests.size(); ++i) {
    const Reply expected = calm.generate_alone(ask_number(i).prompt, ask_number(i).max_tokens, settings(i));
    expect_same(host.reply(requests[i]), expected, "request " + std::to_string(i));
  }
}

TEST(MemoryBudgetTest, HalvedAndRestoredAHundredTimesInPumpedMode) {
  expect_undisturbed(FSV_MODE_PUMPED, FSV_SCHEDULER_ADAPTIVE, false);
}
TEST(MemoryBudgetTest, HalvedAndRestoredAHundredTimesWithThreads) {
  expect_undisturbed(FSV_MODE_THREADED, FSV_SCHEDULER_ADAPTIVE, false);
}
TEST(MemoryBudgetTest, HalvedAndRestoredAHundredTimesWithWindows) {
  expect_undisturbed(FSV_MODE_PUMPED, FSV_SCHEDULER_MLFQ, true);
}
TEST(MemoryBudgetTest, HalvedAndRestoredAHundredTimesInOrderOfArrival) {
  expect_undisturbed(FSV_MODE_PUMPED, FSV_SCHEDULER_FCFS, false);
}

TEST(MemoryBudgetTest, BelowTheFloorTheOldBudgetHolds) {
  Host host(model_file(false).path(), roomy());
  const fsv_request longest = host.generate(random_prompt(1, 50), 100);
  const fsv_request other = host.generate(random_prompt(2, 40), 80);
  while (host.metrics().decode_tokens < 50) host.step(0);
  const fsv_memory_stats before = host.memory();
  EXPECT_GT(before.floor_bytes, before.weight_bytes + before.activation_bytes + 149 * 512);
  EXPECT_LT(before.floor_bytes, before.used_bytes);
  fsv_error error{};
  EXPECT_EQ(set_budget(host, before.floor_bytes - 1, &error), FSV_ERROR_BUDGET_TOO_SMALL);
  EXPECT_NE(std::string(error.message).find(std::to_string(before.floor_bytes)), std::string::npos) << error.message;
  EXPECT_EQ(host.memory().budget_bytes, 0u);
  ASSERT_EQ(set_budget(host, before.floor_bytes, &error), FSV_OK);
  ASSERT_TRUE(work_until(host, true, [&] { return is_within_budget(host); }));
  // One of the two runs, the other one waits; and what could never run is refused.
  const std::vector<int32_t> large = random_prompt(3, 300);
  const GenerateSettings config = Host::generate_config(large, 212);
  fsv_request request = 0;
  EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, &error), FSV_ERROR_BUDGET_TOO_SMALL);
  EXPECT_NE(std::string(error.message).find("the memory budget leaves"), std::string::npos) << error.message;
  ASSERT_TRUE(host.run());
  Host calm(model_file(false).path(), roomy());
  expect_same(host.reply(longest), calm.generate_alone(random_prompt(1, 50), 100), "the longest");
  expect_same(host.reply(other), calm.generate_alone(random_prompt(2, 40), 80), "the other");
  // With no request left the floor is that of the model, and a later request takes memory again.
  EXPECT_LT(host.memory().floor_bytes, before.floor_bytes);
  ASSERT_EQ(set_budget(host, 0), FSV_OK);
  expect_same(host.generate_alone(large, 212), calm.generate_alone(large, 212), "after");
}

// What costs least goes first: free blocks, then texts that are over, then idle sessions, then who runs.
TEST(MemoryBudgetTest, WhatIsMissedLeastGoesFirst) {
  Host host(model_file(false).path(), roomy());
  TestSession session(host);
  session.turn(random_prompt(1, 200), 50);
  host.generate_alone(random_prompt(2, 300), 20);  // its blocks stay in the prefix cache
  host.generate(random_prompt(3, 60), 400);
  while (host.metrics().decode_tokens < 120) host.step(0);
  auto cached_of_session = [&] {
    fsv_session_info info;
    fsv_session_info_init(&info, sizeof(info));
    EXPECT_EQ(fsv_session_get_info(session.handle(), &info, nullptr), FSV_OK);
    return info.cached_token_count;
  };
  const uint64_t session_tokens = cached_of_session();
  ASSERT_GT(session_tokens, 200u);
  std::vector<std::string> seen;
  auto note = [&](const char* what) {
    if (seen.empty() || seen.back() != what) seen.emplace_back(what);
  };
  fsv_memory_stats last = host.memory();
  while (host.metrics().dropped_requests == 0) {
    const uint64_t floor = host.memory().floor_bytes;
    ASSERT_GT(last.used_bytes, floor) << "who runs is alone: it stays within the floor";
    ASSERT_EQ(set_budget(host, std::max(floor, last.used_bytes - 4096)), FSV_OK);
    ASSERT_TRUE(work_until(host, true, [&] { return is_within_budget(host); }));
    const fsv_memory_stats now = host.memory();
    if (now.kv_bytes < last.kv_bytes) note("free blocks");
    if (now.prefix_block_count < last.prefix_block_count) note("prefixes");
    if (cached_of_session() < session_tokens) note("sessions");
    last = now;
    if (seen.size() > 2 && now.used_bytes <= now.floor_bytes + 64 * 512 * 16) break;
  }
  ASSERT_GE(seen.size(), 3u);
  EXPECT_EQ(seen.front(), "free blocks");
  const auto prefixes = std::find(seen.begin(), seen.end(), "prefixes");
  const auto sessions = std::find(seen.begin(), seen.end(), "sessions");
  EXPECT_LT(prefixes, sessions);
  EXPECT_EQ(host.metrics().dropped_requests, 0u);
  ASSERT_TRUE(host.run());
}

TEST(MemoryBudgetTest, APausedEngineGivesMemoryBack) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Host host(model_file(false).path(), roomy(mode));
    const uint64_t full = host.memory().used_bytes;
    const fsv_request request = host.generate(random_prompt(1, 50), 100);
    ASSERT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
    ASSERT_EQ(set_budget(host, full / 2), FSV_OK);
    ASSERT_TRUE(work_until(host, mode == FSV_MODE_PUMPED, [&] { return is_within_budget(host); }));
    if (mode == FSV_MODE_PUMPED) EXPECT_FALSE(host.reply(request).finished);  // threads may have been quicker
    ASSERT_EQ(fsv_engine_resume(host.engine(), nullptr), FSV_OK);
    ASSERT_TRUE(host.run());
    EXPECT_EQ(host.reply(request).ids.size(), 100u);
  }
}

// Several answers of one request and scores cannot compute again what they told of: they stay, and so do their texts.
TEST(MemoryBudgetTest, WhatCannotBeComputedAgainStays) {
  Host host(model_file(false).path(), roomy());
  auto several = [](GenerateSettings& config) {
    config.choice_count = 3;
    config.draw.temperature = 1;
    config.draw.seed = 5;
  };
  const fsv_request choices = host.generate(random_prompt(1, 70), 60, several);
  const fsv_request score = host.score(random_prompt(2, 400), false);
  std::vector<fsv_request> others;
  for (uint32_t i = 0; i < 8; ++i) others.push_back(host.generate(random_prompt(10 + i, 30), 120));
  while (host.metrics().steps < 4) host.step(0);
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(set_budget(host, host.memory().floor_bytes), FSV_OK);
    ASSERT_TRUE(work_until(host, true, [&] { return is_within_budget(host); }));
    host.step(0);
    host.poll();
    ASSERT_EQ(set_budget(host, 0), FSV_OK);
    host.step(0);
    host.poll();
  }
  ASSERT_TRUE(host.run());
  Host calm(model_file(false).path(), roomy());
  const fsv_request calm_choices = calm.generate(random_prompt(1, 70), 60, several);
  ASSERT_TRUE(calm.run());
  for (size_t i = 0; i < 3; ++i) {
    expect_same(host.reply(choices).choices[i], calm.reply(calm_choices).choices[i], "choice " + std::to_string(i));
  }
  expect_same(host.reply(score), calm.score_alone(random_prompt(2, 400), false), "the score");
  for (uint32_t i = 0; i < 8; ++i) {
    expect_same(host.reply(others[i]), calm.generate_alone(random_prompt(10 + i, 30), 120), "another");
  }
}

TEST(MemoryTrimTest, GivesBackWhatNobodyHolds) {
  Host host(model_file(false).path(), roomy());
  TestSession session(host);
  session.turn(random_prompt(1, 200), 20);
  host.generate_alone(random_prompt(2, 100), 20);
  const fsv_memory_stats before = host.memory();
  ASSERT_EQ(fsv_memory_trim(host.engine(), 0, nullptr), FSV_OK);
  while (host.step(0)) {
  }
  const fsv_memory_stats trimmed = host.memory();
  EXPECT_EQ(trimmed.prefix_block_count, before.prefix_block_count);
  EXPECT_EQ(trimmed.session_kv_bytes, before.session_kv_bytes);
  EXPECT_LT(trimmed.kv_bytes, before.kv_bytes / 2);
  EXPECT_EQ(trimmed.used_bytes, before.used_bytes - (before.kv_bytes - trimmed.kv_bytes));
  EXPECT_EQ(trimmed.peak_kv_bytes, before.kv_bytes);
  ASSERT_EQ(fsv_memory_trim(host.engine(), FSV_TRIM_PREFIXES, nullptr), FSV_OK);
  while (host.step(0)) {
  }
  EXPECT_EQ(host.memory().prefix_block_count, 0u);
  EXPECT_EQ(host.memory().session_kv_bytes, before.session_kv_bytes);
  ASSERT_EQ(fsv_memory_trim(host.engine(), FSV_TRIM_SESSIONS, nullptr), FSV_OK);
  while (host.step(0)) {
  }
  EXPECT_EQ(host.memory().kv_bytes, 0u);
  Host calm(model_file(false).path(), roomy());
  TestSession calm_session(calm);
  calm_session.turn(random_prompt(1, 200), 20);
  expect_same(session.turn(random_prompt(3, 20), 30), calm_session.turn(random_prompt(3, 20), 30), "the next turn");
  EXPECT_GT(host.memory().kv_bytes, 0u);
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * 4096;
}

TEST(MemoryTrimTest, ResidentMemoryFalls) {
  if (resident_bytes() == 0) GTEST_SKIP() << "no /proc/self/statm";
  TinyShape shape;
  shape.hidden = 512;
  shape.kv_heads = shape.heads = 8;
  shape.head_dim = 64;
  shape.layers = 4;  // 16 KiB a token
  const TemporaryFile file(shape);
  Host host(file.path(), [](fsv_engine_config& config) {
    config.kv_dtype = FSV_KV_F32;
    config.context_tokens = 2048;
    config.kv_bytes = uint64_t{64} << 20;
  });
  TestSession session(host);
  session.turn(random_prompt(1, 1000), 1);  // 15 MiB of keys and values
  const uint64_t before = resident_bytes();
  ASSERT_EQ(fsv_memory_trim(host.engine(), FSV_TRIM_SESSIONS, nullptr), FSV_OK);
  while (host.step(0)) {
  }
  EXPECT_LT(resident_bytes() + (uint64_t{12} << 20), before);
}

TEST(MemoryBudgetTest, AnyThreadMayChangeItAtAnyTime) {
  Host host(model_file(false).path(), roomy(FSV_MODE_THREADED));
  const uint64_t full = host.memory().used_bytes;
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t round = 0; !is_over; ++round) {
        if (i < 2) {
          EXPECT_EQ(fsv_memory_set_budget(host.engine(), round % 2 == 0 ? full / 2 : full, nullptr), FSV_OK);
        } else {
          EXPECT_EQ(fsv_memory_trim(host.engine(), FSV_TRIM_PREFIXES, nullptr), FSV_OK);
        }
        fsv_memory_stats stats;
        fsv_memory_stats_init(&stats, sizeof(stats));
        EXPECT_EQ(fsv_memory_get_stats(host.engine(), &stats, nullptr), FSV_OK);
        std::this_thread::yield();
      }
    });
  }
  std::vector<fsv_request> requests;
  for (uint32_t i = 0; i < 24; ++i) {
    requests.push_back(host.generate(ask_number(i).prompt, ask_number(i).max_tokens, settings(i)));
  }
  const bool has_run = host.run();
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(has_run);
  Host calm(model_file(false).path(), roomy());
  for (uint32_t i = 0; i < requests.size(); ++i) {
    const Reply expected = calm.generate_alone(ask_number(i).prompt, ask_number(i).max_tokens, settings(i));
    expect_same(host.reply(requests[i]), expected, "request " + std::to_string(i));
  }
}

TEST(MemoryStatsTest, EachModelAndRequestIsAccountedFor) {
  Host host(model_file(false).path(), roomy());
  fsv_model* second = host.load(model_file(true).path());
  const fsv_request request = host.generate(random_prompt(1, 50), 20);
  host.step(0);
  EXPECT_GE(host.info(request).kv_bytes, 50u * 512);
  uint64_t total = 0, used = 0;
  for (fsv_model* model : {host.model(), second}) {
    fsv_model_memory memory;
    fsv_model_memory_init(&memory, sizeof(memory));
    ASSERT_EQ(fsv_memory_get_model(host.engine(), model, &memory, nullptr), FSV_OK);
    EXPECT_EQ(memory.total_bytes, memory.weight_bytes + memory.kv_bytes + memory.activation_bytes + memory.other_bytes);
    EXPECT_EQ(memory.request_count, model == second ? 0u : 1u);
    total += memory.total_bytes;
    used += memory.kv_block_bytes_used;
  }
  const fsv_memory_stats stats = host.memory();
  EXPECT_EQ(total, stats.used_bytes);
  EXPECT_EQ(used, stats.kv_block_bytes_used);
  EXPECT_GE(stats.peak_weight_bytes, stats.weight_bytes);
  EXPECT_GE(stats.peak_other_bytes, stats.other_bytes);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.info(request).kv_bytes, 0u);
}

TEST(MemoryStatsTest, WrongCallsAreRefused) {
  Host host(model_file(false).path(), roomy()), other;
  fsv_error error{};
  EXPECT_EQ(fsv_memory_set_budget(nullptr, 0, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_memory_trim(host.engine(), 64, &error), FSV_ERROR_INVALID_ARGUMENT);
  fsv_model_memory memory;
  fsv_model_memory_init(&memory, sizeof(memory));
  EXPECT_EQ(fsv_memory_get_model(other.engine(), host.model(), &memory, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_memory_get_model(host.engine(), nullptr, &memory, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_memory_get_model(host.engine(), host.model(), nullptr, &error), FSV_ERROR_INVALID_ARGUMENT);
  ASSERT_EQ(fsv_engine_shutdown(host.engine(), 0, &error), FSV_OK);
  EXPECT_EQ(set_budget(host, 0, &error), FSV_ERROR_SHUTDOWN);
  EXPECT_EQ(fsv_memory_trim(host.engine(), 0, &error), FSV_ERROR_SHUTDOWN);
}

}  // namespace
}  // namespace fastserve::test
