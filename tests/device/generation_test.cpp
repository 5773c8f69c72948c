// A model on a device says what it says on the CPU, bit for bit: the fake device computes with the CPU's kernels, so
// that every difference is the engine's. Its memory faults where the host touches it, and copies from page-locked
// memory are done late, as a device may do them.
#include <bit>
#include <cmath>

#include "device/fake.h"
#include "support/session.h"

namespace fastserve::test {
namespace {

class DeviceGeneration : public OnFakeDevice {};

TinyShape shape_of(uint32_t type, const std::string& architecture = "llama") {
  TinyShape shape;
  shape.type = type;
  shape.architecture = architecture;
  shape.tied = type % 2 == 0;
  shape.window = architecture == "gemma3" ? 24 : 0;
  shape.layers = architecture == "gemma3" ? 7 : 2;
  return shape;
}

// Requests of several kinds at once.
std::vector<Reply> ask_all(Host& host) {
  std::vector<fsv_request> requests;
  for (uint32_t i = 0; i < 5; ++i) {
    requests.push_back(host.generate(random_prompt(i, 3 + 17 * i), 20 + 3 * i, [&](GenerateSettings& config) {
      config.draw.temperature = i % 2 == 0 ? 0.0F : 0.8F;
      config.draw.seed = 7 + i;
    }));
  }
  requests.push_back(host.generate(random_prompt(9, 30), 12, [](GenerateSettings& config) {
    config.choice_count = 3;
    config.draw.temperature = 1;
  }));
  requests.push_back(host.score(random_prompt(11, 70), true));
  host.run();
  std::vector<Reply> replies;
  for (const fsv_request request : requests) replies.push_back(host.reply(request));
  return replies;
}

void expect_all_same(const std::vector<Reply>& got, const std::vector<Reply>& expected, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].status, FSV_OK) << got[i].message;
    expect_same(got[i], expected[i], what + ", request " + std::to_string(i));
    for (size_t c = 0; c < got[i].choices.size(); ++c) {
      EXPECT_EQ(got[i].choices[c].ids, expected[i].choices[c].ids) << what;
    }
  }
}

TEST_F(DeviceGeneration, EveryWeightTypeSaysWhatTheCpuSays) {
  for (const uint32_t type : {kTinyF32, kTinyQ4_0, kTinyQ4_1, kTinyQ8_0, kTinyBf16}) {
    const TemporaryFile file{shape_of(type)};
    Host cpu(file.path()), device(file.path(), on_device());
    expect_all_same(ask_all(device), ask_all(cpu), "type " + std::to_string(type));
  }
}

TEST_F(DeviceGeneration, WindowsAndNormsAroundBlocksToo) {
  const TemporaryFile file{shape_of(kTinyQ8_0, "gemma3")};
  Host cpu(file.path()), device(file.path(), on_device());
  expect_all_same(ask_all(device), ask_all(cpu), "gemma3");
}

TEST_F(DeviceGeneration, EveryKvType) {
  const TemporaryFile file{shape_of(kTinyQ8_0)};
  for (const uint32_t kv : {FSV_KV_F16, FSV_KV_F32, FSV_KV_BF16, FSV_KV_Q8}) {
    auto with_kv = [kv](fsv_engine_config& config) { config.kv_dtype = kv; };
    Host cpu(file.path(), with_kv), device(file.path(), on_device(with_kv));
    expect_all_same(ask_all(device), ask_all(cpu), "kv " + std::to_string(kv));
  }
}

