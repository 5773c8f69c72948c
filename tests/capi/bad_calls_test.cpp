// Wrong calls: every one is a status with a message, and nothing else happens.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file() {
  static const TemporaryFile file(TinyShape{});
  return file;
}

#define EXPECT_STATUS(expected, call)                                               \
  do {                                                                              \
    fsv_error error{};                                                              \
    EXPECT_EQ((call), (expected)) << error.message;                                 \
    EXPECT_EQ(error.status, (expected));                                            \
    EXPECT_GT(error.message_size, 0u);                                              \
    EXPECT_EQ(std::strlen(error.message), static_cast<size_t>(error.message_size)); \
  } while (false)

fsv_status submit(fsv_engine* engine, fsv_model* model, const fsv_generate_config& config, fsv_error* error) {
  fsv_request request = 1;
  const fsv_status status = fsv_submit_generate(engine, model, &config, &request, error);
  EXPECT_EQ(request == 0, status != FSV_OK);
  return status;
}

template <typename Handle>
Handle* garbage(uintptr_t value) {
  return reinterpret_cast<Handle*>(value);
}

void expect_no_engine(fsv_engine* engine, fsv_status expected) {
  uint32_t more = 0;
  size_t count = 0;
  intptr_t handle = 0;
  fsv_ticket ticket = 0;
  fsv_memory_stats stats;
  fsv_memory_stats_init(&stats, sizeof(stats));
  fsv_metrics metrics;
  fsv_metrics_init(&metrics, sizeof(metrics));
  fsv_request_info info;
  fsv_request_info_init(&info, sizeof(info));
  fsv_ticket_info ticket_info;
  fsv_ticket_info_init(&ticket_info, sizeof(ticket_info));
  fsv_load_config load;
  fsv_load_config_init(&load, sizeof(load));
  load.path = "x";
  load.path_size = 1;
  fsv_model* model = nullptr;
  const auto prompt = random_prompt(1, 3);
  fsv_generate_config generate = Host::generate_config(prompt, 3);
  EXPECT_STATUS(expected, fsv_engine_retain(engine, &error));
  EXPECT_STATUS(expected, fsv_engine_release(engine, &error));
  EXPECT_STATUS(expected, fsv_engine_shutdown(engine, 0, &error));
  EXPECT_STATUS(expected, fsv_engine_step(engine, 0, &more, &error));
  EXPECT_STATUS(expected, fsv_engine_pause(engine, &error));
  EXPECT_STATUS(expected, fsv_engine_resume(engine, &error));
  EXPECT_STATUS(expected, fsv_model_load(engine, &load, &ticket, &error));
  EXPECT_STATUS(expected, fsv_ticket_get_info(engine, 1, &ticket_info, &error));
  EXPECT_STATUS(expected, fsv_ticket_wait(engine, 1, 0, &error));
  EXPECT_STATUS(expected, fsv_ticket_take_model(engine, 1, &model, &error));
  EXPECT_STATUS(expected, fsv_ticket_cancel(engine, 1, &error));
  EXPECT_STATUS(expected, submit(engine, nullptr, generate, &error));
  EXPECT_STATUS(expected, fsv_request_cancel(engine, 1, &error));
  EXPECT_STATUS(expected, fsv_request_get_info(engine, 1, &info, &error));
  EXPECT_STATUS(expected, fsv_poll(engine, nullptr, sizeof(fsv_event), 0, &count, &error));
  EXPECT_STATUS(expected, fsv_wait(engine, 0, &error));
  EXPECT_STATUS(expected, fsv_wait_handle(engine, &handle, &error));
  EXPECT_STATUS(expected, fsv_memory_get_stats(engine, &stats, &error));
  EXPECT_STATUS(expected, fsv_metrics_snapshot(engine, &metrics, &error));
}

