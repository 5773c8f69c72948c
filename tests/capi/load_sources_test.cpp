// Loads from memory and through the host's callbacks: the same model as from a path; nothing kept, nothing lost.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/host.h"
#include "support/host_files.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const std::vector<uint8_t>& tiny_bytes() {
  static const std::vector<uint8_t> bytes = tiny_gguf(TinyShape{});
  return bytes;
}

fsv_load_config load_config() {
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  return config;
}

// Loads and answers; what it answered.
Reply answer(Host& host, const fsv_load_config& config) {
  fsv_ticket ticket = 0;
  fsv_error error{};
  EXPECT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_OK) << error.message;
  fsv_model* model = nullptr;
  EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_OK) << error.message;
  if (model == nullptr) return {};
  const fsv_request request = host.generate(random_prompt(1, 20), 10, nullptr, model);
  host.run();
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  return host.reply(request);
}

Reply answer_from_path() {
  const TemporaryFile file(tiny_bytes());
  Host host;
  fsv_load_config config = load_config();
  config.path = file.path().c_str();
  config.path_size = file.path().size();
  return answer(host, config);
}

std::vector<uint8_t> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void count_up(void* counter) { ++*static_cast<std::atomic<int>*>(counter); }

void use_threads(fsv_engine_config& config) {
  config.mode = FSV_MODE_THREADED;
  config.thread_count = 3;
}

TEST(LoadSources, BorrowedBufferIsReleasedOnceAndGivesTheSameModel) {
  const Reply expected = answer_from_path();
  for (const bool is_threaded : {false, true}) {
    std::vector<uint8_t> bytes = tiny_bytes();
    std::atomic<int> releases{0};
    Host host(is_threaded ? EditEngine(use_threads) : EditEngine());
    fsv_load_config config = load_config();
    config.buffer = bytes.data();
    config.buffer_size = bytes.size();
    config.buffer_release = count_up;
    config.buffer_context = &releases;
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    fsv_error error{};
    ASSERT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_OK) << error.message;
    ASSERT_EQ(host.finish_load(ticket, &model, &error), FSV_OK) << error.message;
    EXPECT_EQ(releases, 1) << "once the load has ended";
    std::fill(bytes.begin(), bytes.end(), uint8_t{0xA5});  // the model must not need them any more
    const fsv_request request = host.generate(random_prompt(1, 20), 10, nullptr, model);
    host.run();
    expect_same(host.reply(request), expected, "borrowed");
    EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
    EXPECT_EQ(releases, 1);
  }
}

TEST(LoadSources, CopiedBufferMayGoAtOnce) {
  const Reply expected = answer_from_path();
  Host host;
  std::vector<uint8_t> bytes = tiny_bytes();
  fsv_load_config config = load_config();
  config.flags = FSV_LOAD_COPY_BUFFER;
  config.buffer = bytes.data();
  config.buffer_size = bytes.size();
  fsv_ticket ticket = 0;
  fsv_model* model = nullptr;
  fsv_error error{};
  ASSERT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_OK) << error.message;
  std::fill(bytes.begin(), bytes.end(), uint8_t{0xA5});
  bytes = {};
  ASSERT_EQ(host.finish_load(ticket, &model, &error), FSV_OK) << error.message;
  const fsv_request request = host.generate(random_prompt(1, 20), 10, nullptr, model);
  host.run();
  expect_same(host.reply(request), expected, "copied");
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
}

TEST(LoadSources, OneFileThroughCallbacks) {
  const Reply expected = answer_from_path();
  for (const bool is_threaded : {false, true}) {
    HostFiles files;
    files.files["pack://tiny"] = tiny_bytes();
    const fsv_io io = files.io();
    Host host(is_threaded ? EditEngine(use_threads) : EditEngine());
    fsv_load_config config = load_config();
    config.path = "pack://tiny";
    config.path_size = SIZE_MAX;
    config.io = &io;
    expect_same(answer(host, config), expected, "callbacks");
    EXPECT_EQ(files.open_count, 0);
    EXPECT_EQ(files.release_count, 1);
    EXPECT_GE(files.read_bytes, tiny_bytes().size() / 2);
  }
}

// How a load ends, whatever that is: the same from a path and through callbacks.
fsv_error end_of_load(Host& host, const char* path, const fsv_io* io) {
  fsv_load_config config = load_config();
  config.path = path;
  config.path_size = SIZE_MAX;
  config.io = io;
  fsv_ticket ticket = 0;
  fsv_error error{};
  EXPECT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_OK) << error.message;
  fsv_model* model = nullptr;
  if (host.finish_load(ticket, &model, &error) == FSV_OK) {
    EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  }
  return error;
}

