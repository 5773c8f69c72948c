// Programs and libraries of different versions: an init function fills the struct that its caller has, not the one that
// the library knows.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

constexpr uint8_t kUntouched = 0xAB;
constexpr size_t kRoom = 16;  // fields that a newer header has

using Bytes = std::vector<uint8_t>;

template <typename T>
Bytes initialised(void (*init)(T*, uint32_t), uint32_t struct_size) {
  alignas(T) uint8_t storage[sizeof(T) + 2 * kRoom];
  std::memset(storage, kUntouched, sizeof(storage));
  init(reinterpret_cast<T*>(storage), struct_size);
  return {storage, storage + sizeof(storage)};
}

uint32_t size_in(const Bytes& bytes) {
  uint32_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof(size));
  return size;
}

// Bytes behind the size, up to `end`, and from `begin` on.
Bytes fields(const Bytes& bytes, size_t end) {
  return {bytes.begin() + sizeof(uint32_t), bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}
Bytes rest(const Bytes& bytes, size_t begin) {
  return {bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.end()};
}

template <typename T>
void expect_fills_what_the_caller_has(void (*init)(T*, uint32_t)) {
  const Bytes whole = initialised(init, sizeof(T));
  ASSERT_EQ(size_in(whole), sizeof(T));
  ASSERT_EQ(rest(whole, sizeof(T)), Bytes(2 * kRoom, kUntouched));
  for (uint32_t size = sizeof(uint32_t); size < sizeof(T); size += sizeof(uint32_t)) {
    const Bytes older = initialised(init, size);
    ASSERT_EQ(size_in(older), size);
    ASSERT_EQ(fields(older, size), fields(whole, size));
    ASSERT_EQ(rest(older, size), Bytes(older.size() - size, kUntouched));
  }
  const Bytes newer = initialised(init, sizeof(T) + kRoom);
  ASSERT_EQ(size_in(newer), sizeof(T) + kRoom);
  ASSERT_EQ(fields(newer, sizeof(T)), fields(whole, sizeof(T)));
  Bytes beyond(kRoom, 0);
  beyond.resize(2 * kRoom, kUntouched);
  ASSERT_EQ(rest(newer, sizeof(T)), beyond);
  for (const uint32_t size : {0u, 3u}) ASSERT_EQ(initialised(init, size), Bytes(whole.size(), kUntouched));
  for (const uint32_t size : {(1u << 16) + 1, UINT32_MAX}) {
    const Bytes refused = initialised(init, size);
    ASSERT_EQ(size_in(refused), 0u);
    ASSERT_EQ(rest(refused, sizeof(uint32_t)), Bytes(whole.size() - sizeof(uint32_t), kUntouched));
  }
  init(nullptr, sizeof(T));
}

TEST(StructInit, FillsWhatTheCallerHas) {
  expect_fills_what_the_caller_has(fsv_device_info_init);
  expect_fills_what_the_caller_has(fsv_machine_info_init);
  expect_fills_what_the_caller_has(fsv_machine_ceilings_init);
  expect_fills_what_the_caller_has(fsv_io_init);
  expect_fills_what_the_caller_has(fsv_allocator_init);
  expect_fills_what_the_caller_has(fsv_clock_init);
  expect_fills_what_the_caller_has(fsv_executor_init);
  expect_fills_what_the_caller_has(fsv_engine_config_init);
  expect_fills_what_the_caller_has(fsv_model_info_init);
  expect_fills_what_the_caller_has(fsv_load_config_init);
  expect_fills_what_the_caller_has(fsv_memory_estimate_init);
  expect_fills_what_the_caller_has(fsv_ticket_info_init);
  expect_fills_what_the_caller_has(fsv_session_info_init);
  expect_fills_what_the_caller_has(fsv_sampling_init);
  expect_fills_what_the_caller_has(fsv_beam_search_init);
  expect_fills_what_the_caller_has(fsv_generate_config_init);
  expect_fills_what_the_caller_has(fsv_chat_init);
  expect_fills_what_the_caller_has(fsv_score_config_init);
  expect_fills_what_the_caller_has(fsv_request_info_init);
  expect_fills_what_the_caller_has(fsv_memory_stats_init);
  expect_fills_what_the_caller_has(fsv_metrics_init);
}

// A program of a time when generations knew no sessions, priorities, windows and beams.
TEST(StructInit, AnOlderProgramRuns) {
  const TemporaryFile file{TinyShape()};
  Host host(file.path());
  const std::vector<int32_t> prompt = random_prompt(1, 9);
  constexpr uint32_t kOlderBytes = offsetof(fsv_generate_config, session);
  fsv_sampling greedy;
  fsv_sampling_init(&greedy, sizeof(greedy));
  greedy.temperature = 0;
  alignas(fsv_generate_config) uint8_t storage[sizeof(fsv_generate_config)];
  std::memset(storage, kUntouched, sizeof(storage));
  auto* older = reinterpret_cast<fsv_generate_config*>(storage);
  fsv_generate_config_init(older, kOlderBytes);
  older->token_ids = prompt.data();
  older->token_count = prompt.size();
  older->max_tokens = 12;
  older->ignore_eos = 1;
  older->report_logprobs = 1;
  older->sampling = &greedy;
  fsv_request request = 0;
  fsv_error error{};
  ASSERT_EQ(fsv_submit_generate(host.engine(), host.model(), older, &request, &error), FSV_OK) << error.message;
  host.run();
  expect_same(host.reply(request), host.generate_alone(prompt, 12), "of today");
  EXPECT_EQ(rest({storage, storage + sizeof(storage)}, kOlderBytes), Bytes(sizeof(storage) - kOlderBytes, kUntouched));
}

}  // namespace
}  // namespace fastserve::test