TEST_F(DeviceGeneration, ThreadsChunksAndPrefixesChangeNothing) {
  const TemporaryFile file{shape_of(kTinyQ4_0)};
  Host cpu(file.path());
  const std::vector<Reply> expected = ask_all(cpu);
  auto small = [](fsv_engine_config& config) {
    config.max_batch_tokens = 17;
    config.prefill_chunk_tokens = 5;
    config.max_sequences = 4;
    config.prefix_cache = 1;
  };
  Host chunked(file.path(), on_device(small));
  expect_all_same(ask_all(chunked), expected, "chunks");
  expect_all_same(ask_all(chunked), expected, "chunks, with what is known");
  auto threaded = [](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.thread_count = 3;
  };
  Host threads(file.path(), on_device(threaded));
  expect_all_same(ask_all(threads), expected, "threads");
}

// Grants cut a step into runs of rows and groups of layers.
TEST_F(DeviceGeneration, GrantsChangeNothing) {
  const TemporaryFile file{shape_of(kTinyQ4_0)};
  Host cpu(file.path()), device(file.path(), on_device());
  const Reply expected = cpu.generate_alone(random_prompt(3, 90), 30);
  const fsv_request request = device.generate(random_prompt(3, 90), 30);
  for (uint64_t grant_us = 1; !device.all_finished(); grant_us = grant_us % 400 + 37) {
    device.step(grant_us);
    device.poll();
  }
  expect_same(device.reply(request), expected, "grants");
}

// Caps come after the products: of the columns that were computed, each once, however the head was cut.
TEST_F(DeviceGeneration, CapsAreThoseOfTheLogitsWithoutThem) {
  constexpr float kCap = 2;
  TinyShape shape = shape_of(kTinyQ4_0, "gemma3");
  const TemporaryFile plain_file{shape};
  shape.keys.push_back({"gemma3.final_logit_softcapping", kGgufFloat32, std::bit_cast<uint32_t>(kCap), {}});
  const TemporaryFile file{shape};
  Host plain(plain_file.path()), cpu(file.path()), granted(file.path()), device(file.path(), on_device());
  std::vector<float> expected = plain.score_alone(random_prompt(3, 20), true).logits;
  for (float& logit : expected) logit = kCap * std::tanh(logit / kCap);
  for (Host* host : {&cpu, &granted, &device}) {
    const fsv_request request = host->score(random_prompt(3, 20), true);
    while (!host->all_finished()) {
      host->step(host == &cpu ? 0 : 1);
      host->poll();
    }
    EXPECT_TRUE(same_bits(host->reply(request).logits, expected));
  }
}

TEST_F(DeviceGeneration, ChatsAsOnTheCpu) {
  const TemporaryFile file{shape_of(kTinyQ8_0)};
  Host cpu(file.path()), device(file.path(), on_device());
  std::vector<Reply> replies;
  for (Host* host : {&cpu, &device}) {
    const fsv_chat_message message{"user", 4, "tell me of the sea", SIZE_MAX};
    fsv_chat chat;
    fsv_chat_init(&chat, sizeof(chat));
    chat.messages = &message;
    chat.message_count = 1;
    GenerateSettings config;
    config.max_tokens = 25;
    config.ignore_eos = 1;
    fsv_request request = 0;
    fsv_error error;
    ASSERT_EQ(fsv_submit_chat(host->engine(), host->model(), &chat, &config, &request, &error), FSV_OK)
        << error.message;
    host->reply(request);
    host->run();
    replies.push_back(host->reply(request));
  }
  EXPECT_EQ(replies[1].status, FSV_OK) << replies[1].message;
  EXPECT_FALSE(replies[1].text.empty());
  expect_same(replies[1], replies[0], "chat");
}