// A folder: every part by its name, here through the engine's own hook.
TEST(LoadSources, FolderThroughCallbacks) {
  const std::filesystem::path folder = std::filesystem::path(FASTSERVE_TEST_DATA) / "hf/mixtral";
  HostFiles files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.files["assets/mixtral/" + entry.path().filename().string()] = read_file(entry.path());
  }
  const fsv_io io = files.io();
  Host plain;
  const fsv_error expected = end_of_load(plain, folder.string().c_str(), nullptr);
  {
    Host host([&](fsv_engine_config& config) { config.io = &io; });
    const fsv_error found = end_of_load(host, "assets/mixtral/", nullptr);
    EXPECT_EQ(found.status, expected.status);
    EXPECT_STREQ(found.message, expected.message);
    EXPECT_EQ(files.open_count, 0);
    EXPECT_EQ(files.release_count, 0) << "the engine may load again";
  }
  EXPECT_EQ(files.release_count, 1);
  for (int shard = 1; shard <= 5; ++shard) {
    const std::string name = "assets/mixtral/model-0000" + std::to_string(shard) + "-of-00005.safetensors";
    EXPECT_NE(std::find(files.opened.begin(), files.opened.end(), name), files.opened.end()) << name;
  }
}

// The n-th call fails, for every n: a status with the file's name, all files closed, no memory kept, the engine usable.
TEST(LoadSources, EveryCallThatFails) {
  HostFiles files;
  files.files["tiny"] = tiny_bytes();
  const fsv_io io = files.io();
  Host host([](fsv_engine_config& config) { config.memory_budget_bytes = uint64_t{64} << 20; });
  fsv_load_config config = load_config();
  config.path = "tiny";
  config.path_size = SIZE_MAX;
  config.io = &io;
  fsv_error error{};
  fsv_model* model = nullptr;
  int releases = 0;
  uint64_t failed_count = 0;
  for (uint64_t n = 1;; ++n) {
    files.call_count = 0;
    files.fail_at = n;
    files.failure = n % 3 == 0 ? FSV_ERROR_NOT_FOUND : n % 3 == 1 ? FSV_ERROR_IO : 4711;
    fsv_ticket ticket = 0;
    ASSERT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_OK) << error.message;
    const fsv_status status = host.finish_load(ticket, &model, &error);
    EXPECT_EQ(files.open_count, 0) << n;
    EXPECT_EQ(files.release_count, ++releases) << n;
    if (files.call_count < n) {
      EXPECT_EQ(status, FSV_OK) << error.message;
      break;
    }
    ++failed_count;
    EXPECT_EQ(status, n % 3 == 0 ? FSV_ERROR_NOT_FOUND : FSV_ERROR_IO) << n << ": " << error.message;
    EXPECT_NE(std::string(error.message).find("\"tiny\""), std::string::npos) << error.message;
    EXPECT_EQ(model, nullptr);
    EXPECT_EQ(host.memory().used_bytes, 0u) << n;
  }
  EXPECT_GT(failed_count, 5u);
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
}

TEST(LoadSources, FileCutWhileItIsRead) {
  HostFiles files;
  files.files["tiny"] = tiny_bytes();
  const fsv_io io = files.io();
  Host host;
  fsv_load_config config = load_config();
  config.path = "tiny";
  config.path_size = SIZE_MAX;
  config.io = &io;
  for (const double share : {0.0, 0.05, 0.5, 0.999}) {
    files.cut_bytes = static_cast<uint64_t>(static_cast<double>(tiny_bytes().size()) * share);
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    fsv_error error{};
    ASSERT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_OK);
    EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_CORRUPT) << share;
    EXPECT_EQ(host.memory().used_bytes, 0u) << share;
  }
}

// The same with a file of the system, cut between two steps of its load.
TEST(LoadSources, SystemFileCutWhileItIsRead) {
  std::vector<uint8_t> bytes = tiny_bytes();
  const TemporaryFile file(bytes);
  Host host;
  fsv_ticket ticket = 0;
  fsv_error error{};
  ASSERT_EQ(host.begin_load(file.path(), &ticket, &error), FSV_OK);
  host.step(0);
  bytes.resize(bytes.size() / 4);
  file.rewrite(bytes);
  fsv_model* model = nullptr;
  EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_CORRUPT);
  EXPECT_NE(std::string(error.message).find(file.path()), std::string::npos) << error.message;
  EXPECT_EQ(host.memory().used_bytes, 0u);
}

