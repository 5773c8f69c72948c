// Several models under one budget over the C ABI: they go and come back, and no text shows it.
#include <gtest/gtest.h>

#include "support/host.h"
#include "support/host_files.h"
#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

TinyShape shape_of(uint32_t seed) {
  TinyShape shape;
  shape.hidden = 128;
  shape.heads = 8;
  shape.layers = 4;
  shape.seed = seed;
  return shape;
}
const TemporaryFile& model_file(uint32_t seed) {
  static const TemporaryFile files[3] = {TemporaryFile(shape_of(1)), TemporaryFile(shape_of(2)),
                                         TemporaryFile(shape_of(3))};
  return files[seed];
}

EditEngine with_kv(uint32_t mode, uint64_t budget = 0) {
  return [=](fsv_engine_config& config) {
    config.mode = mode;
    config.max_sequences = 4;
    config.max_batch_tokens = 64;
    config.kv_bytes = uint64_t{512} << 10;
    config.memory_budget_bytes = budget;
    config.memory_events = 1;
  };
}

fsv_model_memory memory_of(Host& host, fsv_model* model) {
  fsv_model_memory memory;
  fsv_model_memory_init(&memory, sizeof(memory));
  EXPECT_EQ(fsv_memory_get_model(host.engine(), model, &memory, nullptr), FSV_OK);
  return memory;
}

// A step may have to end first; in pumped mode memory goes a piece at a time.
void wait_until_gone(Host& host, fsv_model* model, uint32_t mode) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (memory_of(host, model).state != FSV_MODEL_EVICTED && std::chrono::steady_clock::now() < deadline) {
    if (mode == FSV_MODE_PUMPED) host.step(0);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  while (mode == FSV_MODE_PUMPED && host.step(0)) {
  }
}

// What one model takes in all.
uint64_t model_bytes() {
  static const uint64_t bytes = [] {
    Host host(model_file(0).path(), with_kv(FSV_MODE_PUMPED));
    return host.memory().used_bytes;
  }();
  return bytes;
}

std::vector<Reply> expected_of(uint32_t model, uint32_t count) {
  Host host(model_file(model).path(), with_kv(FSV_MODE_PUMPED));
  std::vector<Reply> replies;
  for (uint32_t i = 0; i < count; ++i) replies.push_back(host.generate_alone(random_prompt(i, 20), 20));
  return replies;
}

TEST(ModelEvictionTest, AModelGoesAndComesBackWithItsNextRequest) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Host host(model_file(0).path(), with_kv(mode));
    TestSession session(host);
    const Reply before = session.turn(random_prompt(1, 20), 20);
    const fsv_model_memory full = memory_of(host, host.model());
    ASSERT_EQ(fsv_model_evict(host.engine(), host.model(), nullptr), FSV_OK);
    wait_until_gone(host, host.model(), mode);
    const fsv_model_memory gone = memory_of(host, host.model());
    EXPECT_EQ(gone.state, uint32_t{FSV_MODEL_EVICTED});
    EXPECT_EQ(gone.total_bytes, full.other_bytes);
    EXPECT_EQ(host.memory().used_bytes, full.other_bytes);
    EXPECT_EQ(fsv_model_evict(host.engine(), host.model(), nullptr), FSV_OK);  // it is gone already
    int32_t ids[8];
    size_t count = 0;
    EXPECT_EQ(fsv_tokenize(host.model(), "abc", 3, 0, ids, 8, &count, nullptr), FSV_OK);
    const Reply after = session.turn(random_prompt(2, 10), 20);
    Host calm(model_file(0).path(), with_kv(FSV_MODE_PUMPED));
    TestSession calm_session(calm);
    expect_same(before, calm_session.turn(random_prompt(1, 20), 20), "the first turn");
    expect_same(after, calm_session.turn(random_prompt(2, 10), 20), "the second turn");
    const fsv_model_memory back = memory_of(host, host.model());
    EXPECT_EQ(back.state, uint32_t{FSV_MODEL_HERE});
    EXPECT_EQ(back.weight_bytes, full.weight_bytes);
    EXPECT_EQ(back.activation_bytes, full.activation_bytes);
    EXPECT_EQ(host.metrics().evicted_models, 1u);
    EXPECT_EQ(host.metrics().reloaded_models, 1u);
  }
}

// A budget for one and a half: each load and each request takes the place of the model that was used longest ago.
TEST(ModelEvictionTest, ThreeModelsTakeTurnsUnderABudgetForLess) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    const uint64_t budget = model_bytes() * 3 / 2;
    Host host(model_file(0).path(), with_kv(mode, budget));
    fsv_model* models[] = {host.model(), host.load(model_file(1).path()), host.load(model_file(2).path())};
    ASSERT_NE(models[1], nullptr);
    ASSERT_NE(models[2], nullptr);
    std::vector<std::vector<Reply>> expected;
    for (uint32_t i = 0; i < 3; ++i) expected.push_back(expected_of(i, 4));
    for (uint32_t round = 0; round < 4; ++round) {
      for (uint32_t i = 0; i < 3; ++i) {
        const fsv_request request = host.generate(random_prompt(round, 20), 20, nullptr, models[i]);
        ASSERT_TRUE(host.run());
        expect_same(host.reply(request), expected[i][round], "model " + std::to_string(i));
        EXPECT_LE(host.memory().used_bytes, budget);
      }
    }
    EXPECT_GE(host.metrics().reloaded_models, 6u);
    EXPECT_GE(host.metrics().evicted_models, host.metrics().reloaded_models);
  }
}