void expect_no_model(Host& host, fsv_model* model, fsv_status expected) {
  size_t count = 0;
  uint32_t attributes = 0;
  const int32_t ids[] = {3};
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  const fsv_chat_message message = {"user", 4, "hi", 2};
  const auto prompt = random_prompt(1, 3);
  const fsv_generate_config generate = Host::generate_config(prompt, 3);
  fsv_score_config score;
  fsv_score_config_init(&score, sizeof(score));
  score.token_ids = prompt.data();
  score.token_count = prompt.size();
  fsv_request request = 1;
  EXPECT_STATUS(expected, fsv_model_retain(model, &error));
  EXPECT_STATUS(expected, fsv_model_release(model, &error));
  EXPECT_STATUS(expected, fsv_model_get_info(model, &info, &error));
  EXPECT_STATUS(expected, fsv_tokenize(model, "a", 1, 0, nullptr, 0, &count, &error));
  EXPECT_STATUS(expected, fsv_detokenize(model, ids, 1, 0, nullptr, 0, &count, &error));
  EXPECT_STATUS(expected, fsv_token_get(model, 3, nullptr, 0, &count, &attributes, &error));
  EXPECT_STATUS(expected, fsv_chat_render(model, &message, 1, 0, nullptr, 0, &count, &error));
  EXPECT_STATUS(expected, fsv_chat_tokenize(model, &message, 1, 0, nullptr, 0, &count, &error));
  EXPECT_STATUS(expected, submit(host.engine(), model, generate, &error));
  EXPECT_STATUS(expected, fsv_submit_score(host.engine(), model, &score, &request, &error));
}

TEST(BadHandles, NullForeignAndGarbage) {
  Host host(model_file().path());
  expect_no_engine(nullptr, FSV_ERROR_INVALID_ARGUMENT);
  expect_no_engine(reinterpret_cast<fsv_engine*>(host.model()), FSV_ERROR_INVALID_ARGUMENT);
  expect_no_model(host, nullptr, FSV_ERROR_INVALID_ARGUMENT);
  expect_no_model(host, reinterpret_cast<fsv_model*>(host.engine()), FSV_ERROR_INVALID_ARGUMENT);
  int local = 0;
  for (const uintptr_t value : {uintptr_t{1}, uintptr_t{2}, uintptr_t{0xDEADBEEF}, UINTPTR_MAX, UINTPTR_MAX - 1,
                                reinterpret_cast<uintptr_t>(&local)}) {
    expect_no_engine(garbage<fsv_engine>(value), FSV_ERROR_INVALID_ARGUMENT);
    expect_no_model(host, garbage<fsv_model>(value), FSV_ERROR_INVALID_ARGUMENT);
  }
  EXPECT_EQ(host.generate_alone(random_prompt(1, 5), 3).ids.size(), 3u);
}

TEST(BadHandles, StaleAndDoublyReleased) {
  const fsv_engine_config config = engine_config();
  fsv_engine* engine = nullptr;
  ASSERT_EQ(fsv_engine_create(&config, &engine, nullptr), FSV_OK);
  ASSERT_EQ(fsv_engine_retain(engine, nullptr), FSV_OK);
  EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
  EXPECT_EQ(fsv_engine_pause(engine, nullptr), FSV_OK);  // one reference is left
  EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
  expect_no_engine(engine, FSV_ERROR_STALE);
  Host host(model_file().path());
  fsv_model* model = host.load(model_file().path());
  ASSERT_EQ(fsv_model_retain(model, nullptr), FSV_OK);
  ASSERT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  ASSERT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  expect_no_model(host, model, FSV_ERROR_STALE);
  expect_no_engine(engine, FSV_ERROR_STALE);  // though its place in the table may be another's now
}

TEST(BadHandles, OfAnotherEngine) {
  Host one(model_file().path()), other(model_file().path());
  const auto prompt = random_prompt(1, 5);
  const GenerateSettings config = Host::generate_config(prompt, 3);
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, submit(one.engine(), other.model(), config, &error));
  const fsv_request request = other.generate(prompt, 3);
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_request_cancel(one.engine(), request, &error));
  fsv_request_info info;
  fsv_request_info_init(&info, sizeof(info));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_request_get_info(one.engine(), request, &info, &error));
  fsv_ticket ticket = 0;
  ASSERT_EQ(other.begin_load(model_file().path(), &ticket, nullptr), FSV_OK);
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_ticket_cancel(one.engine(), ticket, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_request_cancel(other.engine(), ticket, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_ticket_cancel(other.engine(), request, &error));
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
    EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_request_cancel(one.engine(), number, &error));
    EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_ticket_cancel(one.engine(), number, &error));
  }
  other.run();
}