// What the host lent comes back after a cancel at any point, and when the engine goes first.
TEST(LoadSources, CancelAtEveryStepGivesEverythingBack) {
  for (int steps = 0; steps < 40; ++steps) {
    HostFiles files;
    files.files["tiny"] = tiny_bytes();
    const fsv_io io = files.io();
    {
      Host host;
      fsv_load_config config = load_config();
      config.path = "tiny";
      config.path_size = SIZE_MAX;
      config.io = &io;
      config.flags = FSV_LOAD_WARM_UP;
      fsv_ticket ticket = 0;
      ASSERT_EQ(fsv_model_load(host.engine(), &config, &ticket, nullptr), FSV_OK);
      for (int i = 0; i < steps; ++i) host.step(0);
      if (steps % 2 == 0) {
        EXPECT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_OK);
        while (host.step(0)) {
        }
        EXPECT_EQ(files.release_count, 1) << steps;
        EXPECT_EQ(host.memory().used_bytes, 0u) << steps;
      }
    }
    EXPECT_EQ(files.release_count, 1) << steps;
    EXPECT_EQ(files.open_count, 0) << steps;
  }
}

TEST(LoadSources, RefusedLoadsKeepNothing) {
  HostFiles files;
  const fsv_io io = files.io();
  std::atomic<int> releases{0};
  fsv_ticket ticket = 0;
  fsv_error error{};
  Host host;
  fsv_load_config config = load_config();
  config.path = "x";
  config.path_size = 1;
  config.io = &io;
  config.buffer = tiny_bytes().data();
  config.buffer_size = tiny_bytes().size();
  config.buffer_release = count_up;
  config.buffer_context = &releases;
  EXPECT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_ERROR_INVALID_ARGUMENT);
  config.path = nullptr;
  config.path_size = 0;
  config.io = nullptr;
  ASSERT_EQ(fsv_engine_shutdown(host.engine(), 0, nullptr), FSV_OK);
  EXPECT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_ERROR_SHUTDOWN);
  config.buffer = nullptr;
  EXPECT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(releases, 0);
  EXPECT_EQ(files.release_count, 0);

  fsv_io bad = io;
  bad.read_at = nullptr;
  config = load_config();
  config.path = "x";
  config.path_size = 1;
  config.io = &bad;
  EXPECT_EQ(fsv_model_load(host.engine(), &config, &ticket, &error), FSV_ERROR_INVALID_ARGUMENT);
}

// Higher first, equal ones in order, and changeable until a load begins.
TEST(LoadSources, PrioritiesAmongQueuedLoads) {
  HostFiles files;
  for (const char* name : {"a", "b", "c", "d"}) files.files[name] = tiny_bytes();
  const fsv_io io = files.io();
  Host host;
  std::map<std::string, fsv_ticket> tickets;
  auto queue = [&](const char* name, int32_t priority) {
    fsv_load_config config = load_config();
    config.path = name;
    config.path_size = 1;
    config.io = &io;
    config.priority = priority;
    EXPECT_EQ(fsv_model_load(host.engine(), &config, &tickets[name], nullptr), FSV_OK);
  };
  queue("a", 0);
  queue("b", 0);
  queue("c", -5);
  queue("d", 7);
  ASSERT_EQ(fsv_ticket_set_priority(host.engine(), tickets["c"], 9, nullptr), FSV_OK);
  while (host.step()) {
  }
  EXPECT_EQ(files.opened, (std::vector<std::string>{"c", "d", "a", "b"}));
  EXPECT_EQ(fsv_ticket_set_priority(host.engine(), tickets["a"], 1, nullptr), FSV_ERROR_WRONG_STATE);
  for (const auto& [name, ticket] : tickets) EXPECT_EQ(fsv_ticket_cancel(host.engine(), ticket, nullptr), FSV_OK);
  EXPECT_EQ(fsv_ticket_set_priority(host.engine(), tickets["a"], 1, nullptr), FSV_ERROR_STALE);
}

TEST(LoadSources, WarmUpChangesNoAnswerAndTakesNoKv) {
  const Reply expected = answer_from_path();
  const TemporaryFile file(tiny_bytes());
  for (const bool is_threaded : {false, true}) {
    Host host(is_threaded ? EditEngine(use_threads) : EditEngine());
    fsv_load_config config = load_config();
    config.path = file.path().c_str();
    config.path_size = file.path().size();
    config.flags = FSV_LOAD_WARM_UP;
    expect_same(answer(host, config), expected, "warm");
    EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
    EXPECT_EQ(host.metrics().prefill_tokens, 20u) << "a warm-up is no request";
  }
}

}  // namespace
}  // namespace fastserve::test