// Requests of models that do not fit together, all at once: each is served, in order of arrival.
TEST(ModelEvictionTest, ModelsThatDoNotFitTogetherWaitForEachOther) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Host host(model_file(0).path(), with_kv(mode, model_bytes() * 3 / 2));
    fsv_model* models[] = {host.model(), host.load(model_file(1).path())};
    std::vector<std::vector<Reply>> expected = {expected_of(0, 8), expected_of(1, 8)};
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 16; ++i) {
      requests.push_back(host.generate(random_prompt(i / 2, 20), 20, nullptr, models[i % 2]));
    }
    ASSERT_TRUE(host.run());
    for (uint32_t i = 0; i < 16; ++i) {
      EXPECT_EQ(host.reply(requests[i]).status, FSV_OK) << host.reply(requests[i]).message;
      expect_same(host.reply(requests[i]), expected[i % 2][i / 2], "request " + std::to_string(i));
    }
  }
}

TEST(ModelEvictionTest, WhatCannotComeBackStaysOrSaysWhy) {
  Host host(model_file(0).path(), with_kv(FSV_MODE_PUMPED));
  fsv_error error{};
  fsv_model* pinned = host.load(model_file(1).path(), [](fsv_load_config& config) { config.flags |= FSV_LOAD_PINNED; });
  EXPECT_EQ(fsv_model_evict(host.engine(), pinned, &error), FSV_ERROR_UNSUPPORTED);
  // One that is here already, and shared, is pinned from then on.
  const TemporaryFile shared(shape_of(6));
  fsv_model* first = host.load(shared.path());
  EXPECT_EQ(fsv_model_evict(host.engine(), first, &error), FSV_OK);
  host.load(shared.path(), [](fsv_load_config& config) { config.flags |= FSV_LOAD_PINNED; });
  EXPECT_EQ(fsv_model_evict(host.engine(), first, &error), FSV_ERROR_UNSUPPORTED);
  const fsv_request running = host.generate(random_prompt(1, 20), 30);
  host.step(0);
  EXPECT_EQ(fsv_model_evict(host.engine(), host.model(), &error), FSV_ERROR_WRONG_STATE);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(running).ids.size(), 30u);
  // A file that has become another one's is noticed, and one that is gone.
  const TemporaryFile changing(shape_of(7));
  fsv_model* model = host.load(changing.path());
  ASSERT_EQ(fsv_model_evict(host.engine(), model, &error), FSV_OK);
  wait_until_gone(host, model, FSV_MODE_PUMPED);
  changing.rewrite(tiny_gguf(shape_of(8)));
  const fsv_request other = host.generate(random_prompt(1, 5), 5, nullptr, model);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(other).status, FSV_ERROR_CORRUPT) << host.reply(other).message;
  std::remove(changing.path().c_str());
  const fsv_request missing = host.generate(random_prompt(1, 5), 5, nullptr, model);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(missing).status, FSV_ERROR_NOT_FOUND) << host.reply(missing).message;
  // As it was, it serves again.
  changing.rewrite(tiny_gguf(shape_of(7)));
  const fsv_request again = host.generate(random_prompt(1, 5), 5, nullptr, model);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(again).ids.size(), 5u) << host.reply(again).message;
}

TEST(ModelEvictionTest, ALoweredBudgetTakesIdleModelsBeforeWhoRuns) {
  Host host(model_file(0).path(), with_kv(FSV_MODE_PUMPED));
  fsv_model* idle = host.load(model_file(1).path());
  const fsv_request request = host.generate(random_prompt(1, 20), 100);
  while (host.metrics().decode_tokens < 5) host.step(0);
  const fsv_memory_stats before = host.memory();
  EXPECT_LT(before.floor_bytes, model_bytes());
  ASSERT_EQ(fsv_memory_set_budget(host.engine(), model_bytes(), nullptr), FSV_OK);
  uint32_t told = 0;
  for (int i = 0; i < 200 && host.memory().used_bytes > model_bytes(); ++i) {
    host.step(0);
    fsv_event events[8];
    size_t count = 0;
    ASSERT_EQ(fsv_poll(host.engine(), events, sizeof(fsv_event), 8, &count, nullptr), FSV_OK);
    for (size_t j = 0; j < count; ++j) {
      if (events[j].type != FSV_EVENT_MEMORY) continue;
      told |= events[j].pressure;
      EXPECT_EQ(events[j].bytes_total, model_bytes());
    }
  }
  EXPECT_LE(host.memory().used_bytes, model_bytes());
  EXPECT_EQ(memory_of(host, idle).state, uint32_t{FSV_MODEL_EVICTED});
  EXPECT_EQ(host.metrics().dropped_requests, 0u);
  EXPECT_EQ(told, FSV_PRESSURE_SHORT | FSV_PRESSURE_MODELS);
  (void)fsv_request_cancel(host.engine(), request, nullptr);
  ASSERT_TRUE(host.run());
}

}  // namespace
}  // namespace fastserve::test
