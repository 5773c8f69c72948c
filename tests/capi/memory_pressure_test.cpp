// What a host is told where memory is short: first that it is, then what went; and that it can keep what would have
// gone.
#include <gtest/gtest.h>

#include <mutex>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file(uint32_t index) {
  static const auto shape_of = [](uint32_t seed) {
    TinyShape shape;
    shape.hidden = 128;
    shape.heads = 8;
    shape.seed = seed;
    return shape;
  };
  static const TemporaryFile files[2] = {TemporaryFile(shape_of(1)), TemporaryFile(shape_of(2))};
  return files[index];
}

// What the hook is told, and what it does with it.
struct Told {
  std::mutex mutex;
  std::vector<uint32_t> pressures;
  uint64_t budget_bytes = 0;
  fsv_engine* raises = nullptr;  // its budget, when memory is short
  static void hear(void* context, uint32_t pressure, uint64_t used_bytes, uint64_t budget_bytes) {
    auto& told = *static_cast<Told*>(context);
    const std::lock_guard lock(told.mutex);
    told.pressures.push_back(pressure);
    told.budget_bytes = budget_bytes;
    EXPECT_GT(used_bytes, 0u);
    if (told.raises == nullptr || (pressure & FSV_PRESSURE_SHORT) == 0) return;
    EXPECT_EQ(fsv_memory_set_budget(told.raises, 0, nullptr), FSV_OK);
  }
  uint32_t all() {
    const std::lock_guard lock(mutex);
    uint32_t together = 0;
    for (const uint32_t pressure : pressures) together |= pressure;
    return together;
  }
};

EditEngine listening(Told& told, uint32_t mode) {
  return [&told, mode](fsv_engine_config& config) {
    config.mode = mode;
    config.max_sequences = 4;
    config.max_batch_tokens = 64;
    config.kv_bytes = uint64_t{512} << 10;
    config.on_memory = &Told::hear;
    config.on_memory_context = &told;
  };
}

uint32_t state_of(Host& host, fsv_model* model) {
  fsv_model_memory memory;
  fsv_model_memory_init(&memory, sizeof(memory));
  EXPECT_EQ(fsv_memory_get_model(host.engine(), model, &memory, nullptr), FSV_OK);
  return memory.state;
}

TEST(MemoryPressureTest, ShortFirstThenWhatWent) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Told told;
    Host host(model_file(0).path(), listening(told, mode));
    const uint64_t one_bytes = host.memory().used_bytes;
    fsv_model* other = host.load(model_file(1).path());
    (void)host.generate_alone(random_prompt(1, 20), 10);
    EXPECT_EQ(told.all(), 0u);
    ASSERT_EQ(fsv_memory_set_budget(host.engine(), one_bytes, nullptr), FSV_OK);
    for (int i = 0; i < 100000 && (told.all() & FSV_PRESSURE_MODELS) == 0; ++i) {
      if (mode == FSV_MODE_PUMPED) host.step(0);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    const std::lock_guard lock(told.mutex);
    ASSERT_GE(told.pressures.size(), 2u);
    EXPECT_EQ(told.pressures.front(), uint32_t{FSV_PRESSURE_SHORT});
    EXPECT_EQ(told.pressures.back() & FSV_PRESSURE_MODELS, uint32_t{FSV_PRESSURE_MODELS});
    EXPECT_EQ(told.budget_bytes, one_bytes);
    EXPECT_EQ(state_of(host, other), uint32_t{FSV_MODEL_EVICTED});
  }
}

TEST(MemoryPressureTest, AHostThatRaisesTheBudgetKeepsAll) {
  Told told;
  Host host(model_file(0).path(), listening(told, FSV_MODE_PUMPED));
  told.raises = host.engine();
  const uint64_t one_bytes = host.memory().used_bytes;
  fsv_model* other = host.load(model_file(1).path());
  const uint64_t full_bytes = host.memory().used_bytes;
  const fsv_request request = host.generate(random_prompt(1, 20), 20);
  ASSERT_EQ(fsv_memory_set_budget(host.engine(), one_bytes, nullptr), FSV_OK);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(request).ids.size(), 20u);
  EXPECT_EQ(told.all(), uint32_t{FSV_PRESSURE_SHORT});
  EXPECT_EQ(host.memory().used_bytes, full_bytes);
  EXPECT_EQ(state_of(host, other), uint32_t{FSV_MODEL_HERE});
}

// A load that finds too little says so before others pay for it.
TEST(MemoryPressureTest, ALoadThatFindsTooLittle) {
  for (const bool raises : {false, true}) {
    Told told;
    Host host(model_file(0).path(), listening(told, FSV_MODE_PUMPED));
    if (raises) told.raises = host.engine();
    ASSERT_EQ(fsv_memory_set_budget(host.engine(), host.memory().used_bytes * 3 / 2, nullptr), FSV_OK);
    ASSERT_NE(host.load(model_file(1).path()), nullptr);
    EXPECT_EQ(told.all(), raises ? FSV_PRESSURE_SHORT : FSV_PRESSURE_SHORT | FSV_PRESSURE_MODELS);
    EXPECT_EQ(state_of(host, host.model()), raises ? uint32_t{FSV_MODEL_HERE} : uint32_t{FSV_MODEL_EVICTED});
  }
}

}  // namespace
}  // namespace fastserve::test