TEST(BadArguments, NullOutputs) {
  Host host(model_file().path());
  const auto prompt = random_prompt(1, 5);
  const GenerateSettings config = Host::generate_config(prompt, 3);
  size_t count = 0;
  fsv_event event;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_engine_create(nullptr, nullptr, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_submit_generate(host.engine(), host.model(), &config, nullptr, &error));
  fsv_request request = 0;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT,
                fsv_submit_generate(host.engine(), host.model(), nullptr, &request, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_submit_score(host.engine(), host.model(), nullptr, &request, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_poll(host.engine(), &event, sizeof event, 1, nullptr, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_poll(host.engine(), nullptr, sizeof event, 1, &count, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_poll(host.engine(), &event, 3, 1, &count, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_wait_handle(host.engine(), nullptr, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_memory_get_stats(host.engine(), nullptr, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_metrics_snapshot(host.engine(), nullptr, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_model_get_info(host.model(), nullptr, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_tokenize(host.model(), "a", 1, 0, nullptr, 0, nullptr, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_tokenize(host.model(), nullptr, 1, 0, nullptr, 0, &count, &error));
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_tokenize(host.model(), "a", 1, 0, nullptr, 5, &count, &error));
  EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), nullptr, &request, nullptr), FSV_ERROR_INVALID_ARGUMENT);
  fsv_engine_config_init(nullptr, sizeof(fsv_engine_config));
  fsv_generate_config_init(nullptr, sizeof(fsv_generate_config));
  fsv_sampling_init(nullptr, sizeof(fsv_sampling));
}

TEST(BadArguments, Prompts) {
  Host host(model_file().path());
  GenerateSettings config = Host::generate_config({}, 3);
  config.token_ids = nullptr;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, submit(host.engine(), host.model(), config, &error));
  config.text = "";
  config.text_size = 0;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, submit(host.engine(), host.model(), config, &error));
  config.text = "a\xC3(";
  config.text_size = 3;
  fsv_error invalid{};
  EXPECT_EQ(submit(host.engine(), host.model(), config, &invalid), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(invalid.message).find("byte 1"), std::string::npos) << invalid.message;
  size_t count = 0;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_tokenize(host.model(), "\xFF", 1, 0, nullptr, 0, &count, &error));
  config.text = "fine";
  config.text_size = SIZE_MAX;
  const auto ids = random_prompt(1, 3);
  config.token_ids = ids.data();
  config.token_count = 3;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, submit(host.engine(), host.model(), config, &error));  // both
  config.text = nullptr;
  config.text_size = 0;
  config.token_count = 0;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, submit(host.engine(), host.model(), config, &error));
  for (const int32_t id : {-1, kTinyVocabulary, INT32_MAX, INT32_MIN}) {
    const std::vector<int32_t> bad = {5, id, 5};
    config.token_ids = bad.data();
    config.token_count = 3;
    fsv_error named{};
    EXPECT_EQ(submit(host.engine(), host.model(), config, &named), FSV_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(std::string(named.message).find("index 1"), std::string::npos) << named.message;
    EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_token_get(host.model(), id, nullptr, 0, &count, nullptr, &error));
    EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT,
                  fsv_detokenize(host.model(), bad.data(), 3, 0, nullptr, 0, &count, &error));
  }
  fsv_score_config score;
  fsv_score_config_init(&score, sizeof(score));
  score.token_ids = ids.data();
  score.token_count = 1;
  fsv_request request = 0;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_submit_score(host.engine(), host.model(), &score, &request, &error));
}

