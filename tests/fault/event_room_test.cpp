// Room for events that is full, however little or much of it there is: requests pause, nothing is lost, and all go on.
#include <gtest/gtest.h>

#include <vector>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

// A host that polls nothing until nothing moves any more, then one event at a time.
void expect_all_heard(const std::string& path, uint32_t room, const std::vector<Reply>& expected) {
  Host host(path, [room](fsv_engine_config& config) { config.max_pending_events = room; });
  std::vector<fsv_request> requests;
  for (uint32_t i = 0; i < expected.size(); ++i) requests.push_back(host.generate(random_prompt(i, 10), 10 + i));
  size_t pauses = 0;
  while (!host.all_finished()) {
    for (int i = 0; host.step(0); ++i) ASSERT_LT(i, 10000) << "steps without a pause";
    pauses += host.metrics().paused_requests > 0 ? 1 : 0;
    ASSERT_EQ(host.poll(1), 1u) << "room for " << room;
  }
  EXPECT_EQ(pauses > 0, room < 10 + expected.size() - 1) << "room for " << room;
  for (size_t i = 0; i < requests.size(); ++i) {
    expect_same(host.reply(requests[i]), expected[i], "room for " + std::to_string(room));
  }
}

TEST(EventRoom, EverySizeOfItLosesNothing) {
  const TemporaryFile file(TinyShape{});
  std::vector<Reply> expected;
  {
    Host host(file.path());
    for (uint32_t i = 0; i < 3; ++i) expected.push_back(host.generate_alone(random_prompt(i, 10), 10 + i));
  }
  for (uint32_t room = 1; room <= 14; ++room) expect_all_heard(file.path(), room, expected);
}

}  // namespace
}  // namespace fastserve::test
