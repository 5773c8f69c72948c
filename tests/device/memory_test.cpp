// Memory of a device while requests run: the budget is lowered and raised, pools give segments back and take them
// again, and no text shows it.
#include "device/fake.h"

namespace fastserve::test {
namespace {

class DeviceBudget : public OnFakeDevice {};

EditEngine roomy(bool is_on_device) {
  return [is_on_device](fsv_engine_config& config) {
    if (is_on_device) config.device_kind = FSV_DEVICE_CUDA;
    config.max_sequences = 16;
    config.max_batch_tokens = 64;
    config.kv_dtype = FSV_KV_F32;
    config.kv_bytes = uint64_t{2} << 20;
    config.prefix_cache = 1;
  };
}

TEST_F(DeviceBudget, ShrinksAndGrowsUnderRequestsAndNoTextShowsIt) {
  const TemporaryFile file{TinyShape{}};
  auto ask = [](Host& host) {
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 24; ++i) {
      requests.push_back(host.generate(random_prompt(i % 7, 12 + 3 * (i % 7)), 20 + 2 * i));
    }
    return requests;
  };
  Host cpu(file.path(), roomy(false));
  const std::vector<fsv_request> expected = ask(cpu);
  cpu.run();
  for (const bool has_pages : {false, true}) {
    fake_device().has_pages = has_pages;
    Host device(file.path(), roomy(true));
    const uint64_t full = device.memory().used_bytes;
    const std::vector<fsv_request> requests = ask(device);
    int lowered = 0;
    for (int step = 0; !device.all_finished(); ++step) {
      const fsv_memory_stats memory = device.memory();
      if (step % 9 == 0) {
        const uint64_t low = memory.floor_bytes + (full - memory.floor_bytes) / 8;
        lowered += fsv_memory_set_budget(device.engine(), low, nullptr) == FSV_OK ? 1 : 0;
      }
      if (step % 9 == 5) EXPECT_EQ(fsv_memory_set_budget(device.engine(), full, nullptr), FSV_OK);
      device.step(step % 2 == 0 ? 0 : 300);
      device.poll();
    }
    EXPECT_GT(lowered, 3);
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(device.reply(requests[i]).status, FSV_OK) << device.reply(requests[i]).message;
      expect_same(device.reply(requests[i]), cpu.reply(expected[i]), "request " + std::to_string(i));
    }
    ASSERT_EQ(fsv_memory_set_budget(device.engine(), device.memory().floor_bytes, nullptr), FSV_OK);
    for (int i = 0; i < 200; ++i) device.step(0);
    EXPECT_LE(device.memory().used_bytes, device.memory().budget_bytes);
  }
}

// What an estimate says is what a load takes.
TEST_F(DeviceBudget, AnEstimateIsWhatALoadTakes) {
  const TemporaryFile file{TinyShape{}};
  const fsv_engine_config config = engine_config(roomy(true));
  fsv_load_config load;
  fsv_load_config_init(&load, sizeof(load));
  load.path = file.path().c_str();
  load.path_size = SIZE_MAX;
  fsv_memory_estimate estimate;
  fsv_memory_estimate_init(&estimate, sizeof(estimate));
  fsv_error error{};
  ASSERT_EQ(fsv_model_estimate(&load, &config, &estimate, &error), FSV_OK) << error.message;
  Host device(file.path(), roomy(true));
  const fsv_memory_stats memory = device.memory();
  EXPECT_EQ(memory.kv_bytes, estimate.kv_bytes);
  EXPECT_EQ(memory.activation_bytes, estimate.activation_bytes);
  EXPECT_GE(memory.weight_bytes, estimate.weight_bytes);
  EXPECT_LE(memory.weight_bytes, estimate.weight_bytes + 1024) << "angles' frequencies come beside them";
  EXPECT_LE(memory.peak_bytes, estimate.peak_bytes + 4096);
}

}  // namespace
}  // namespace fastserve::test