TEST(BadArguments, GenerateSettings) {
  Host host(model_file().path());
  const auto prompt = random_prompt(1, 5);
  auto refused = [&](const EditGenerate& edit, fsv_status expected = FSV_ERROR_INVALID_ARGUMENT) {
    GenerateSettings config = Host::generate_config(prompt, 3);
    edit(config);
    EXPECT_STATUS(expected, submit(host.engine(), host.model(), config, &error));
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, infinity, -1.0F}) {
    refused([bad](GenerateSettings& config) { config.draw.temperature = bad; });
  }
  for (const float bad : {nan, -0.5F}) {
    refused([bad](GenerateSettings& config) { config.draw.top_p = bad; });
    refused([bad](GenerateSettings& config) { config.draw.min_p = bad; });
  }
  refused([](GenerateSettings& config) { config.max_tokens = 0; });
  refused([](GenerateSettings& config) { config.min_tokens = 4; });
  refused([](GenerateSettings& config) { config.logprob_count = 21; });
  refused([](GenerateSettings& config) { config.flags = 1U << 30; });
  refused([](GenerateSettings& config) { config.flags = FSV_SCORE_FULL_LOGITS; });
  refused([](GenerateSettings& config) { config.stop_string_count = 1; });
  refused([](GenerateSettings& config) { config.stop_token_count = 1; });
  refused([](GenerateSettings& config) { config.struct_size = 0; });
  refused([](GenerateSettings& config) { config.struct_size = 3; });
  refused([](GenerateSettings& config) { config.struct_size = UINT32_MAX; });
  refused([](GenerateSettings& config) { config.draw.struct_size = 0; });
  refused([](GenerateSettings& config) { config.draw.struct_size = UINT32_MAX; });
  const fsv_string strings[17] = {{"", 0}, {"\xFF", 1}, {nullptr, 5}};
  for (size_t i = 0; i < 3; ++i) {
    refused([&](GenerateSettings& config) {
      config.stop_strings = strings + i;
      config.stop_string_count = 1;
    });
  }
  refused([&](GenerateSettings& config) {
    config.stop_strings = strings;
    config.stop_string_count = 17;
  });
  const std::string long_stop(257, 'a');
  const fsv_string too_long = {long_stop.data(), long_stop.size()};
  refused([&](GenerateSettings& config) {
    config.stop_strings = &too_long;
    config.stop_string_count = 1;
  });
  EXPECT_EQ(host.metrics().submitted_requests, 0u);
}

TEST(BadArguments, EngineSettings) {
  auto refused = [](const EditEngine& edit, fsv_status expected = FSV_ERROR_INVALID_ARGUMENT) {
    const fsv_engine_config config = engine_config(edit);
    fsv_engine* engine = garbage<fsv_engine>(5);
    EXPECT_STATUS(expected, fsv_engine_create(&config, &engine, &error));
    EXPECT_EQ(engine, nullptr);
  };
  refused([](fsv_engine_config& config) { config.struct_size = 0; });
  refused([](fsv_engine_config& config) { config.mode = 2; });
  refused([](fsv_engine_config& config) { config.kernels = 2; });
  refused([](fsv_engine_config& config) { config.kv_dtype = 99; });
  refused([](fsv_engine_config& config) { config.scheduler = 99; });
  refused([](fsv_engine_config& config) { config.thread_count = 100000; });
  refused([](fsv_engine_config& config) { config.max_sequences = UINT32_MAX; });
  refused([](fsv_engine_config& config) { config.max_batch_tokens = UINT32_MAX; });
  refused([](fsv_engine_config& config) { config.max_queued_requests = UINT32_MAX; });
  refused([](fsv_engine_config& config) { config.max_pending_events = UINT32_MAX; });
  refused([](fsv_engine_config& config) { config.context_tokens = UINT32_MAX; });
  refused([](fsv_engine_config& config) { config.kv_bytes = UINT64_MAX; });
  refused([](fsv_engine_config& config) { config.device_kind = 7; });
  refused([](fsv_engine_config& config) { config.device_index = 3; }, FSV_ERROR_NOT_FOUND);
}

