// Every call of the device library fails in turn, over a whole life: statuses alone, all of the device's memory comes
// back, and what does not need the device any more goes on.
#include "device/fake.h"

namespace fastserve::test {
namespace {

class DeviceFault : public OnFakeDevice {
 protected:
  static const TemporaryFile& model_file() {
    static const TemporaryFile file{[] {
      TinyShape shape;
      shape.layers = 1;
      shape.hidden = shape.intermediate = 32;
      shape.heads = shape.kv_heads = 1;
      shape.head_dim = 32;
      shape.type = kTinyQ8_0;
      return shape;
    }()};
    return file;
  }

  // An engine, a model, two requests at once, one after them: whatever fails, fails with a status.
  struct Life {
    fsv_status create = FSV_OK, load = FSV_OK;
    Reply first, second, last;
  };
  static Life live() {
    Life life;
    fsv_engine_config config = engine_config(on_device());
    fsv_error error{};
    fsv_engine* probe = nullptr;
    life.create = fsv_engine_create(&config, &probe, &error);
    if (life.create != FSV_OK) {
      EXPECT_GT(error.message_size, 0U);
      return life;
    }
    Host host(probe);
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    EXPECT_EQ(host.begin_load(model_file().path(), &ticket, &error,
                              [](fsv_load_config& load) { load.flags |= FSV_LOAD_WARM_UP; }),
              FSV_OK);
    life.load = host.finish_load(ticket, &model, &error);
    if (life.load != FSV_OK) {
      EXPECT_GT(error.message_size, 0U);
      EXPECT_EQ(host.memory().used_bytes, 0U);
      return life;
    }
    host.adopt(model);
    const auto draws_there = [](GenerateSettings& settings) { settings.report_logprobs = 0; };
    const fsv_request first = host.generate(random_prompt(1, 20), 4);
    const fsv_request second = host.generate(random_prompt(2, 5), 3, draws_there);
    host.run();
    life.first = host.reply(first);
    life.second = host.reply(second);
    life.last = host.generate_alone(random_prompt(1, 20), 4);
    return life;
  }
};

TEST_F(DeviceFault, EveryCallFailsInTurn) {
  const Life whole = live();
  ASSERT_EQ(whole.last.status, FSV_OK) << whole.last.message;
  const int64_t call_count = fake_device().calls;
  ASSERT_GT(call_count, 100);
  int failed_creates = 0, failed_loads = 0, failed_requests = 0;
  for (const kernels::DeviceResult result :
       {kernels::DeviceResult::kOutOfMemory, kernels::DeviceResult::kInvalid, kernels::DeviceResult::kLost}) {
    for (int64_t call = 1; call <= call_count; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + " fails with " + std::to_string(static_cast<int>(result)));
      reset();
      fake_device().result = static_cast<int32_t>(result);
      fake_device().fail_at = call;
      const Life life = live();
      expect_nothing_left("a life");
      failed_creates += life.create != FSV_OK ? 1 : 0;
      failed_loads += life.load != FSV_OK ? 1 : 0;
      if (life.create != FSV_OK || life.load != FSV_OK) continue;
      for (const Reply* reply : {&life.first, &life.second, &life.last}) {
        failed_requests += reply->status != FSV_OK ? 1 : 0;
        EXPECT_TRUE(reply->finished);
        EXPECT_EQ(reply->status == FSV_OK, reply->message.empty());
      }
      const bool is_lost = result == kernels::DeviceResult::kLost;
      if (life.first.status == FSV_OK) expect_same(life.first, whole.first, "first");
      if (life.second.status == FSV_OK) expect_same(life.second, whole.second, "second");
      // What failed once is over: the next request is served.
      const bool is_first_done = life.first.status == FSV_OK && life.second.status == FSV_OK;
      if (!is_lost && !is_first_done) expect_same(life.last, whole.last, "the next request");
      if (life.last.status == FSV_OK) expect_same(life.last, whole.last, "last");
    }
  }
  EXPECT_GT(failed_creates, 5);
  EXPECT_GT(failed_loads, 20);
  EXPECT_GT(failed_requests, 100);
}

TEST_F(DeviceFault, AFullDeviceRefusesTheLoadAndTheEngineGoesOn) {
  for (const bool has_pages : {false, true}) {
    fake_device().has_pages = has_pages;
    const TemporaryFile other{TinyShape{}};
    Host host(on_device([](fsv_engine_config& config) { config.kv_bytes = uint64_t{64} << 20; }));
    const fsv_model* small = host.load(model_file().path());
    ASSERT_NE(small, nullptr);
    fake_device().memory_bytes = uint64_t{140} << 20;  // room for the weights of another, not for its KV
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    fsv_error error{};
    ASSERT_EQ(host.begin_load(other.path(), &ticket, &error), FSV_OK);
    const uint64_t used_bytes = host.memory().used_bytes;
    EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_OUT_OF_MEMORY) << error.message;
    EXPECT_EQ(host.memory().used_bytes, used_bytes);
    const fsv_request request = host.generate(random_prompt(1, 20), 4, nullptr, const_cast<fsv_model*>(small));
    host.run();
    EXPECT_EQ(host.reply(request).status, FSV_OK) << host.reply(request).message;
    fake_device().memory_bytes = 0;
    EXPECT_NE(host.load(other.path()), nullptr);
  }
}

}  // namespace
}  // namespace fastserve::test