// Keys and values that one engine saved are those of another, wherever they lie.
TEST_F(DeviceGeneration, SessionsMoveBetweenCpuAndDevice) {
  const TemporaryFile file{shape_of(kTinyQ8_0)};
  Host cpu(file.path()), device(file.path(), on_device());
  TestSession at_cpu(cpu), at_device(device);
  expect_same(at_device.turn(random_prompt(1, 21), 10), at_cpu.turn(random_prompt(1, 21), 10), "first turn");
  const std::vector<uint8_t> saved = at_device.exported();
  EXPECT_EQ(saved, at_cpu.exported());
  const auto moved_down = TestSession::imported(cpu, saved), moved_up = TestSession::imported(device, saved);
  TestSession fork(at_device, 18);
  const Reply next = at_cpu.turn(random_prompt(2, 9), 14);
  for (TestSession* session : {moved_down.get(), moved_up.get(), &at_device}) {
    const Reply reply = session->turn(random_prompt(2, 9), 14);
    EXPECT_GT(reply.cached_count, 0U);
    expect_same(reply, next, "second turn");
  }
  EXPECT_EQ(fork.turn(random_prompt(4, 5), 6).status, FSV_OK);
}

TEST_F(DeviceGeneration, ACancelBetweenPiecesLeavesTheOthersAlone) {
  const TemporaryFile file{shape_of(kTinyQ4_0)};
  Host cpu(file.path()), device(file.path(), on_device());
  const Reply expected = cpu.generate_alone(random_prompt(5, 40), 20);
  for (int steps = 1; steps < 12; ++steps) {
    const fsv_request cancelled = device.generate(random_prompt(6, 50), 40);
    const fsv_request kept = device.generate(random_prompt(5, 40), 20);
    for (int i = 0; i < steps; ++i) device.step(1);
    ASSERT_EQ(fsv_request_cancel(device.engine(), cancelled, nullptr), FSV_OK);
    device.run();
    EXPECT_EQ(device.reply(cancelled).reason, FSV_FINISH_CANCELLED);
    expect_same(device.reply(kept), expected, "beside a cancel after " + std::to_string(steps));
  }
}

// Every family that runs, from files of another library's writer.
TEST_F(DeviceGeneration, EveryFamilySaysWhatTheCpuSays) {
  for (const char* family : {"gemma2", "gemma3", "gpt2", "llama", "phi3", "qwen2", "qwen3"}) {
    const std::string path = std::string(FASTSERVE_TEST_DATA) + "/gguf_families/" + family + ".gguf.bin";
    Host cpu(path), device(path, on_device());
    const std::vector<int32_t> prompt = random_prompt(8, 40, 3, 40);
    expect_same(device.score_alone(prompt, true), cpu.score_alone(prompt, true), family);
    expect_same(device.generate_alone(prompt, 16), cpu.generate_alone(prompt, 16), family);
  }
}

TEST_F(DeviceGeneration, AnOpWithoutAKernelIsNamed) {
  const std::string path = std::string(FASTSERVE_TEST_DATA) + "/gguf_families/mixtral.gguf.bin";
  Host device(on_device());
  fsv_ticket ticket = 0;
  fsv_model* model = nullptr;
  fsv_error error{};
  ASSERT_EQ(device.begin_load(path, &ticket, &error), FSV_OK) << error.message;
  EXPECT_EQ(device.finish_load(ticket, &model, &error), FSV_ERROR_UNSUPPORTED);
  EXPECT_STREQ(error.message, "this device library has no kernel for route");
  EXPECT_EQ(device.memory().used_bytes, 0U);
}

TEST_F(DeviceGeneration, WithoutADeviceTheStatusSaysWhatIsMissing) {
  fsv_engine_config config = engine_config(on_device());
  fsv_engine* engine = nullptr;
  fsv_error error{};
  fake_device().device_count = 0;
  EXPECT_EQ(fsv_engine_create(&config, &engine, &error), FSV_ERROR_NOT_FOUND);
  EXPECT_STREQ(error.message, "there is no CUDA device 0: this machine has none, or no CUDA driver");
  fake_device().device_count = 1;
  config.device_index = 1;
  EXPECT_EQ(fsv_engine_create(&config, &engine, &error), FSV_ERROR_NOT_FOUND);
  EXPECT_STREQ(error.message, "there is no CUDA device 1; this machine has 1");
}

}  // namespace
}  // namespace fastserve::test