// Structs of an older and of a newer program.
TEST(Structs, GrowAtTheEnd) {
  struct Newer {
    fsv_engine_config config;
    uint64_t unknown[2];
  } newer{};
  newer.config = engine_config();
  newer.config.struct_size = sizeof newer;
  fsv_engine* engine = nullptr;
  ASSERT_EQ(fsv_engine_create(&newer.config, &engine, nullptr), FSV_OK);  // what we do not know is zero
  EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
  newer.unknown[1] = 1;
  EXPECT_STATUS(FSV_ERROR_UNSUPPORTED, fsv_engine_create(&newer.config, &engine, &error));
  fsv_engine_config older = engine_config();
  older.struct_size = offsetof(fsv_engine_config, max_queued_requests);
  older.max_queued_requests = UINT32_MAX;  // beyond what the old struct has: not read
  ASSERT_EQ(fsv_engine_create(&older, &engine, nullptr), FSV_OK);

  fsv_memory_stats stats;
  std::memset(&stats, 0xAB, sizeof stats);
  stats.struct_size = offsetof(fsv_memory_stats, kv_bytes);
  ASSERT_EQ(fsv_memory_get_stats(engine, &stats, nullptr), FSV_OK);
  EXPECT_EQ(stats.weight_bytes, 0u);
  EXPECT_EQ(stats.kv_bytes, 0xABABABABABABABABu);  // not the caller's: untouched
  EXPECT_EQ(stats.struct_size, offsetof(fsv_memory_stats, kv_bytes));
  stats.struct_size = 2;
  EXPECT_STATUS(FSV_ERROR_INVALID_ARGUMENT, fsv_memory_get_stats(engine, &stats, &error));
  EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
}

// An older program's events are shorter, a newer one's longer.
TEST(Structs, EventsHaveTheCallersSize) {
  Host host(model_file().path());
  const auto prompt = random_prompt(1, 5);
  const GenerateSettings config = Host::generate_config(prompt, 3);
  for (const size_t size : {offsetof(fsv_event, token_ids), sizeof(fsv_event) + 64}) {
    fsv_request request = 0;
    ASSERT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, nullptr), FSV_OK);
    while (host.step()) {
    }
    std::vector<unsigned char> bytes(size * 3, 0xCD);
    size_t count = 0;
    ASSERT_EQ(fsv_poll(host.engine(), reinterpret_cast<fsv_event*>(bytes.data()), size, 3, &count, nullptr), FSV_OK);
    ASSERT_EQ(count, 2u);
    for (size_t i = 0; i < 2; ++i) {
      uint32_t type = 0;
      uint64_t number = 0;
      std::memcpy(&type, bytes.data() + i * size, sizeof type);
      std::memcpy(&number, bytes.data() + i * size + offsetof(fsv_event, request), sizeof number);
      EXPECT_EQ(type, i == 0 ? FSV_EVENT_TOKENS : FSV_EVENT_FINISHED);
      EXPECT_EQ(number, request);
    }
    EXPECT_EQ(bytes[2 * size], 0xCD);
    host.poll();
  }
}

TEST(Messages, NamesAndCuts) {
  EXPECT_STREQ(fsv_status_name(FSV_ERROR_STALE), "FSV_ERROR_STALE");
  EXPECT_STREQ(fsv_status_name(12345), "unknown");
  EXPECT_STREQ(fsv_finish_reason_name(FSV_FINISH_STOP), "stop");
  EXPECT_STREQ(fsv_finish_reason_name(-1), "unknown");
  Host host;
  std::string path = "/nowhere/";
  for (int i = 0; i < 400; ++i) path += "\xC3\xA9";  // the message is longer than its room
  fsv_ticket ticket = 0;
  fsv_error error{};
  ASSERT_EQ(host.begin_load(path, &ticket, &error), FSV_OK) << error.message;
  fsv_model* model = nullptr;
  EXPECT_NE(host.finish_load(ticket, &model, &error), FSV_OK);
  EXPECT_EQ(std::strlen(error.message), error.message_size);
  EXPECT_LT(error.message_size, FSV_ERROR_MESSAGE_CAPACITY);
  EXPECT_EQ(model, nullptr);
}

}  // namespace
}  // namespace fastserve::test
