// Lines come out as they went in, oldest first; what is too many or too long is cut; who waits is told of the end.
#include "base/log_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace fastserve {
namespace {

// The next line without waiting, or the status' name.
std::string next(LogQueue& queue, uint64_t timeout_us = 0) {
  std::string line;
  const Status status = queue.read(timeout_us, [&](int32_t level, std::string_view text) -> Result<bool> {
    line = std::to_string(level) + " " + std::string(text);
    return true;
  });
  return status.ok() ? line : "failed with " + std::to_string(static_cast<int>(status.code()));
}

const std::string kNoLine = "failed with " + std::to_string(static_cast<int>(StatusCode::kTimeout));
const std::string kEnded = "failed with " + std::to_string(static_cast<int>(StatusCode::kShutdown));

TEST(LogQueue, OldestFirstAndOnlyTheLevelsAskedFor) {
  LogQueue queue;
  const LogSink sink = queue.sink(LogLevel::kWarning);
  sink.write(LogLevel::kError, "one");
  sink.write(LogLevel::kInfo, "unwanted");
  sink.write(LogLevel::kWarning, "");
  EXPECT_EQ(next(queue), "1 one");
  EXPECT_EQ(next(queue), "2 ");
  EXPECT_EQ(next(queue), kNoLine);
}

TEST(LogQueue, TheOldestLinesGoWhereThereIsNoRoom) {
  LogQueue queue;
  const LogSink sink = queue.sink(LogLevel::kError);
  for (size_t i = 0; i < LogQueue::kLineCountMax + 3; ++i) sink.write(LogLevel::kError, std::to_string(i));
  for (size_t i = 3; i < LogQueue::kLineCountMax + 3; ++i) EXPECT_EQ(next(queue), "1 " + std::to_string(i));
  EXPECT_EQ(next(queue), kNoLine);
}

TEST(LogQueue, LongLinesAreCutAtWholeCodePoints) {
  LogQueue queue;
  const std::string text = std::string(LogQueue::kLineBytesMax - 2, 'x') + "\xe7\x8c\xab more";
  queue.sink(LogLevel::kError).write(LogLevel::kError, text);
  EXPECT_EQ(next(queue), "1 " + std::string(LogQueue::kLineBytesMax - 2, 'x'));
}

TEST(LogQueue, ALineThatIsNotTakenStays) {
  LogQueue queue;
  queue.sink(LogLevel::kError).write(LogLevel::kError, "kept");
  EXPECT_TRUE(queue.read(0, [](int32_t, std::string_view) -> Result<bool> { return false; }).ok());
  const Status refused = Status(StatusCode::kBufferTooSmall, "too small");
  EXPECT_EQ(queue.read(0, [&](int32_t, std::string_view) -> Result<bool> { return refused; }).code(),
            StatusCode::kBufferTooSmall);
  EXPECT_EQ(next(queue), "1 kept");
}

TEST(LogQueue, WhoWaitsGetsTheNextLineAndThenTheEnd) {
  LogQueue queue;
  std::string first, second;
  std::thread reader([&] {
    first = next(queue, UINT64_MAX);
    second = next(queue, UINT64_MAX);
  });
  queue.sink(LogLevel::kError).write(LogLevel::kError, "line");
  queue.close();
  reader.join();
  EXPECT_EQ(first, "1 line");
  EXPECT_EQ(second, kEnded);
}

}  // namespace
}  // namespace fastserve
